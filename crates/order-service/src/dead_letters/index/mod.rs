//! The dead letters in memory: what `/dlq` answers from.

mod evicted;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use order_events::{OrderId, Place, Reason};
use rdkafka::Message;

use self::evicted::EvictedLetters;
pub(crate) use self::evicted::LastNote;
use crate::dead_letters::category::Category;
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::stored_letter::StoredLetter;

/// How many bytes of letters are kept, at most.
const MAX_BYTES: usize = 256 << 20;

/// A handle; cheap to clone. What does not fit is forgotten, the oldest letters first. The notes of what was forgotten
/// are kept a while longer, see `ForgottenNotes`.
#[derive(Clone)]
pub struct Index(Arc<RwLock<Inner>>);

#[derive(Default)]
struct Inner {
    /// The oldest first.
    letters: VecDeque<Entry>,
    bytes: usize,
    max_letters: usize,
    events_topic: Arc<str>,
    evicted: EvictedLetters,
    /// The letter of a place in the events topic.
    by_place: HashMap<Place, i64>,
    stats: Stats,
    /// From here on, every letter is in memory.
    letters_from: i64,
    /// The first offset that was not read.
    next_offset: i64,
    /// Whether the topic was read to its end once.
    loaded: bool,
}

/// A letter in memory, and its last redrive.
struct Entry {
    letter: Arc<StoredLetter>,
    redrive: Option<Box<RedriveNote>>,
}

/// How many letters there are. All that are in the topic, unless retention took some since the service started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// All of them.
    pub total: u64,
    /// How many of them are in memory.
    pub in_memory: usize,
    /// By category; `None` is what other programs wrote.
    pub categories: BTreeMap<Option<&'static str>, u64>,
    /// By reason.
    pub reasons: BTreeMap<Option<&'static str>, u64>,
    /// How many were sent again. One that was forced counts twice if the note of the first time was forgotten.
    pub redriven: u64,
}

/// Which letters are wanted; everything that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this category.
    pub category: Option<Category>,
    /// With this reason.
    pub reason: Option<Reason>,
    /// Of this order.
    pub order_id: Option<OrderId>,
}

impl Filter {
    fn takes(&self, letter: &StoredLetter) -> bool {
        self.category.is_none_or(|category| letter.category == Some(category))
            && self.reason.is_none_or(|reason| letter.reason == Some(reason))
            && self.order_id.as_ref().is_none_or(|id| letter.order_id.as_deref() == Some(id.as_str()))
    }
}

/// As many letters as go into one transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchQuery<'a> {
    pub(super) filter: &'a Filter,
    /// Only those behind this offset.
    pub(super) after: Option<i64>,
    /// Only those that were not sent again yet.
    pub(super) only_new: bool,
    /// At most so many.
    pub(super) limit: usize,
    /// At most so many bytes; but a letter is never too large to be the only one.
    pub(super) max_bytes: usize,
}

/// A letter, and its last redrive.
#[derive(Debug, Clone)]
pub struct TrackedLetter {
    /// The letter.
    pub letter: Arc<StoredLetter>,
    /// When it was sent again.
    pub redrive: Option<RedriveNote>,
    /// The letter that its event became after that, if it did.
    pub dead_again: Option<i64>,
}

impl Index {
    /// Knows nothing yet, and keeps at most so many letters. The events that they were come from `events_topic`, or
    /// are none of ours.
    pub fn new(max_letters: usize, events_topic: &str) -> Self {
        Self(Arc::new(RwLock::new(Inner::new(max_letters, events_topic.into()))))
    }

    /// Takes a record of the dead letter topic; what was taken before is ignored.
    pub fn take<M: Message>(&self, record: &M) {
        let (redrive, offset) = (RedriveNote::of(record), record.offset());
        let letter = redrive.is_none().then(|| StoredLetter::of(record));
        self.write(|inner| {
            if offset < inner.next_offset {
                return;
            }
            inner.next_offset = offset + 1;
            inner.file(letter, redrive);
        });
    }

    /// The topic was read to its end.
    pub fn set_loaded(&self) {
        if !self.is_loaded() {
            self.write(|inner| inner.loaded = true);
        }
    }

    /// The topic is another one: forgets everything.
    pub fn clear(&self) {
        self.write(|inner| *inner = Inner::new(inner.max_letters, inner.events_topic.clone()));
    }

    /// Whether the topic was read to its end once.
    pub fn is_loaded(&self) -> bool {
        self.read(|inner| inner.loaded)
    }

