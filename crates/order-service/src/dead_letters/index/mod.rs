//! The dead letters in memory, which answer `/dlq`: `contents.rs` takes letters and notes and evicts the oldest,
//! `evicted.rs` keeps what is still needed of those, `query.rs` has what is asked and answered.

mod contents;
mod evicted;
mod query;

use std::sync::{Arc, PoisonError, RwLock};

use order_events::Reason;
use rdkafka::Message;

use self::contents::Contents;
pub(crate) use self::contents::Stats;
pub(crate) use self::evicted::LastNote;
pub(crate) use self::query::{BatchQuery, Filter, TrackedLetter};
use super::note::RedriveNote;
use super::record::DeadLetterRecord;
use super::stored_letter::StoredLetter;

/// A handle; cheap to clone. The follower writes what it reads, everybody else asks.
#[derive(Clone)]
pub struct Index(Arc<RwLock<Contents>>);

impl Index {
    /// Empty; keeps at most `max_letters`. Only letters from `events_topic` can be what became of a redrive.
    pub fn new(max_letters: usize, events_topic: &str) -> Self {
        Self(Arc::new(RwLock::new(Contents::new(max_letters, events_topic.into()))))
    }

    /// Takes a record of the dead letter topic; ignores one that it has taken before.
    pub fn take<M: Message>(&self, record: &M) {
        // Copies the value, so outside of the lock.
        let (offset, record) = (record.offset(), DeadLetterRecord::of(record));
        self.write(|contents| contents.take(offset, record));
    }

    /// The topic was read to its end.
    pub fn set_loaded(&self) {
        if !self.is_loaded() {
            self.write(|contents| contents.loaded = true);
        }
    }

    /// Forgets everything, for a topic that was recreated.
    pub fn clear(&self) {
        self.write(Contents::clear);
    }

    /// Whether the topic was read to its end once.
    pub fn is_loaded(&self) -> bool {
        self.read(|contents| contents.loaded)
    }

    /// The first offset that was not read.
    pub fn next_offset(&self) -> i64 {
        self.read(|contents| contents.next_offset)
    }

    /// Why this record became a dead letter, if it did: a letter in memory has its place, its event id and its value.
    pub(crate) fn reason_of(&self, record: &impl Message) -> Option<Reason> {
        self.read(|contents| contents.reason_of(record))
    }

    /// How many letters there are.
    pub fn stats(&self) -> Stats {
        self.read(Contents::stats)
    }

    /// A page of the letters that match, the newest first.
    pub fn newest(&self, filter: &Filter, skip: usize, limit: usize) -> Vec<TrackedLetter> {
        self.read(|contents| contents.newest(filter, skip, limit))
    }

    /// The oldest letters that match and fit into one transaction; and how many more match.
    pub(super) fn oldest(&self, query: BatchQuery<'_>) -> (Vec<TrackedLetter>, usize) {
        self.read(|contents| contents.oldest(query))
    }

    /// The letter at an offset of the dead letter topic, if it is in memory.
    pub fn get(&self, dlq_offset: i64) -> Option<TrackedLetter> {
        self.read(|contents| contents.get(dlq_offset))
    }

    /// Whether a letter at this offset may have been evicted. If not, and it is not in memory, then there is no letter
    /// at this offset, but a note or a control record.
    pub(super) fn was_evicted(&self, dlq_offset: i64) -> bool {
        self.read(|contents| contents.was_evicted(dlq_offset))
    }

    /// The last note of a letter that was evicted, as far as it is known.
    pub(super) fn last_note(&self, dlq_offset: i64) -> LastNote {
        self.read(|contents| contents.evicted.last_note(dlq_offset))
    }

    /// Adds to a letter that was evicted what became of its last redrive.
    pub(super) fn track(&self, letter: StoredLetter, redrive: Option<RedriveNote>) -> TrackedLetter {
        self.read(|contents| contents.track(Arc::new(letter), redrive))
    }

