//! One dead letter as it is read back.

use std::sync::Arc;

use compact_str::CompactString;
use order_events::{Place, Reason};
use rdkafka::Message;

use super::category::Category;
use super::headers::{self, LetterHeaders};
use super::letter::MAX_KEY_BYTES;
use crate::event::key::EventKey;
use crate::event::outcome::shortened;
use crate::event::record;

/// A letter in memory. Anything may be missing in one that another program has written.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLetter {
    /// Its offset in the dead letter topic: its name.
    pub dlq_offset: i64,
    /// The record's key, if it is text and not longer than any id.
    pub order_id: Option<CompactString>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// How the failure is met.
    pub category: Option<Category>,
    /// Why it failed, for people.
    pub message: Box<str>,
    /// How often it was tried again before it was given up.
    pub retry_count: u32,
    /// When it was given up, in milliseconds since 1970.
    pub failed_at: i64,
    /// The topic of the original record.
    pub topic: Option<Arc<str>>,
    /// The partition of the original record.
    pub partition: Option<i32>,
    /// The offset of the original record.
    pub offset: Option<i64>,
    /// The id of the event, if it has one.
    pub event: Option<EventKey>,
    /// The value of the original record.
    pub value: Option<Box<[u8]>>,
    /// How often its event had been sent again before.
    pub attempts: u32,
    /// The place of the event before its first redrive.
    pub origin: Option<Place>,
}

impl StoredLetter {
    /// Reads a record of the dead letter topic.
    pub fn of<M: Message>(record: &M) -> Self {
        let headers = record::headers(record);
        let read = LetterHeaders(&headers);
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
            event: record::own_key(record),
            value: record.payload().map(Box::from),
            attempts: read.number(headers::ATTEMPT).unwrap_or_default(),
            origin: read.origin(),
        }
    }

    /// The place of the original record.
    pub fn place(&self) -> Option<Place> {
        Some(Place { partition: self.partition?, offset: self.offset? })
    }

    /// Whether it is the letter of this record, which is at its place: that has its event id and its value.
    pub(super) fn is_of(&self, record: &impl Message) -> bool {
        self.event == record::own_key(record) && self.value.as_deref() == record.payload()
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
