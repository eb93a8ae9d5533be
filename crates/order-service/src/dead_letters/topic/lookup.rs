//! One letter by its offset, in memory or in the topic.

use super::source::{Source, SourceError};
use crate::dead_letters::index::{Found, Index, Noted};
use crate::dead_letters::note::Redrive;
use crate::dead_letters::one_at_a_time::OneAtATime;
use crate::dead_letters::stored_letter::Filed;

/// Finds letters; cheap to clone.
#[derive(Clone)]
pub struct Lookup {
    pub(crate) index: Index,
    pub(crate) source: Source,
    /// Each reading takes a consumer, and a thread for as long as Kafka does not answer.
    readings: OneAtATime,
}

impl Lookup {
    /// In this memory, and in this topic.
    pub(crate) fn new(index: Index, source: Source) -> Self {
        Self { index, source, readings: OneAtATime::default() }
    }

    /// The letter at an offset of the dead letter topic. One that is not in memory any more waits for its turn to be
    /// read; what never was there does not.
    ///
    /// # Errors
    /// The brokers are away, and the letter is not in memory.
    pub async fn find(&self, dlq_offset: i64) -> Result<Option<Found>, SourceError> {
        match self.index.get(dlq_offset) {
            None if self.index.is_forgotten(dlq_offset) => {
                let lookup = self.clone();
                let read = self.readings.run(move || lookup.read(dlq_offset)).await;
                read.unwrap_or(Err(SourceError::Lost))
            }
            found => Ok(found),
        }
    }

    /// The same for a thread that may block; it waits for nobody.
    pub(crate) fn find_blocking(&self, dlq_offset: i64) -> Result<Option<Found>, SourceError> {
        match self.index.get(dlq_offset) {
            None if self.index.is_forgotten(dlq_offset) => self.read(dlq_offset),
            found => Ok(found),
        }
    }

    fn read(&self, dlq_offset: i64) -> Result<Option<Found>, SourceError> {
        let record = self.source.read(&[dlq_offset])?.remove(&dlq_offset);
        let Some(letter) = record.filter(|record| Redrive::of(record).is_none()) else { return Ok(None) };
        let redrive = match self.index.noted(dlq_offset) {
            Noted::Known(redrive) => redrive,
            Noted::Forgotten => self.search_note(dlq_offset)?,
        };
        Ok(Some(self.index.found(Filed::of(&letter), redrive)))
    }

    /// The last note of a letter, which is somewhere behind it.
    fn search_note(&self, dlq_offset: i64) -> Result<Option<Redrive>, SourceError> {
        let mut last = None;
        self.source.search(dlq_offset, self.index.next_offset(), |record| {
            let note = Redrive::of(record).filter(|note| note.dlq_offset == dlq_offset);
            last = note.or(last.take());
        })?;
        Ok(last)
    }
}
