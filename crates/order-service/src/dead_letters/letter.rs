//! One dead letter as it is written.

use rdkafka::Message;

use crate::event::original::OriginalHeader;
use crate::event::outcome::Rejection;
use crate::event::record;
use crate::event::state::HeldUpdate;

/// The largest record that its letter copies. With the added headers it must fit into the 4 MB that a record of the dead
/// letter topic may have.
const MAX_ORIGINAL_BYTES: usize = 3_900_000;

const _: () = assert!(MAX_ORIGINAL_BYTES < record::MAX_RECORD_BYTES, "a letter has headers of its own, too");

/// The longest key that the letter of a too large record keeps, and that can be an order id.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// A record that could not be processed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeadLetter {
    /// Its partition in the events topic.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970; -1 if it had none.
    pub timestamp: i64,
    /// Its key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// Its value, byte for byte; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The size of the record in bytes, if it is too large: then the letter has neither its value nor its headers.
    pub omitted: Option<usize>,
    /// Its headers, in their order.
    pub original_headers: Vec<OriginalHeader>,
    /// Why it failed.
    pub rejection: Rejection,
    /// How often it was tried again before it was given up.
    pub retries: u32,
    /// When it was given up, in milliseconds since 1970.
    pub failed_at: i64,
}

impl DeadLetter {
    /// The letter of a record as it was polled.
    pub(crate) fn of_record<M: Message>(
        record: &M,
        rejection: Rejection,
        retries: u32,
        failed_at: i64,
    ) -> Self {
        let original_headers = record::headers(record);
        let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let headers_size: usize = original_headers.iter().map(OriginalHeader::size).sum();
        let size = bytes(record.key()) + bytes(record.payload()) + headers_size;
        let is_too_large = size > MAX_ORIGINAL_BYTES;
        let key = record.key().filter(|key| !is_too_large || key.len() <= MAX_KEY_BYTES);
        let value = record.payload().filter(|_| !is_too_large);
        Self {
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record::timestamp(record),
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            omitted: is_too_large.then_some(size),
            original_headers: if is_too_large { Vec::new() } else { original_headers },
            rejection,
            retries,
            failed_at,
        }
    }

    /// The letter of an update that was held.
    pub(crate) fn of_held(
        partition: i32,
        order_id: &str,
        held: HeldUpdate,
        rejection: Rejection,
        failed_at: i64,
    ) -> Self {
        Self {
            partition,
            offset: held.event.offset,
            timestamp: held.original.timestamp,
            key: Some(order_id.as_bytes().to_vec()),
            value: Some(held.original.value),
            omitted: None,
            original_headers: held.original.headers,
            rejection,
            retries: 0,
            failed_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use order_events::Reason;
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    /// A letter of a record with a value of this many bytes, whose header takes 15 bytes.
    fn of_size(key: &[u8], value: usize) -> DeadLetter {
        let headers = OwnedHeaders::new().insert(Header { key: "own", value: Some("it") });
        let (key, value) = (Some(key.to_vec()), Some(vec![7; value]));
        let record =
            OwnedMessage::new(value, key, "t".to_owned(), Timestamp::CreateTime(5), 2, 9, Some(headers));
        DeadLetter::of_record(&record, Rejection::new(Reason::Undecodable, "why"), 0, 7)
    }

    #[test]
    fn a_record_that_fits_is_copied_and_of_a_larger_one_only_the_place_and_a_short_key() {
        let largest = MAX_ORIGINAL_BYTES - 3 - 15;
        let letter = of_size(b"key", largest);
        assert_eq!((letter.partition, letter.offset, letter.timestamp), (2, 9, 5));
        assert_eq!(letter.key.as_deref(), Some(b"key".as_slice()));
        assert_eq!(letter.value.map(|value| value.len()), Some(largest));
        assert_eq!((letter.original_headers.len(), letter.omitted), (1, None));

        let letter = of_size(b"key", largest + 1);
        assert_eq!((letter.partition, letter.offset, letter.timestamp), (2, 9, 5));
        assert_eq!(letter.key.as_deref(), Some(b"key".as_slice()));
        assert_eq!((letter.value, letter.original_headers.len()), (None, 0));
        assert_eq!(letter.omitted, Some(MAX_ORIGINAL_BYTES + 1));

        assert_eq!(of_size(&[b'k'; MAX_KEY_BYTES], largest).key.map(|key| key.len()), Some(MAX_KEY_BYTES));
        assert_eq!(of_size(&[b'k'; MAX_KEY_BYTES + 1], largest).key, None);
    }
}