    /// The first offset that was not read.
    pub fn next_offset(&self) -> i64 {
        self.read(|inner| inner.next_offset)
    }

    /// How many letters there are.
    pub fn stats(&self) -> Stats {
        self.read(|inner| Stats { in_memory: inner.letters.len(), ..inner.stats.clone() })
    }

    /// A page of the letters that `filter` takes, the newest first.
    pub fn newest(&self, filter: &Filter, skip: usize, limit: usize) -> Vec<TrackedLetter> {
        self.read(|inner| {
            let wanted = inner.letters.iter().rev().filter(|entry| filter.takes(&entry.letter));
            wanted.skip(skip).take(limit).map(|entry| inner.found(entry)).collect()
        })
    }

    /// The oldest letters of which a portion consists, and how many more there are.
    pub(super) fn oldest(&self, portion: BatchQuery<'_>) -> (Vec<TrackedLetter>, usize) {
        self.read(|inner| {
            let (mut found, mut bytes, mut remaining) = (Vec::new(), 0, 0);
            for entry in inner.wanted(portion) {
                bytes += entry.letter.size();
                if found.is_empty() || (found.len() < portion.limit && bytes <= portion.max_bytes) {
                    found.push(inner.found(entry));
                } else {
                    remaining += 1;
                }
            }
            (found, remaining)
        })
    }

    /// The letter at an offset of the dead letter topic, if it is in memory.
    pub fn get(&self, dlq_offset: i64) -> Option<TrackedLetter> {
        self.read(|inner| {
            let at = inner.position(dlq_offset)?;
            Some(inner.found(&inner.letters[at]))
        })
    }

    /// Whether the letter at this offset was in memory and made room. Else what is not there is no letter, but a note
    /// or the mark of a transaction.
    pub(super) fn was_evicted(&self, dlq_offset: i64) -> bool {
        self.read(|inner| dlq_offset < inner.letters_from)
    }

    /// What is known of the redrives of a letter that is not in memory.
    pub(super) fn noted(&self, dlq_offset: i64) -> LastNote {
        self.read(|inner| inner.evicted.of(dlq_offset))
    }

