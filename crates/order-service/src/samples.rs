//! An order, its events and their records, for tests.

use order_events::codec::AvroRecord;
use order_events::{CreateOrderPayload, EventCodec, OrderEvent, OrderItem, Payload, UpdateOrderPayload};
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;

use crate::changelog::ChangelogCodec;
use crate::dead_letters::DeadLetter;

/// The id of this program's schemas.
const OWN_ID: u32 = 1;

/// The topic of the records.
pub(crate) const TOPIC: &str = "events";

/// When each record was written, in milliseconds since 1970.
pub(crate) const WRITTEN_AT: i64 = 1_700_000_000_000;

/// A codec without a registry.
pub(crate) fn event_codec() -> EventCodec {
    EventCodec::new(OWN_ID)
}

/// The same of the changelog.
pub(crate) fn changelog_codec() -> ChangelogCodec {
    ChangelogCodec::new(OWN_ID)
}

/// An order of this customer.
pub(crate) fn order(customer_id: &str) -> CreateOrderPayload {
    CreateOrderPayload {
        customer_id: customer_id.to_owned(),
        order_date: "2026-11-27T08:00:00Z".to_owned(),
        items: vec![OrderItem { item_id: "ITEM-1".to_owned(), quantity: 2, price: 9.5 }],
        total_amount: 19.0,
        currency: "USD".to_owned(),
        status: "new".to_owned(),
    }
}

/// The CREATE of an order.
pub(crate) fn created(order_id: &str, customer_id: &str) -> OrderEvent {
    event(order_id, Payload::Create(order(customer_id)))
}

/// An UPDATE of it.
pub(crate) fn updated(order_id: &str, status: &str) -> OrderEvent {
    event(order_id, Payload::Update(UpdateOrderPayload { status: status.to_owned() }))
}

fn event(order_id: &str, payload: Payload) -> OrderEvent {
    let timestamp = "2026-11-27T08:00:00Z".to_owned();
    OrderEvent { event_type: payload.event_type(), order_id: order_id.to_owned(), timestamp, payload }
}

/// The record of an event in partition 0.
pub(crate) fn record(offset: i64, event: &OrderEvent) -> OwnedMessage {
    let mut value = Vec::new();
    event_codec().encode(event, &mut value).unwrap();
    raw_record(offset, &event.order_id, value)
}

/// A record of an event that was written with the schema of this id.
pub(crate) fn record_with_schema(offset: i64, event: &OrderEvent, id: u32) -> OwnedMessage {
    let mut value = Vec::new();
    EventCodec::new(id).encode(event, &mut value).unwrap();
    raw_record(offset, &event.order_id, value)
}

/// A record with any value.
pub(crate) fn raw_record(offset: i64, key: &str, value: Vec<u8>) -> OwnedMessage {
    let (key, topic) = (Some(key.as_bytes().to_vec()), TOPIC.to_owned());
    OwnedMessage::new(Some(value), key, topic, Timestamp::CreateTime(WRITTEN_AT), 0, offset, None)
}

/// The record of a letter, at this offset of the dead letter topic.
pub(crate) fn letter_record(letter: &DeadLetter, dlq_offset: i64) -> OwnedMessage {
    let headers = Some(letter.headers(TOPIC, "group"));
    let (value, key) = (letter.value.clone(), letter.key.clone());
    OwnedMessage::new(value, key, "dlq".to_owned(), Timestamp::CreateTime(WRITTEN_AT), 0, dlq_offset, headers)
}

/// The schema of the events, as a registry has it.
pub(crate) fn event_schema() -> &'static apache_avro::Schema {
    OrderEvent::schema()
}
