//! What the registry's answers are taken for: final, or an outage that is waited out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted_registry;

use order_events::codec::{AvroRecord, DecodeError, Undecodable};
use order_events::registry::{FetchError, RegisterError};
use order_events::{EventCodec, OrderEvent, SchemaRegistry};
use scripted_registry::{Answer, ScriptedRegistry};
use serde_json::json;

const RECORD: &[u8] = &[0, 0, 0, 0, 7, 1, 2, 3];

fn outages() -> Vec<Answer> {
    let html = |status| Answer::Body(status, "text/html", "<html>a proxy speaks</html>".into());
    vec![
        Answer::json(500, json!({ "error_code": 50001, "message": "storage is away" })),
        Answer::json(503, json!({ "error_code": 50301, "message": "starting" })),
        Answer::json(429, json!({ "error_code": 429, "message": "slow down" })),
        Answer::json(200, json!({})),
        html(200),
        html(404),
        html(504),
        Answer::Half,
        Answer::Silence,
    ]
}

#[tokio::test]
async fn whatever_is_no_answer_of_the_registry_is_an_outage_and_recovered_from() {
    for outage in outages() {
        let registry = ScriptedRegistry::start().await;
        let (client, codec) = (registry.client(), EventCodec::new(1));
        assert_eq!(codec.decode(Some(RECORD)), Err(DecodeError::SchemaNeeded(7)));

        // Whatever is asked after it gets a 500: the script has run out.
        registry.script([outage.clone()]);
        let error = client.teach(&codec, 7).await.expect_err("an outage gives no schema");
        assert!(matches!(error, FetchError::Unavailable(_)), "{outage:?} gave {error:?}");

        registry.script([Answer::schema(OrderEvent::SCHEMA)]);
        client.teach(&codec, 7).await.unwrap_or_else(|error| panic!("after {outage:?}: {error}"));
        assert!(matches!(codec.decode(Some(RECORD)), Err(DecodeError::Undecodable(_))));
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_outage() {
    let registry = ScriptedRegistry::start().await;
    let mut config = registry.config();
    config.url = "http://127.0.0.1:1".into();
    let nowhere = SchemaRegistry::new(config).unwrap();
    let error = nowhere.codec::<OrderEvent>("order-events").await.err().unwrap();
    assert!(matches!(error, RegisterError::Unavailable(_)), "{error:?}");
    let error = nowhere.teach(&EventCodec::new(1), 7).await.err().unwrap();
    assert!(matches!(error, FetchError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn an_unknown_id_and_a_schema_of_another_kind_are_final() {
    let registry = ScriptedRegistry::start().await;
    let (client, codec) = (registry.client(), EventCodec::new(1));

    registry.script([Answer::json(404, json!({ "error_code": 40403, "message": "Schema not found" }))]);
    let error = client.teach(&codec, 7).await.unwrap_err();
    assert!(matches!(error, FetchError::Permanent(Undecodable::UnknownSchema { id: 7 })), "{error:?}");

    let protobuf = Answer::json(200, json!({ "schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF" }));
    registry.script([protobuf.clone(), protobuf]);
    let error = client.teach(&codec, 8).await.unwrap_err();
    assert!(matches!(error, FetchError::Permanent(Undecodable::UnusableSchema { id: 8, .. })), "{error:?}");

    let nonsense = [r#"{"type":"record"}"#, "not json", r#"{"type":"record","name":"Other","fields":[]}"#];
    for (schema, unusable) in nonsense.into_iter().zip(9..) {
        registry.script([Answer::schema(schema)]);
        match client.teach(&codec, unusable).await.unwrap_err() {
            FetchError::Permanent(Undecodable::UnusableSchema { id, .. }) if id == unusable => {}
            error => panic!("{schema}: {error:?}"),
        }
    }

    // An id that was unknown may be registered later.
    registry.script([Answer::schema(OrderEvent::SCHEMA)]);
    client.teach(&codec, 7).await.unwrap();
}

#[tokio::test]
async fn a_refusal_stops_with_the_registrys_words_and_an_outage_does_not() {
    let level = || Answer::json(200, json!({ "compatibilityLevel": "FULL" }));
    let cases = [
        (
            Answer::json(409, json!({ "error_code": 409, "message": "incompatible: field x" })),
            Some("incompatible: field x"),
        ),
        (Answer::json(422, json!({ "error_code": 42201, "message": "not a schema" })), Some("not a schema")),
        (Answer::Body(401, "text/html", "<html>".into()), Some("401")),
        (Answer::Body(403, "text/plain", String::new()), Some("403")),
        (Answer::json(500, json!({ "error_code": 50001, "message": "storage" })), None),
        (Answer::json(408, json!({ "error_code": 408, "message": "too slow" })), None),
        (Answer::Body(404, "text/html", "<html>".into()), None),
    ];
    for (answer, refusal) in cases {
        let registry = ScriptedRegistry::start().await;
        registry.script([level(), answer.clone(), answer.clone()]);
        let error = registry.client().codec::<OrderEvent>("order-events").await.err().unwrap();
        match (refusal, &error) {
            (Some(words), RegisterError::Refused { subject, reason, .. }) => {
                assert_eq!(subject, "order-events-value");
                assert!(reason.contains(words), "{reason}");
            }
            (None, RegisterError::Unavailable(_)) => {}
            _ => panic!("{answer:?} gave {error:?}"),
        }
    }
}

#[tokio::test]
async fn the_compatibility_level_is_set_once_and_only_where_none_is_set() {
    let no_level = || Answer::json(404, json!({ "error_code": 40408, "message": "no level" }));
    let no_subject = || Answer::json(404, json!({ "error_code": 40401, "message": "no subject" }));
    let level = |level| Answer::json(200, json!({ "compatibilityLevel": level }));
    let done = || Answer::json(200, json!({ "compatibility": "FULL_TRANSITIVE" }));
    let id = || Answer::json(200, json!({ "id": 1 }));
    let exists = || Answer::json(409, json!({ "error_code": 409, "message": "exists already" }));
    let (get, put) = ("GET /config/order-events-value", "PUT /config/order-events-value");
    let post = "POST /subjects/order-events-value/versions";

    let cases = [
        (vec![level("BACKWARD"), id()], vec![get, post]),
        (vec![level("NONE"), done(), id()], vec![get, put, post]),
        (vec![no_level(), done(), id()], vec![get, put, post]),
        // Some registries want the subject before its level.
        (vec![no_subject(), no_subject(), id(), no_level(), done()], vec![get, put, post, get, put]),
        // Another service was quicker with the first schema.
        (
            vec![no_subject(), exists(), exists(), id(), level("FULL_TRANSITIVE")],
            vec![get, put, post, post, get],
        ),
        // Not allowed: not our business.
        (vec![no_level(), Answer::json(403, json!({})), id()], vec![get, put, post]),
    ];
    for (answers, requests) in cases {
        let registry = ScriptedRegistry::start().await;
        registry.script(answers);
        registry.client().codec::<OrderEvent>("order-events").await.unwrap();
        assert_eq!(registry.requests(), requests);
    }
}

#[tokio::test]
async fn without_auto_registration_the_schema_is_only_looked_up() {
    let registry = ScriptedRegistry::start().await;
    let look_only = || {
        let mut config = registry.config();
        config.auto_register = false;
        SchemaRegistry::new(config).unwrap()
    };
    registry.script([Answer::json(200, json!({ "id": 5 }))]);
    look_only().codec::<OrderEvent>("order-events").await.unwrap();
    for missing in [40401, 40403] {
        registry.script([Answer::json(404, json!({ "error_code": missing, "message": "not found" }))]);
        let error = look_only().codec::<OrderEvent>("order-events").await.err().unwrap();
        assert!(matches!(error, RegisterError::NotRegistered { .. }), "{error:?}");
        assert!(error.to_string().contains("SCHEMA_AUTO_REGISTER"));
    }
    assert!(registry.requests().iter().all(|request| request == "POST /subjects/order-events-value"));
}
