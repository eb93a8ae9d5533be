//! What a client is told that waits for what becomes of its event.

use axum::{Json, Router};
use serde_json::{Value, json};

use crate::service::{Answer, Service, cluster, serve};

/// Sends a write that waits, to a service whose order-service knows this `outcome` of every event.
async fn write(method: &str, path: &str, outcome: &str, reason: Option<&str>) -> Answer {
    let report = json!({ "topic": "order-events", "partition": 0, "offset": 0, "position": "0:0",
        "outcome": outcome, "reason": reason });
    let order_service = serve(Router::new().fallback(async move || Json::<Value>(report))).await;
    let cluster = cluster();
    let service = Service::publishing(&cluster, &["--order-service-url", &order_service]).await;
    let body = r#"{"orderId": "41", "itemsCount": 1, "status": "shipped"}"#;
    service.write(method, path, &[("prefer", "wait=0")], body).await
}

#[tokio::test]
async fn an_outcome_is_told() {
    let create = write("POST", "/create-order", "applied", None).await;
    assert_eq!((create.status, &create.json["outcome"]), (201, &"applied".into()), "{}", create.text);
    assert_eq!(create.header("preference-applied"), Some("wait=0"));
    let update = write("PATCH", "/orders/41", "duplicate", None).await;
    assert_eq!((update.status, &update.json["outcome"]), (200, &"duplicate".into()), "{}", update.text);
}

#[tokio::test]
async fn an_event_that_is_not_processed_in_time_is_accepted_and_has_a_place_to_ask() {
    for (method, path) in [("POST", "/create-order"), ("PUT", "/update-order")] {
        let answer = write(method, path, "pending", None).await;
        assert_eq!((answer.status, &answer.json["outcome"]), (202, &"pending".into()), "{}", answer.text);
        assert!(answer.header("location").unwrap().ends_with("/events/order-events/0/0"));
    }
}

#[tokio::test]
async fn why_an_event_was_dead_lettered_is_a_problem_of_its_own() {
    let cases = [
        ("POST", "/create-order", "duplicate_order", (409, "duplicate-order")),
        ("POST", "/create-order", "idempotency_conflict", (422, "idempotency-key-reused")),
        ("PATCH", "/orders/41", "illegal_transition", (409, "illegal-transition")),
        ("PUT", "/update-order", "unknown_order", (404, "unknown-order")),
        ("POST", "/create-order", "of_a_newer_version", (500, "dead-lettered")),
    ];
    for (method, path, reason, problem) in cases {
        let answer = write(method, path, "dead_lettered", Some(reason)).await;
        assert_eq!(answer.problem(), problem, "{}", answer.text);
        assert_eq!(answer.json["position"], "0:0");
        assert_eq!(answer.header("preference-applied"), Some("wait=0"));
    }
}
