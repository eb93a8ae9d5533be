//! The note that a letter was sent again: a record of the dead letter topic, as durable as the letter itself, where every
//! instance finds it.

use order_events::Place;
use rdkafka::Message;
use serde::{Deserialize, Serialize};

use super::headers::{self, LetterHeaders};
use crate::event::original::OriginalHeader;
use crate::event::record;

/// All headers of a note.
const HEADERS: [&str; 2] = [headers::REDRIVE_OF, "content-type"];

/// A redrive of one letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveNote {
    /// The letter's offset in the dead letter topic.
    pub dlq_offset: i64,
    /// How often its event was sent again, this time included.
    pub attempt: u32,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The person who asked for it, if they said so.
    pub by: Option<String>,
    /// The `x-request-id` of the request, under which the log has more.
    pub request_id: Option<String>,
    /// Whether it was forced.
    pub forced: bool,
    /// The partition where the event is now.
    pub partition: i32,
    /// The offset where the event is now.
    pub offset: i64,
}

impl RedriveNote {
    /// Reads the note in a record of the dead letter topic, if it is one.
    pub fn of<M: Message>(record: &M) -> Option<Self> {
        let headers = record::headers(record);
        // A letter may have the value and the headers of a note, if its record had them; but it has more headers.
        if !headers.iter().map(|header| header.name.as_str()).eq(HEADERS) {
            return None;
        }
        let of: i64 = LetterHeaders(&headers).number(headers::REDRIVE_OF)?;
        let note: Self = serde_json::from_slice(record.payload()?).ok()?;
        (note.dlq_offset == of).then_some(note)
    }

    /// The headers of the note.
    pub(super) fn headers(&self) -> Vec<OriginalHeader> {
        let values = [self.dlq_offset.to_string(), "application/json".to_owned()];
        HEADERS.into_iter().zip(values).map(|(name, value)| headers::header(name, value.into())).collect()
    }

    /// Roughly how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let texts = [self.by.as_ref(), self.request_id.as_ref()];
        size_of::<Self>() + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// The place of the event now.
    pub fn place(&self) -> Place {
        Place { partition: self.partition, offset: self.offset }
    }

    /// When, as RFC 3339.
    pub fn at_text(&self) -> String {
        headers::rfc3339(self.at)
    }
}
