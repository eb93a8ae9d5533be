//! The description of the topics (AsyncAPI 3), with the Avro schemas that are on the wire.

use order_events::codec::AvroRecord;
use order_events::{EventType, OrderEvent, headers};
use serde_json::{Map, Value, json};

use crate::changelog::ChangelogEntry;
use crate::settings::TopicNames;

/// The description of these topics, as order-service uses them.
pub fn describe(topics: &TopicNames) -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orders over Kafka",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "cart-service writes the events; order-service reads them, and writes the changelog, \
                            the dead letters and its offsets in one transaction. When a dead letter is sent again, \
                            it writes the event and a note of it. A record's key is the order id.",
        },
        "defaultContentType": headers::CONTENT_TYPE,
        "channels": {
            "events": channel(
                &topics.events,
                "What happened to orders. Made with `TOPIC_PARTITIONS` partitions, and kept for 7 days.",
                &["OrderEvent"],
            ),
            "changelog": channel(
                &topics.changelog,
                "The state of the orders. As many partitions as the events; compacted.",
                &["OrderState"],
            ),
            "deadLetters": channel(
                &topics.dead_letters,
                "Events that could not be processed, byte for byte, and notes that some were sent again. One \
                 partition, kept for 30 days.",
                &["DeadLetter", "RedriveNote"],
            ),
        },
        "operations": {
            "processEvents": operation("receive", "events", "OrderEvent"),
            "keepState": operation("send", "changelog", "OrderState"),
            "giveUp": operation("send", "deadLetters", "DeadLetter"),
            "redrive": operation("send", "events", "OrderEvent"),
            "noteRedrive": operation("send", "deadLetters", "RedriveNote"),
        },
        "components": { "messages": {
            "OrderEvent": {
                "title": "An order was made or has a new status",
                "contentType": headers::CONTENT_TYPE,
                "headers": event_headers(),
                "payload": avro(OrderEvent::SCHEMA),
                "bindings": framing(),
            },
            "OrderState": {
                "title": "What is known of an order, or how far a partition is processed",
                "contentType": headers::CONTENT_TYPE,
                "payload": avro(ChangelogEntry::SCHEMA),
                "bindings": framing(),
            },
            "DeadLetter": {
                "title": "A record that could not be processed, with its key, its value and its headers",
                "contentType": "application/octet-stream",
                "headers": dead_letter_headers(),
            },
            "RedriveNote": {
                "title": "A dead letter was sent again; told from a letter by its headers, of which it has no others",
                "contentType": "application/json",
                "headers": redrive_note_headers(),
                "payload": redrive_note(),
            },
        }},
    })
}

fn channel(topic: &str, description: &str, messages: &[&str]) -> Value {
    let reference = |message: &&str| json!({ "$ref": format!("#/components/messages/{message}") });
    let messages: Map<String, Value> =
        messages.iter().map(|message| ((*message).to_owned(), reference(message))).collect();
    json!({
        "address": topic,
        "description": description,
        "messages": messages,
        "bindings": { "kafka": { "topic": topic, "bindingVersion": "0.5.0" } },
    })
}

fn operation(action: &str, channel: &str, message: &str) -> Value {
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": [{ "$ref": format!("#/channels/{channel}/messages/{message}") }],
    })
}

fn avro(schema: &str) -> Value {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    json!({ "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0", "schema": schema })
}

/// A zero byte, four bytes of schema id, then the value.
fn framing() -> Value {
    json!({ "kafka": {
        "key": { "type": "string", "description": "The order id." },
        "schemaIdLocation": "payload",
        "schemaIdPayloadEncoding": "confluent",
        "schemaLookupStrategy": "TopicNameStrategy",
        "bindingVersion": "0.5.0",
    }})
}

/// CloudEvents in binary mode, and the trace (W3C).
fn event_headers() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let types = [EventType::Create, EventType::Update].map(headers::ce_type);
    json!({ "type": "object", "properties": {
        "ce_specversion": { "type": "string", "const": "1.0" },
        "ce_id": text("A copy of an event has the same one."),
        "ce_type": { "enum": types },
        "ce_source": text("Who wrote it."),
        "ce_time": { "type": "string", "format": "date-time" },
        "traceparent": text("The trace that the request belongs to."),
        "dlq-redrive-attempt": text("How often the event was sent again, if it was."),
        "dlq-redrive-origin": text("Where it was before that: `<partition>:<offset>`. Missing if it was forced."),
    }})
}

fn redrive_note_headers() -> Value {
    json!({ "type": "object", "required": ["dlq-redrive-of", "content-type"], "properties": {
        "dlq-redrive-of": { "type": "string", "description": "The letter's offset in this topic." },
        "content-type": { "type": "string", "const": "application/json" },
    }})
}

/// See `dead_letters::RedriveNote`.
fn redrive_note() -> Value {
    let number = |description: &str| json!({ "type": "integer", "description": description });
    json!({ "type": "object", "properties": {
        "dlqOffset": number("The letter's offset in this topic."),
        "attempt": number("How often its event was sent again, with this time."),
        "at": number("When, in milliseconds since 1970."),
        "by": { "type": ["string", "null"], "description": "Who asked for it, if they said so." },
        "requestId": { "type": ["string", "null"], "description": "The `x-request-id` of the request." },
        "forced": { "type": "boolean", "description": "Whether doubts were overruled." },
        "partition": number("Where the event is now, in the events topic."),
        "offset": number("Where the event is now."),
    }})
}

/// Ours, Spring's and Kafka Connect's, so that their tools show them.
fn dead_letter_headers() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut headers = json!({
        "dlq-reason": text("Why it could not be processed."),
        "dlq-category": text("NO_RETRY_DLQ or RETRY_THEN_DLQ."),
        "dlq-retry-count": text("How often it was tried again."),
        "dlq-failed-at": text("When, ISO 8601."),
        "dlq-consumer-group": text("Who gave it up."),
        "kafka_dlt-exception-fqcn": text("The kind of failure."),
        "kafka_dlt-exception-message": text("What was wrong."),
        "__connect.errors.exception.message": text("What was wrong."),
    });
    for (name, bytes) in [("topic", "text"), ("partition", "4"), ("offset", "8"), ("timestamp", "8")] {
        let how = if bytes == "text" { "As text.".to_owned() } else { format!("{bytes} bytes, big-endian.") };
        headers[format!("kafka_dlt-original-{name}")] = text(&how);
        if name != "timestamp" {
            headers[format!("__connect.errors.{name}")] = text("As text.");
        }
    }
    json!({ "type": "object", "description": "Beside those of the record.", "properties": headers })
}
