//! One letter by its offset, in memory or in the topic.

use super::source::{DeadLetterTopic, DeadLetterTopicError};
use crate::dead_letters::index::{Index, LastNote, TrackedLetter};
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::one_at_a_time::OneAtATime;
use crate::dead_letters::stored_letter::StoredLetter;

/// Finds letters; cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    pub(crate) index: Index,
    pub(crate) topic: DeadLetterTopic,
    /// Each reading takes a consumer, and a thread for as long as Kafka does not answer.
    readings: OneAtATime,
}

impl Lookup {
    /// In this memory, and in this topic.
    pub(crate) fn new(index: Index, topic: DeadLetterTopic) -> Self {
        Self { index, topic, readings: OneAtATime::default() }
    }

    /// The letter at an offset of the dead letter topic. One that is not in memory any more waits for its turn to be
    /// read; what never was there does not.
    ///
    /// # Errors
    /// The brokers are away, and the letter is not in memory.
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

    /// The same for a thread that may block; it waits for nobody.
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
        let Some(letter) = record.filter(|record| RedriveNote::of(record).is_none()) else { return Ok(None) };
        let redrive = match self.index.noted(dlq_offset) {
            LastNote::Known(redrive) => redrive,
            LastNote::Forgotten => self.search_note(dlq_offset)?,
        };
        Ok(Some(self.index.found(StoredLetter::of(&letter), redrive)))
    }

    /// The last note of a letter, which is somewhere behind it.
    fn search_note(&self, dlq_offset: i64) -> Result<Option<RedriveNote>, DeadLetterTopicError> {
        let mut last = None;
        self.topic.search(dlq_offset, self.index.next_offset(), |record| {
            let note = RedriveNote::of(record).filter(|note| note.dlq_offset == dlq_offset);
            last = note.or(last.take());
        })?;
        Ok(last)
    }
}
