//! From a record to an event that can be folded, or to the reason why not.

use order_events::codec::{DecodeError, Undecodable};
use order_events::registry::SchemaId;
use order_events::{EventCodec, Position, headers};
use rdkafka::Message;

use crate::event_key::EventKey;
use crate::fold::Incoming;
use crate::outcome::{Reason, Rejection};

/// Why a record is not an event to be folded.
#[derive(Debug)]
pub enum Unreadable {
    /// For good.
    Rejected(Rejection),
    /// Its schema must be fetched first.
    SchemaNeeded(SchemaId),
}

/// Reads a record of the events topic.
///
/// # Errors
/// See [`Unreadable`].
pub fn read<M: Message>(record: &M, codec: &EventCodec) -> Result<Incoming, Unreadable> {
    let event = codec.decode(record.payload()).map_err(|error| match error {
        DecodeError::Undecodable(undecodable) => Unreadable::Rejected(rejection(&undecodable)),
        DecodeError::SchemaNeeded(id) => Unreadable::SchemaNeeded(id),
    })?;
    event.validate(record.key()).map_err(|invalid| {
        Unreadable::Rejected(Rejection { reason: Reason::InvalidEvent, detail: invalid.to_string() })
    })?;
    let place =
        Position { topic: record.topic().to_owned(), partition: record.partition(), offset: record.offset() };
    let key = EventKey::of(&headers::event_id(record.headers(), &place));
    Ok(Incoming { event, key, offset: record.offset() })
}

/// What cannot be decoded, as a rejection.
pub fn rejection(undecodable: &Undecodable) -> Rejection {
    let reason = match undecodable {
        Undecodable::UnknownSchema { .. } => Reason::UnknownSchema,
        _ => Reason::Undecodable,
    };
    Rejection { reason, detail: undecodable.to_string() }
}
