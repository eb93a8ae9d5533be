//! Record headers: CloudEvents in Kafka's binary mode, and W3C trace context.
//!
//! See the [CloudEvents Kafka protocol binding], section 3.2, for `ce_*` and `content-type`, and
//! [W3C Trace Context] for `traceparent`.
//!
//! [CloudEvents Kafka protocol binding]: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context/

use std::borrow::Cow;

use rdkafka::message::{Header, Headers, OwnedHeaders};

use crate::model::EventType;
use crate::position::Position;
use crate::trace_context::TraceContext;

/// `ce_specversion`: the version of CloudEvents.
const SPEC_VERSION: &str = "1.0";
/// `content-type` of an Avro value.
pub const CONTENT_TYPE: &str = "application/avro";
/// The header that holds the event's id.
const CE_ID: &str = "ce_id";
/// The header that links the record to the request that made it.
pub const TRACEPARENT: &str = "traceparent";

/// The headers of an event that a service publishes.
#[derive(Debug, Clone)]
pub struct EventHeaders<'a> {
    /// `ce_id`: the same for every copy of one event; a consumer ignores a second copy.
    pub id: &'a str,
    /// `ce_type` is made from it.
    pub event_type: EventType,
    /// `ce_source`: a URI reference that names the publisher, for example `/cart-service`.
    pub source: &'a str,
    /// `ce_time`: when the event was made, RFC 3339.
    pub time: &'a str,
    /// `traceparent`.
    pub trace: TraceContext,
}

impl EventHeaders<'_> {
    /// The headers as they go into the record.
    pub fn to_kafka(&self) -> OwnedHeaders {
        let trace = self.trace.to_string();
        let headers = [
            ("ce_specversion", SPEC_VERSION),
            (CE_ID, self.id),
            ("ce_type", ce_type(self.event_type)),
            ("ce_source", self.source),
            ("ce_time", self.time),
            ("content-type", CONTENT_TYPE),
            (TRACEPARENT, &trace),
        ];
        headers.into_iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        })
    }
}

/// The CloudEvents type of an event.
pub fn ce_type(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Create => "com.ecommerce.order.created",
        EventType::Update => "com.ecommerce.order.status-updated",
    }
}

/// The id of the event in a record: its `ce_id`, or, for a peer's record without one, the record's place
/// in the log (`topic/partition/offset`), which is as unique but cannot recognise a second copy.
pub fn event_id<'a, H: Headers>(headers: Option<&'a H>, place: impl FnOnce() -> Position) -> Cow<'a, str> {
    own_event_id(headers).map_or_else(|| Cow::Owned(place().to_string()), Cow::Borrowed)
}

/// The `ce_id` of a record, if it has one.
pub fn own_event_id<H: Headers>(headers: Option<&H>) -> Option<&str> {
    headers.and_then(|headers| text(headers, CE_ID)).map(str::trim).filter(|id| !id.is_empty())
}

/// The last header called `key`, if it is text.
fn text<'a, H: Headers>(headers: &'a H, key: &str) -> Option<&'a str> {
    headers
        .iter()
        .filter(|header| header.key == key)
        .last()?
        .value
        .and_then(|value| str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;

    fn place() -> Position {
        Position { topic: "order-events".into(), place: Place { partition: 2, offset: 17 } }
    }

    fn with_id(value: Option<&[u8]>) -> OwnedHeaders {
        OwnedHeaders::new().insert(Header { key: CE_ID, value })
    }

    #[test]
    fn an_event_carries_the_cloudevents_attributes_and_the_trace() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = EventHeaders {
            id: "e-1",
            event_type: EventType::Update,
            source: "/cart-service",
            time: "2026-01-30T15:00:00Z",
            trace: trace.parse().unwrap(),
        }
        .to_kafka();
        let all: Vec<_> = headers
            .iter()
            .map(|header| (header.key, str::from_utf8(header.value.unwrap()).unwrap()))
            .collect();
        assert_eq!(
            all,
            [
                ("ce_specversion", "1.0"),
                ("ce_id", "e-1"),
                ("ce_type", "com.ecommerce.order.status-updated"),
                ("ce_source", "/cart-service"),
                ("ce_time", "2026-01-30T15:00:00Z"),
                ("content-type", "application/avro"),
                ("traceparent", trace),
            ]
        );
        assert_eq!(event_id(Some(&headers), place), "e-1");
    }

    #[test]
    fn a_record_without_a_usable_id_is_known_by_its_place() {
        assert_eq!(event_id(None::<&OwnedHeaders>, place), "order-events/2/17");
        for unusable in [None, Some(&b""[..]), Some(b"  "), Some(b"\xff")] {
            assert_eq!(event_id(Some(&with_id(unusable)), place), "order-events/2/17");
        }
    }
}
