//! The codec against schemas of other ages and against broken bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use order_events::codec::{AvroRecord, DecodeError, Undecodable};
use order_events::{
    CreateOrderPayload, EventCodec, EventType, OrderEvent, OrderItem, Payload, UpdateOrderPayload,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const OWN_ID: u32 = 1;
const OTHER_ID: u32 = 2;

/// A codec that knows its own schema and, under [`OTHER_ID`], another one.
fn codec_with(other: &str) -> EventCodec {
    let codec = EventCodec::new(OWN_ID);
    codec.learn(OTHER_ID, &Schema::parse_str(other).unwrap()).unwrap();
    codec
}

fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice(), body].concat()
}

fn create() -> OrderEvent {
    OrderEvent {
        event_type: EventType::Create,
        order_id: "ORD-1".into(),
        timestamp: "2026-01-30T15:00:00Z".into(),
        payload: Payload::Create(CreateOrderPayload {
            customer_id: "CUST-1".into(),
            order_date: "2026-01-30T15:00:00Z".into(),
            items: vec![
                OrderItem { item_id: "ITEM-1".into(), quantity: 2, price: 49.99 },
                OrderItem { item_id: "ITEM-2".into(), quantity: 1, price: 0.5 },
            ],
            total_amount: 100.48,
            currency: "USD".into(),
            status: "new".into(),
        }),
    }
}

fn update() -> OrderEvent {
    OrderEvent {
        event_type: EventType::Update,
        order_id: "ORD-1".into(),
        timestamp: "2026-01-30T16:00:00Z".into(),
        payload: Payload::Update(UpdateOrderPayload { status: "confirmed".into() }),
    }
}

/// The schema of the events, changed.
fn changed(change: impl FnOnce(&mut Json)) -> String {
    let mut schema: Json = serde_json::from_str(OrderEvent::SCHEMA).unwrap();
    change(&mut schema);
    schema.to_string()
}

fn optional_fields() -> String {
    let note = json!({ "name": "note", "type": ["null", "string"], "default": null });
    changed(|schema| {
        let fields = |record: &mut Json| record["fields"].as_array_mut().unwrap().insert(0, note.clone());
        fields(schema);
        let payload =
            schema["fields"].as_array_mut().unwrap().iter_mut().find(|f| f["name"] == "payload").unwrap();
        fields(&mut payload["type"][0]);
        fields(&mut payload["type"][1]);
    })
}

fn reordered_union() -> String {
    changed(|schema| schema["fields"][3]["type"].as_array_mut().unwrap().reverse())
}

fn third_branch() -> String {
    changed(|schema| {
        schema["fields"][0]["type"]["symbols"].as_array_mut().unwrap().push(json!("CANCEL"));
        let cancel = json!({ "type": "record", "name": "CancelOrderPayload", "fields": [
            { "name": "status", "type": "string" }, { "name": "reason", "type": "string" }] });
        schema["fields"][3]["type"].as_array_mut().unwrap().insert(0, cancel);
    })
}

fn long_quantity() -> String {
    changed(|schema| {
        let items = &mut schema["fields"][3]["type"][0]["fields"][2];
        items["type"]["items"]["fields"][1]["type"] = json!("long");
    })
}

/// Writes an event as a program with `schema` would.
fn written_with(schema: &str, event: Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    framed(OTHER_ID, &writer.write_value_to_vec(event).unwrap())
}

