//! One letter by its offset, in memory or in the topic.

use super::source::{DeadLetterTopic, DeadLetterTopicError};
use crate::dead_letters::index::{Index, LastNote, TrackedLetter};
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::one_at_a_time::OneAtATime;
use crate::dead_letters::record::DeadLetterRecord;

/// Finds letters; cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    pub(crate) index: Index,
    pub(crate) topic: DeadLetterTopic,
    /// One at a time, since each takes a consumer, and a thread for as long as Kafka does not answer.
    readings: OneAtATime,
}

impl Lookup {
    /// Looks into this index, then into this topic.
    pub(crate) fn new(index: Index, topic: DeadLetterTopic) -> Self {
        Self { index, topic, readings: OneAtATime::default() }
    }

    /// The letter at an offset of the dead letter topic. If it was evicted from the index, it is read from the topic when
    /// earlier requests are done.
    ///
    /// # Errors
    /// The letter is not in memory, and the brokers do not answer.
    pub async fn find(&self, dlq_offset: i64) -> Result<Option<TrackedLetter>, DeadLetterTopicError> {
        match self.index.get(dlq_offset) {
            None if self.index.was_evicted(dlq_offset) => {
                let lookup = self.clone();
                let read = self.readings.run(move || lookup.read(dlq_offset)).await;
                read.unwrap_or(Err(DeadLetterTopicError::Lost))
            }
            found => Ok(found),
        }
    }

    /// As [`find`](Self::find), but blocks, and does not wait for other requests.
    pub(crate) fn find_blocking(
        &self,
        dlq_offset: i64,
    ) -> Result<Option<TrackedLetter>, DeadLetterTopicError> {
        match self.index.get(dlq_offset) {
            None if self.index.was_evicted(dlq_offset) => self.read(dlq_offset),
            found => Ok(found),
        }
    }

    fn read(&self, dlq_offset: i64) -> Result<Option<TrackedLetter>, DeadLetterTopicError> {
        let record = self.topic.read(&[dlq_offset])?.remove(&dlq_offset);
        let Some(DeadLetterRecord::Letter(letter)) = record.as_ref().map(DeadLetterRecord::of) else {
            return Ok(None);
        };
        let redrive = match self.index.last_note(dlq_offset) {
            LastNote::Known(redrive) => redrive,
            LastNote::Forgotten => self.search_note(dlq_offset)?,
        };
        Ok(Some(self.index.track(letter, redrive)))
    }

    /// The last note of a letter. Notes are behind their letters.
    fn search_note(&self, dlq_offset: i64) -> Result<Option<RedriveNote>, DeadLetterTopicError> {
        let mut last = None;
        self.topic.search(dlq_offset, self.index.next_offset(), |record| {
            let note = RedriveNote::of(record).filter(|note| note.dlq_offset == dlq_offset);
            last = note.or(last.take());
        })?;
        Ok(last)
    }
}
