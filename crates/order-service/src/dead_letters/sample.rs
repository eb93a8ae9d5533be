//! Sample letters and notes for tests.

use order_events::Reason;
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;

use super::headers::{of_letter, to_kafka};
use super::letter::DeadLetter;
use super::note::RedriveNote;
use crate::event::original::OriginalHeader;
use crate::event::outcome::Rejection;

/// The letter of event `2:258`, which failed for this reason.
pub(super) fn letter(reason: Reason) -> DeadLetter {
    DeadLetter {
        partition: 2,
        offset: 258,
        timestamp: 1_700_000_000_000,
        key: None,
        value: None,
        omitted: None,
        original_headers: Vec::new(),
        rejection: Rejection::new(reason, "why"),
        retries: 0,
        failed_at: 1_700_000_017_000,
    }
}

/// The note that a letter was sent again and is event `2:<to>` now.
pub(super) fn note(dlq_offset: i64, to: i64) -> RedriveNote {
    RedriveNote {
        dlq_offset,
        attempt: 1,
        at: 1_700_000_018_000,
        by: None,
        request_id: None,
        forced: false,
        partition: 2,
        offset: to,
    }
}

/// A record of the dead letter topic, of order `ORD-0` or `ORD-1`.
pub(super) fn record(dlq_offset: i64, value: &[u8], headers: &[OriginalHeader]) -> OwnedMessage {
    let key = Some(format!("ORD-{}", dlq_offset % 2).into_bytes());
    let timestamp = Timestamp::CreateTime(1);
    let headers = Some(to_kafka(headers));
    OwnedMessage::new(Some(value.to_vec()), key, "dlq".to_owned(), timestamp, 0, dlq_offset, headers)
}

/// The record of the letter of event `2:<offset>`.
pub(super) fn letter_record(dlq_offset: i64, offset: i64, reason: Reason) -> OwnedMessage {
    let letter = DeadLetter { offset, ..letter(reason) };
    record(dlq_offset, b"value", &of_letter(&letter, "order-events", "group"))
}

/// The record of a [`note`].
pub(super) fn note_record(at: i64, dlq_offset: i64, to: i64) -> OwnedMessage {
    let note = note(dlq_offset, to);
    record(at, &serde_json::to_vec(&note).unwrap(), &note.headers())
}
