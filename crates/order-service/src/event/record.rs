//! From a record to an event that can be folded, or to the reason why not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use order_events::codec::{DecodeError, SchemaId, Undecodable};
use order_events::{EventCodec, OrderEvent, Place, Position, Reason};
use rdkafka::Message;
use rdkafka::message::Headers;

use crate::event::fold::{Incoming, MAX_HELD_BYTES};
use crate::event::key::EventKey;
use crate::event::original::{OriginalHeader, OriginalRecord};
use crate::event::outcome::Rejection;
use crate::event::redrive_origin;

/// The most bytes of a record that order-service writes, uncompressed.
pub(crate) const MAX_RECORD_BYTES: usize = 4_000_000;

/// An event must be smaller than this, in bytes, as it is when it is not compressed. A state holds an order, a status of
/// another event, and half a MiB of updates that wait: together less than the 4 MB of a record of the changelog.
const MAX_VALUE_BYTES: usize = 1_500_000;

const _: () = assert!(2 * MAX_VALUE_BYTES + MAX_HELD_BYTES < MAX_RECORD_BYTES, "a state fits into a record");

/// Why a record is not an event to be folded.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// For good.
    Rejected(Rejection),
    /// Its schema must be fetched first.
    SchemaNeeded(SchemaId),
}

/// Reads a record of the events topic; `original` copies it, and `may_wait` is told to the fold.
///
/// # Errors
/// See [`Unreadable`].
pub(crate) fn read<'a, M: Message>(
    record: &M,
    codec: &EventCodec,
    may_wait: bool,
    original: &'a dyn Fn() -> OriginalRecord,
) -> Result<Incoming<'a>, Unreadable> {
    let event = codec.decode(record.payload()).map_err(|error| match error {
        DecodeError::Undecodable(undecodable) => Unreadable::Rejected(rejection(&undecodable)),
        DecodeError::SchemaNeeded(id) => Unreadable::SchemaNeeded(id),
    })?;
    event.validate(record.key()).map_err(|error| Unreadable::Rejected(invalid(error.to_string())))?;
    check_size(record.payload(), &event, codec).map_err(Unreadable::Rejected)?;
    let of_headers = readable(|| {
        let key = EventKey::of(&order_events::headers::event_id(record.headers(), || position(record)));
        (key, record.headers().and_then(redrive_origin::of))
    });
    let (key, redriven_from) =
        of_headers.ok_or_else(|| Unreadable::Rejected(invalid("a header's name is not UTF-8")))?;
    // An event is sent again into its partition, behind its first place; anything else is no doing of ours.
    let redriven_from = redriven_from
        .filter(|place| place.partition == record.partition() && place.offset < record.offset())
        .map(|place| place.offset);
    let (offset, timestamp) = (record.offset(), timestamp(record));
    Ok(Incoming { event, key, offset, timestamp, redriven_from, may_wait, original })
}

/// Whether what becomes of an event can be written. What another program's schema says in few bytes may take many in
/// ours.
///
/// # Errors
/// It may be too large.
pub(crate) fn check_size(
    value: Option<&[u8]>,
    event: &OrderEvent,
    codec: &EventCodec,
) -> Result<(), Rejection> {
    let value = value.unwrap_or_default();
    let mut size = value.len();
    if !codec.is_own(value) {
        let mut ours = Vec::new();
        codec.encode(event, &mut ours).map_err(|error| invalid(error.to_string()))?;
        size = size.max(ours.len());
    }
    match size {
        MAX_VALUE_BYTES.. => {
            Err(invalid(format!("the event has {size} bytes; it must have less than {MAX_VALUE_BYTES}")))
        }
        _ => Ok(()),
    }
}

fn invalid(detail: impl Into<String>) -> Rejection {
    Rejection::new(Reason::InvalidEvent, detail)
}

/// What is read of headers. `None` if a name is not UTF-8: rdkafka panics then, and gives no other way to look.
fn readable<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}

/// Where a record is.
pub(crate) fn position<M: Message>(record: &M) -> Position {
    let place = Place { partition: record.partition(), offset: record.offset() };
    Position { topic: record.topic().to_owned(), place }
}

/// When a record was made, in milliseconds since 1970; -1 if it does not say.
pub(crate) fn timestamp<M: Message>(record: &M) -> i64 {
    record.timestamp().to_millis().unwrap_or(-1)
}

/// The key of a record's `ce_id`, if it has one that can be read.
pub(crate) fn own_key<M: Message>(record: &M) -> Option<EventKey> {
    readable(|| order_events::headers::own_event_id(record.headers()).map(EventKey::of)).flatten()
}

/// Copies a record, without the headers whose names are not UTF-8.
pub(crate) fn original<M: Message>(record: &M) -> OriginalRecord {
    OriginalRecord {
        value: record.payload().unwrap_or_default().to_vec(),
        timestamp: timestamp(record),
        headers: headers(record),
    }
}

/// Copies the headers of a record, without those whose names are not UTF-8.
pub(crate) fn headers<M: Message>(record: &M) -> Vec<OriginalHeader> {
    let Some(headers) = record.headers() else { return Vec::new() };
    let header = |at| {
        let header = headers.get(at);
        OriginalHeader { name: header.key.to_owned(), value: header.value.map(<[u8]>::to_vec) }
    };
    (0..headers.count()).filter_map(|at| readable(|| header(at))).collect()
}

/// What cannot be decoded, as a rejection.
pub(crate) fn rejection(undecodable: &Undecodable) -> Rejection {
    let reason = match undecodable {
        Undecodable::UnknownSchema { .. } => Reason::UnknownSchema,
        _ => Reason::Undecodable,
    };
    Rejection::new(reason, undecodable.to_string())
}
