//! One dead letter: as it is written, and as it is filed when it is read back.

use std::sync::Arc;

use compact_str::CompactString;
use order_events::{Place, Reason};
use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders};

use super::Category;
use super::headers::{self, Read};
use crate::event::original::OriginalHeader;
use crate::event::outcome::{Rejection, shortened};
use crate::event::record;
use crate::event::state::HeldUpdate;

/// The most bytes of its record that a letter may have. What is added must fit as well into the 4 MB of a record of the
/// dead letter topic.
const MAX_ORIGINAL_BYTES: usize = 3_900_000;

/// The most bytes of a key that is kept of a record that is too large, or that may be an order id.
const MAX_KEY_BYTES: usize = 1024;

/// A record that could not be processed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeadLetter {
    /// The partition of the events topic that it was in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970; -1 if it had none.
    pub timestamp: i64,
    /// Its key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// Its value, byte for byte; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// How many bytes the record has, if it is too large: then the letter has neither its value nor its headers.
    pub omitted: Option<usize>,
    /// Its headers, in their order.
    pub original_headers: Vec<OriginalHeader>,
    /// Why.
    pub rejection: Rejection,
    /// How often it was tried again before.
    pub retries: u32,
    /// When it was given up, in milliseconds since 1970.
    pub failed_at: i64,
}

impl DeadLetter {
    /// Of a record as it was polled.
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

    /// Of an update that was held.
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

    /// Whether its record was a letter before, which a redrive has sent again.
    pub(super) fn was_sent_again(&self) -> bool {
        self.original_headers.iter().any(|header| header.name == headers::ATTEMPT)
    }

    /// The headers of the letter: the record's own, and what is known of its failure.
    pub(crate) fn headers(&self, topic: &str, group: &str) -> OwnedHeaders {
        to_kafka(&headers::of_letter(self, topic, group))
    }
}

/// Headers as librdkafka takes them.
pub(super) fn to_kafka(headers: &[OriginalHeader]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |all, header| {
        all.insert(Header { key: &header.name, value: header.value.as_deref() })
    })
}

/// A letter as it is kept in memory. What other programs wrote into the topic may lack anything.
#[derive(Debug, Clone, PartialEq)]
pub struct Filed {
    /// Its offset in the dead letter topic, which names it.
    pub dlq_offset: i64,
    /// The record's key, if it is text and not longer than any id.
    pub order_id: Option<CompactString>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// How such failures are met.
    pub category: Option<Category>,
    /// Why, for people.
    pub message: Box<str>,
    /// How often it was tried again before it was given up.
    pub retry_count: u32,
    /// When it was given up, in milliseconds since 1970.
    pub failed_at: i64,
    /// The topic that the record was in.
    pub topic: Option<Arc<str>>,
    /// Its partition there.
    pub partition: Option<i32>,
    /// Its offset there.
    pub offset: Option<i64>,
    /// The record's value.
    pub value: Option<Box<[u8]>>,
    /// How often its event was sent again before it became this letter.
    pub attempts: u32,
    /// Where the event was before it was sent again for the first time.
    pub origin: Option<Place>,
}

impl Filed {
    /// Reads a record of the dead letter topic.
    pub fn of<M: Message>(record: &M) -> Self {
        let headers = record::headers(record);
        let read = Read(&headers);
        let reason = read.number::<Reason>(headers::REASON);
        let key = record.key().filter(|key| key.len() <= MAX_KEY_BYTES);
        let key = key.and_then(|key| str::from_utf8(key).ok());
        Self {
            dlq_offset: record.offset(),
            order_id: key.map(CompactString::from),
            reason,
            category: read.text(headers::CATEGORY).and_then(Category::named).or(reason.map(Category::of)),
            message: shortened(read.message().unwrap_or_default().to_owned()).into(),
            retry_count: read.number(headers::RETRY_COUNT).unwrap_or_default(),
            failed_at: read.failed_at().unwrap_or_else(|| record::timestamp(record)),
            topic: read.topic().map(Arc::from),
            partition: read.partition(),
            offset: read.offset(),
            value: record.payload().map(Box::from),
            attempts: read.number(headers::ATTEMPT).unwrap_or_default(),
            origin: read.origin(),
        }
    }

    /// Where its record is in the events topic.
    pub fn place(&self) -> Option<Place> {
        Some(Place { partition: self.partition?, offset: self.offset? })
    }

    /// When it was given up, as RFC 3339.
    pub fn failed_at_text(&self) -> String {
        headers::rfc3339(self.failed_at)
    }

    /// Roughly how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let texts = [self.order_id.as_deref(), self.topic.as_deref(), Some(&*self.message)];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        size_of::<Self>() + texts + self.value.as_ref().map_or(0, |value| value.len())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

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