fn string(text: &str) -> Value {
    Value::String(text.into())
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

/// [`create`] as a generic value; `item` makes an item's quantity, `extra` goes before the fields of each record.
fn create_value(union_index: u32, quantity: impl Fn(i32) -> Value, extra: &[(&str, Value)]) -> Value {
    let Payload::Create(payload) = create().payload else { unreachable!() };
    let items = payload.items.iter().map(|item| {
        let price = Value::Double(item.price);
        record([("itemId", string(&item.item_id)), ("quantity", quantity(item.quantity)), ("price", price)])
    });
    let create_payload = record([
        ("customerId", string(&payload.customer_id)),
        ("orderDate", string(&payload.order_date)),
        ("items", Value::Array(items.collect())),
        ("totalAmount", Value::Double(payload.total_amount)),
        ("currency", string(&payload.currency)),
        ("status", string(&payload.status)),
    ]);
    event_value(("CREATE", 0), "2026-01-30T15:00:00Z", union_index, create_payload, extra)
}

fn update_value(union_index: u32, extra: &[(&str, Value)]) -> Value {
    let payload = record([("status", string("confirmed"))]);
    event_value(("UPDATE", 1), "2026-01-30T16:00:00Z", union_index, payload, extra)
}

fn event_value(
    symbol: (&str, u32),
    timestamp: &str,
    index: u32,
    payload: Value,
    extra: &[(&str, Value)],
) -> Value {
    let with_extra = |value: Value| match value {
        Value::Record(fields) => {
            let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Record(extra.chain(fields).collect())
        }
        other => other,
    };
    with_extra(record([
        ("eventType", Value::Enum(symbol.1, symbol.0.into())),
        ("orderId", string("ORD-1")),
        ("timestamp", string(timestamp)),
        ("payload", Value::Union(index, Box::new(with_extra(payload)))),
    ]))
}

#[test]
fn both_branches_come_back_as_they_went_in() {
    let codec = EventCodec::new(OWN_ID);
    for event in [create(), update()] {
        let mut bytes = vec![9];
        codec.encode(&event, &mut bytes).unwrap();
        assert_eq!(bytes[..6], [9, 0, 0, 0, 0, 1]);
        assert_eq!(codec.decode(Some(&bytes[1..])).unwrap(), event);
    }
}

#[test]
fn records_of_other_ages_decode_to_the_right_branch() {
    let int = Value::Int;
    let note = [("note", Value::Union(1, Box::new(string("hello"))))];
    let cases = [
        (optional_fields(), create_value(0, int, &note), update_value(1, &note)),
        (reordered_union(), create_value(1, int, &[]), update_value(0, &[])),
        (third_branch(), create_value(1, int, &[]), update_value(2, &[])),
        (long_quantity(), create_value(0, |n| Value::Long(n.into()), &[]), update_value(1, &[])),
        // The same schema in other words, as another program registers it.
        (
            changed(|schema| schema["doc"] = json!("other words")),
            create_value(0, int, &[]),
            update_value(1, &[]),
        ),
    ];
    for (schema, created, updated) in cases {
        let codec = codec_with(&schema);
        assert_eq!(codec.decode(Some(&written_with(&schema, created))).unwrap(), create(), "{schema}");
        assert_eq!(codec.decode(Some(&written_with(&schema, updated))).unwrap(), update(), "{schema}");
    }
}

#[test]
fn what_cannot_be_known_fails_loudly_and_never_becomes_something_else() {
    let schema = third_branch();
    let codec = codec_with(&schema);
    let cancel = record([("status", string("cancelled")), ("reason", string("no stock"))]);
    for symbol in [("CANCEL", 2), ("UPDATE", 1)] {
        let bytes =
            written_with(&schema, event_value(symbol, "2026-01-30T15:00:00Z", 0, cancel.clone(), &[]));
        let error = codec.decode(Some(&bytes)).unwrap_err();
        assert!(matches!(error, DecodeError::Undecodable(Undecodable::Mismatch { .. })), "{error}");
    }
    // A symbol that only the newer schema has, on a branch that both have.
    let bytes =
        written_with(&schema, event_value(("CANCEL", 2), "t", 2, record([("status", string("x"))]), &[]));
    codec.decode(Some(&bytes)).unwrap_err();

    // A quantity that an int cannot hold.
    let schema = long_quantity();
    let codec = codec_with(&schema);
    let bytes = written_with(&schema, create_value(0, |_| Value::Long(1 << 40), &[]));
    codec.decode(Some(&bytes)).unwrap_err();
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let optional = optional_fields();
    let codec = codec_with(&optional);
    let note = [("note", Value::Union(0, Box::new(Value::Null)))];
    let mut records = vec![
        written_with(&optional, create_value(0, Value::Int, &note)),
        written_with(&optional, update_value(1, &note)),
    ];
    for event in [create(), update()] {
        let mut bytes = Vec::new();
        codec.encode(&event, &mut bytes).unwrap();
        records.push(bytes);
    }
    for bytes in records {
        codec.decode(Some(&bytes)).unwrap();
        for end in 0..bytes.len() {
            let error = codec.decode(Some(&bytes[..end])).expect_err("a part is not the whole");
            assert!(matches!(error, DecodeError::Undecodable(_)), "{end} of {}: {error}", bytes.len());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        codec.decode(Some(&longer)).expect_err("a byte too many");
    }
}

#[test]
fn a_value_without_a_frame_is_refused_at_once() {
    let codec = EventCodec::new(OWN_ID);
    assert_eq!(codec.decode(None), Err(Undecodable::NoValue.into()));
    for value in [&b""[..], b"{\"orderId\":1}", &[0, 0, 0], &[1, 0, 0, 0, 1, 2]] {
        assert_eq!(codec.decode(Some(value)), Err(Undecodable::NotFramed.into()));
    }
    assert_eq!(codec.decode(Some(&framed(77, b"x"))), Err(DecodeError::SchemaNeeded(77)));
}

#[test]
fn a_schema_is_learned_once_and_another_one_of_its_id_changes_nothing() {
    let (optional, reordered) = (optional_fields(), reordered_union());
    let note = [("note", Value::Union(0, Box::new(Value::Null)))];
    let bytes = written_with(&optional, create_value(0, Value::Int, &note));
    let codec = EventCodec::new(OWN_ID);
    assert_eq!(codec.decode(Some(&bytes)), Err(DecodeError::SchemaNeeded(OTHER_ID)));
    for schema in [&optional, &reordered] {
        codec.learn(OTHER_ID, &Schema::parse_str(schema).unwrap()).unwrap();
        assert_eq!(codec.decode(Some(&bytes)).unwrap(), create());
    }
    let mut own = Vec::new();
    codec.encode(&create(), &mut own).unwrap();
    codec.learn(OWN_ID, &Schema::parse_str(&reordered).unwrap()).unwrap();
    assert_eq!(codec.decode(Some(&own)).unwrap(), create());
    assert!(codec.is_own(&own) && !codec.is_own(&bytes));
}

#[test]
fn a_schema_of_something_else_is_refused_and_leaves_its_id_free() {
    let codec = EventCodec::new(OWN_ID);
    for other in [
        r#""string""#,
        r#"{"type":"record","name":"Other","fields":[]}"#,
        // Bytes that follow it would be read for ever, or until there is no stack left.
        r#"{"type":"record","name":"OrderEvent","namespace":"com.ecommerce.order",
            "fields":[{"name":"again","type":["null","OrderEvent"]}]}"#,
    ] {
        let refused = codec.learn(OTHER_ID, &Schema::parse_str(other).unwrap()).unwrap_err();
        assert!(matches!(refused, Undecodable::UnusableSchema { id: OTHER_ID, .. }), "{other}: {refused}");
    }
    codec.learn(OTHER_ID, OrderEvent::schema()).unwrap();
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    let codec = EventCodec::new(OWN_ID);
    // CREATE, then an order id of 2^40 bytes.
    let body = [0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    codec.decode(Some(&framed(OWN_ID, &body))).unwrap_err();
}

fn any_event() -> impl Strategy<Value = OrderEvent> {
    let number =
        prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0), Just(f64::MIN_POSITIVE), Just(f64::MAX)];
    let item = (any::<String>(), any::<i32>(), number.clone())
        .prop_map(|(item_id, quantity, price)| OrderItem { item_id, quantity, price });
    let texts = [(); 4].map(|()| any::<String>());
    let create =
        (texts, prop::collection::vec(item, 0..20), number).prop_map(|(texts, items, total_amount)| {
            let [customer_id, order_date, currency, status] = texts;
            Payload::Create(CreateOrderPayload {
                customer_id,
                order_date,
                items,
                total_amount,
                currency,
                status,
            })
        });
    let update = any::<String>().prop_map(|status| Payload::Update(UpdateOrderPayload { status }));
    (any::<String>(), any::<String>(), prop_oneof![create, update]).prop_map(
        |(order_id, timestamp, payload)| OrderEvent {
            event_type: payload.event_type(),
            order_id,
            timestamp,
            payload,
        },
    )
}

#[test]
fn any_event_survives_and_any_bytes_are_survived() {
    let codec = codec_with(&optional_fields());
    proptest!(|(event in any_event(), noise in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>())| {
        let mut bytes = Vec::new();
        codec.encode(&event, &mut bytes).unwrap();
        // NaN is not equal to itself; its text is.
        prop_assert_eq!(format!("{:?}", codec.decode(Some(&bytes)).unwrap()), format!("{event:?}"));

        let place = at.index(bytes.len());
        bytes[place] ^= 0x55;
        let _ = codec.decode(Some(&bytes));
        let _ = codec.decode(Some(&framed(OWN_ID, &noise)));
        let _ = codec.decode(Some(&framed(OTHER_ID, &noise)));
    });
}