    fn read<T>(&self, look: impl FnOnce(&Contents) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use order_events::{OrderId, Place, Reason};

    use super::*;
    use crate::dead_letters::category::Category;
    use crate::dead_letters::headers;
    use crate::dead_letters::letter::DeadLetter;
    use crate::dead_letters::sample::{self, letter_record, note_record};

    fn offsets(letters: &[TrackedLetter]) -> Vec<i64> {
        letters.iter().map(|tracked| tracked.letter.dlq_offset).collect()
    }

    #[test]
    fn letters_are_found_by_what_they_are_the_newest_first() {
        let index = Index::new(100, "order-events");
        for offset in 0..6 {
            let reason = if offset < 4 { Reason::Undecodable } else { Reason::ProcessingFailed };
            index.take(&letter_record(offset, 10 + offset, reason));
        }
        assert_eq!(offsets(&index.newest(&Filter::default(), 1, 3)), [4, 3, 2]);
        let retried = Filter { category: Some(Category::RetryThenDlq), ..Filter::default() };
        assert_eq!(offsets(&index.newest(&retried, 0, 9)), [5, 4]);
        let of_order = Filter {
            order_id: Some(OrderId::parse("ORD-1", "").unwrap()),
            reason: Some(Reason::Undecodable),
            ..Filter::default()
        };
        assert_eq!(offsets(&index.newest(&of_order, 0, 9)), [3, 1]);
        let stats = index.stats();
        assert_eq!((stats.total, stats.in_memory), (6, 6));
        assert_eq!(stats.categories[&Some("NO_RETRY_DLQ")], 4);
        let found = index.get(5).unwrap();
        assert_eq!(found.letter.place(), Some(Place { partition: 2, offset: 15 }));
        assert_eq!((&*found.letter.message, found.letter.failed_at), ("why", 1_700_000_017_000));
    }

    #[test]
    fn a_batch_begins_where_it_should_and_knows_what_remains() {
        let index = Index::new(100, "order-events");
        for offset in 0..6 {
            index.take(&letter_record(offset, 10 + offset, Reason::UnknownOrder));
        }
        index.take(&note_record(6, 2, 20));
        let size = index.get(0).unwrap().letter.size();
        let filter = Filter::default();
        let all =
            BatchQuery { filter: &filter, after: None, only_new: true, limit: 9, max_bytes: usize::MAX };
        let oldest = |query| {
            let (found, remaining) = index.oldest(query);
            (offsets(&found), remaining)
        };
        assert_eq!(oldest(all), (vec![0, 1, 3, 4, 5], 0));
        assert_eq!(oldest(BatchQuery { limit: 2, ..all }), (vec![0, 1], 3));
        assert_eq!(oldest(BatchQuery { after: Some(1), limit: 1, ..all }), (vec![3], 2));
        assert_eq!(oldest(BatchQuery { after: Some(1), only_new: false, limit: 1, ..all }), (vec![2], 3));
        assert_eq!(oldest(BatchQuery { max_bytes: 2 * size, ..all }), (vec![0, 1], 3));
        // A letter is never too large to be sent alone.
        assert_eq!(oldest(BatchQuery { max_bytes: 1, ..all }), (vec![0], 4));
        assert_eq!(oldest(BatchQuery { after: Some(5), ..all }), (vec![], 0));
    }

    #[test]
    fn a_letter_of_a_record_that_looks_like_a_note_is_a_letter() {
        let index = Index::new(100, "order-events");
        index.take(&letter_record(0, 10, Reason::Undecodable));
        let note = crate::event::record::original(&note_record(1, 0, 20));
        let letter = DeadLetter { original_headers: note.headers, ..sample::letter(Reason::Undecodable) };
        let headers = headers::of_letter(&letter, "order-events", "group");
        index.take(&sample::record(1, &note.value, &headers));
        assert_eq!((index.stats().total, index.stats().redriven), (2, 0));
        assert!(index.get(0).unwrap().redrive.is_none());
    }

    #[test]
    fn a_redrive_is_followed_to_its_end() {
        let index = Index::new(100, "order-events");
        index.take(&letter_record(0, 10, Reason::UnknownOrder));
        index.take(&note_record(1, 0, 20));
        let found = index.get(0).unwrap();
        assert_eq!((found.redrive.unwrap().offset, found.dead_again), (20, None));
        // A note is no letter.
        assert_eq!((index.stats().total, index.stats().redriven), (1, 1));
        index.take(&letter_record(2, 20, Reason::UnknownOrder));
        assert_eq!(index.get(0).unwrap().dead_again, Some(2));
        // A copy of what is known changes nothing.
        index.take(&letter_record(2, 20, Reason::UnknownOrder));
        assert_eq!(index.stats().total, 2);
    }
}