    /// A letter that is not in memory, with what became of its last redrive.
    pub(super) fn found(&self, letter: StoredLetter, redrive: Option<RedriveNote>) -> TrackedLetter {
        self.read(|inner| inner.found(&Entry { letter: Arc::new(letter), redrive: redrive.map(Box::new) }))
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Entry {
    fn size(&self) -> usize {
        self.letter.size() + self.redrive.as_ref().map_or(0, |redrive| redrive.size())
    }
}

impl Inner {
    fn new(max_letters: usize, events_topic: Arc<str>) -> Self {
        let evicted = EvictedLetters::new(max_letters);
        Self { max_letters, events_topic, evicted, ..Self::default() }
    }

    fn file(&mut self, letter: Option<StoredLetter>, redrive: Option<RedriveNote>) {
        if let Some(redrive) = redrive {
            self.note(redrive);
        }
        if let Some(letter) = letter {
            self.add(letter);
        }
        while self.letters.len() > self.max_letters || self.bytes > MAX_BYTES {
            let Some(oldest) = self.letters.pop_front() else { break };
            self.forget(oldest);
        }
    }

    /// A note of what is no letter, as of one that retention has taken, is about nothing.
    fn note(&mut self, redrive: RedriveNote) {
        let is_first = if let Some(at) = self.position(redrive.dlq_offset) {
            self.bytes += redrive.size();
            let last = self.letters[at].redrive.replace(Box::new(redrive));
            self.bytes -= last.as_ref().map_or(0, |last| last.size());
            last.is_none()
        } else {
            redrive.dlq_offset < self.letters_from && self.evicted.add(redrive)
        };
        self.stats.redriven += u64::from(is_first);
    }

    fn add(&mut self, letter: StoredLetter) {
        self.stats.total += 1;
        *self.stats.categories.entry(letter.category.map(Category::as_str)).or_default() += 1;
        *self.stats.reasons.entry(letter.reason.map(Reason::as_str)).or_default() += 1;
        if let Some(place) = self.place(&letter) {
            self.by_place.insert(place, letter.dlq_offset);
        }
        let entry = Entry { letter: Arc::new(letter), redrive: None };
        self.bytes += entry.size();
        self.letters.push_back(entry);
    }

    fn forget(&mut self, oldest: Entry) {
        self.bytes -= oldest.size();
        let Entry { letter, redrive } = oldest;
        self.letters_from = letter.dlq_offset + 1;
        if let Some(place) = self.place(&letter)
            && self.by_place.get(&place) == Some(&letter.dlq_offset)
        {
            self.by_place.remove(&place);
        }
        if let Some(redrive) = redrive {
            self.evicted.add(*redrive);
        }
    }

    /// Where the event of a letter was in our topic.
    fn place(&self, letter: &StoredLetter) -> Option<Place> {
        letter.place().filter(|_| letter.topic.as_deref() == Some(&*self.events_topic))
    }

    fn position(&self, dlq_offset: i64) -> Option<usize> {
        self.letters.binary_search_by_key(&dlq_offset, |entry| entry.letter.dlq_offset).ok()
    }

    /// What a portion is taken from.
    fn wanted(&self, portion: BatchQuery<'_>) -> impl Iterator<Item = &Entry> {
        let after = portion.after.unwrap_or(-1);
        let start = self.letters.partition_point(|entry| entry.letter.dlq_offset <= after);
        self.letters.range(start..).filter(move |entry| {
            portion.filter.takes(&entry.letter) && (entry.redrive.is_none() || !portion.only_new)
        })
    }

    fn found(&self, Entry { letter, redrive }: &Entry) -> TrackedLetter {
        let place = redrive.as_ref().map(|redrive| redrive.place());
        let dead_again = place.and_then(|place| self.by_place.get(&place).copied());
        TrackedLetter { letter: letter.clone(), redrive: redrive.as_deref().cloned(), dead_again }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;
    use crate::dead_letters::headers::{self, to_kafka};
    use crate::dead_letters::letter::DeadLetter;
    use crate::event::outcome::Rejection;

    fn record(
        dlq_offset: i64,
        value: &[u8],
        headers: &[crate::event::original::OriginalHeader],
    ) -> OwnedMessage {
        let key = Some(format!("ORD-{}", dlq_offset % 2).into_bytes());
        let timestamp = Timestamp::CreateTime(1);
        let headers = Some(to_kafka(headers));
        OwnedMessage::new(Some(value.to_vec()), key, "dlq".to_owned(), timestamp, 0, dlq_offset, headers)
    }

    /// The letter of event `1:<offset>`.
    fn letter(dlq_offset: i64, offset: i64, reason: Reason) -> OwnedMessage {
        let letter = DeadLetter {
            partition: 1,
            offset,
            timestamp: 5,
            key: None,
            value: None,
            omitted: None,
            original_headers: Vec::new(),
            rejection: Rejection::new(reason, "why"),
            retries: 0,
            failed_at: 7,
        };
        record(dlq_offset, b"value", &headers::of_letter(&letter, "order-events", "group"))
    }

    fn redrive(at: i64, of: i64, to: i64) -> OwnedMessage {
        let note = RedriveNote {
            dlq_offset: of,
            attempt: 1,
            at: 9,
            by: None,
            request_id: None,
            forced: false,
            partition: 1,
            offset: to,
        };
        record(at, &serde_json::to_vec(&note).unwrap(), &note.headers())
    }

    fn offsets(found: &[TrackedLetter]) -> Vec<i64> {
        found.iter().map(|found| found.letter.dlq_offset).collect()
    }

    #[test]
    fn letters_are_found_by_what_they_are_the_newest_first() {
        let index = Index::new(100, "order-events");
        for offset in 0..6 {
            let reason = if offset < 4 { Reason::Undecodable } else { Reason::ProcessingFailed };
            index.take(&letter(offset, 10 + offset, reason));
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
        assert_eq!(found.letter.place(), Some(Place { partition: 1, offset: 15 }));
        assert_eq!((&*found.letter.message, found.letter.failed_at), ("why", 7));
    }

    #[test]
    fn a_portion_begins_where_it_should_and_knows_what_remains() {
        let index = Index::new(100, "order-events");
        for offset in 0..6 {
            index.take(&letter(offset, 10 + offset, Reason::UnknownOrder));
        }
        index.take(&redrive(6, 2, 20));
        let size = index.get(0).unwrap().letter.size();
        let filter = Filter::default();
        let all =
            BatchQuery { filter: &filter, after: None, only_new: true, limit: 9, max_bytes: usize::MAX };
        let oldest = |portion| {
            let (found, remaining) = index.oldest(portion);
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
    fn the_oldest_letters_make_room_and_are_counted_all_the_same() {
        let index = Index::new(2, "order-events");
        for offset in 0..5 {
            index.take(&letter(offset, offset, Reason::Undecodable));
        }
        assert_eq!(offsets(&index.newest(&Filter::default(), 0, 9)), [4, 3]);
        assert_eq!((index.stats().total, index.stats().in_memory), (5, 2));
        assert!(index.get(2).is_none());
    }

    #[test]
    fn the_notes_of_forgotten_letters_are_kept_but_not_all_of_them() {
        let index = Index::new(2, "order-events");
        for offset in 0..5 {
            index.take(&letter(offset, 10 + offset, Reason::Undecodable));
        }
        // One of a letter in memory, three of forgotten ones, and one of no letter.
        for (at, of) in [(5, 3), (6, 0), (7, 1), (8, 2), (9, 6)] {
            index.take(&redrive(at, of, 20));
        }
        assert_eq!(index.stats().redriven, 4);
        assert_eq!(index.noted(0), LastNote::Forgotten);
        assert!([1, 2].iter().all(|of| matches!(index.noted(*of), LastNote::Known(Some(_)))));
        // The letter goes, its note stays.
        assert!(index.get(3).unwrap().redrive.is_some());
        index.take(&letter(10, 30, Reason::Undecodable));
        assert!(index.get(3).is_none());
        assert!(matches!(index.noted(3), LastNote::Known(Some(_))));
        assert_eq!(index.noted(1), LastNote::Forgotten);
        assert_eq!(index.stats().redriven, 4);
    }

    #[test]
    fn notes_take_room_as_letters_do() {
        let index = Index::new(100, "order-events");
        index.take(&letter(0, 10, Reason::Undecodable));
        let bytes = || index.read(|inner| inner.bytes);
        let alone = bytes();
        index.take(&redrive(1, 0, 20));
        let noted = bytes();
        assert!(noted > alone);
        index.take(&redrive(2, 0, 21));
        assert_eq!(bytes(), noted);
    }

    #[test]
    fn what_never_was_a_letter_is_not_looked_for() {
        let index = Index::new(2, "order-events");
        index.take(&letter(0, 0, Reason::Undecodable));
        index.take(&redrive(2, 0, 9));
        // Offset 1 is the mark of a transaction.
        assert_eq!([0, 1, 2, 3].map(|offset| index.was_evicted(offset)), [false; 4]);
        for offset in 4..7 {
            index.take(&letter(offset, offset, Reason::Undecodable));
        }
        assert_eq!(offsets(&index.newest(&Filter::default(), 0, 9)), [6, 5]);
        assert_eq!(
            [0, 4, 5, 6, 7].map(|offset| index.was_evicted(offset)),
            [true, true, false, false, false]
        );
    }

    #[test]
    fn a_letter_of_a_record_that_looks_like_a_note_is_a_letter() {
        let index = Index::new(100, "order-events");
        index.take(&letter(0, 10, Reason::Undecodable));
        let note = redrive(1, 0, 20);
        let original = crate::event::record::original(&note);
        let letter = DeadLetter {
            partition: 1,
            offset: 11,
            timestamp: 5,
            key: None,
            value: None,
            omitted: None,
            original_headers: original.headers,
            rejection: Rejection::new(Reason::Undecodable, "why"),
            retries: 0,
            failed_at: 7,
        };
        index.take(&record(1, &original.value, &headers::of_letter(&letter, "order-events", "group")));
        assert_eq!((index.stats().total, index.stats().redriven), (2, 0));
        assert!(index.get(0).unwrap().redrive.is_none());
    }

    #[test]
    fn a_redrive_is_followed_to_its_end() {
        let index = Index::new(100, "order-events");
        index.take(&letter(0, 10, Reason::UnknownOrder));
        index.take(&redrive(1, 0, 20));
        let found = index.get(0).unwrap();
        assert_eq!((found.redrive.unwrap().offset, found.dead_again), (20, None));
        // A note is no letter.
        assert_eq!((index.stats().total, index.stats().redriven), (1, 1));
        index.take(&letter(2, 20, Reason::UnknownOrder));
        assert_eq!(index.get(0).unwrap().dead_again, Some(2));
        // A copy of what is known changes nothing.
        index.take(&letter(2, 20, Reason::UnknownOrder));
        assert_eq!(index.stats().total, 2);
    }
}
