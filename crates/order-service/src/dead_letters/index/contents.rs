//! The letters in memory and the notes of their redrives. The oldest letters are evicted when there are too many.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use order_events::{Place, Reason};
use rdkafka::Message;

use super::evicted::EvictedLetters;
use super::query::{BatchQuery, Filter, TrackedLetter};
use crate::dead_letters::category::Category;
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::record::DeadLetterRecord;
use crate::dead_letters::stored_letter::StoredLetter;

/// The most bytes of letters and notes in memory.
const MAX_BYTES: usize = 256 << 20;

/// See the module.
#[derive(Default)]
pub(super) struct Contents {
    /// The oldest first.
    letters: VecDeque<Entry>,
    bytes: usize,
    max_letters: usize,
    events_topic: Arc<str>,
    pub(super) evicted: EvictedLetters,
    /// The letter of each place in the events topic.
    by_place: HashMap<Place, i64>,
    stats: Stats,
    /// The offset behind the last letter that was evicted.
    first_kept: i64,
    /// The first offset that was not read.
    pub(super) next_offset: i64,
    /// Whether the topic was read to its end once.
    pub(super) loaded: bool,
}

/// A letter in memory, and the note of its last redrive.
struct Entry {
    letter: Arc<StoredLetter>,
    redrive: Option<Box<RedriveNote>>,
}

impl Entry {
    fn size(&self) -> usize {
        self.letter.size() + self.redrive.as_ref().map_or(0, |redrive| redrive.size())
    }
}

/// How many letters are in the topic; those that retention has deleted count until the service starts anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// All letters.
    pub total: u64,
    /// Those that are in memory.
    pub in_memory: usize,
    /// By category; `None` is what other programs wrote.
    pub categories: BTreeMap<Option<&'static str>, u64>,
    /// By reason.
    pub reasons: BTreeMap<Option<&'static str>, u64>,
    /// Those that were sent again. One that was forced counts twice if its first note was not known any more.
    pub redriven: u64,
}

impl Stats {
    fn count(&mut self, letter: &StoredLetter) {
        self.total += 1;
        *self.categories.entry(letter.category.map(Category::as_str)).or_default() += 1;
        *self.reasons.entry(letter.reason.map(Reason::as_str)).or_default() += 1;
    }
}

impl Contents {
    /// Empty.
    pub(super) fn new(max_letters: usize, events_topic: Arc<str>) -> Self {
        Self { max_letters, events_topic, evicted: EvictedLetters::new(max_letters), ..Self::default() }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.max_letters, self.events_topic.clone());
    }

    /// Takes a record, unless it was taken before.
    pub(super) fn take(&mut self, offset: i64, record: DeadLetterRecord) {
        if offset < self.next_offset {
            return;
        }
        self.next_offset = offset + 1;
        match record {
            DeadLetterRecord::Letter(letter) => self.add(letter),
            DeadLetterRecord::Note(note) => self.note(note),
        }
        while self.letters.len() > self.max_letters || self.bytes > MAX_BYTES {
            let Some(oldest) = self.letters.pop_front() else { break };
            self.evict(oldest);
        }
    }

    fn add(&mut self, letter: StoredLetter) {
        self.stats.count(&letter);
        if let Some(place) = self.place(&letter) {
            self.by_place.insert(place, letter.dlq_offset);
        }
        let entry = Entry { letter: Arc::new(letter), redrive: None };
        self.bytes += entry.size();
        self.letters.push_back(entry);
    }

    /// Ignores the note of a letter that is not in the topic (any more).
    fn note(&mut self, note: RedriveNote) {
        let is_first = if let Some(at) = self.position(note.dlq_offset) {
            self.bytes += note.size();
            let last = self.letters[at].redrive.replace(Box::new(note));
            self.bytes -= last.as_ref().map_or(0, |last| last.size());
            last.is_none()
        } else {
            self.was_evicted(note.dlq_offset) && self.evicted.add(note)
        };
        self.stats.redriven += u64::from(is_first);
    }

    fn evict(&mut self, oldest: Entry) {
        self.bytes -= oldest.size();
        let Entry { letter, redrive } = oldest;
        self.first_kept = letter.dlq_offset + 1;
        if let Some(place) = self.place(&letter)
            && self.by_place.get(&place) == Some(&letter.dlq_offset)
        {
            self.by_place.remove(&place);
        }
        if let Some(redrive) = redrive {
            self.evicted.add(*redrive);
        }
    }

    /// The place of a letter's event, if it was in our topic.
    fn place(&self, letter: &StoredLetter) -> Option<Place> {
        letter.place().filter(|_| letter.topic.as_deref() == Some(&*self.events_topic))
    }

    /// Whether a letter at this offset may have been evicted.
    pub(super) fn was_evicted(&self, dlq_offset: i64) -> bool {
        dlq_offset < self.first_kept
    }

    /// How many letters there are.
    pub(super) fn stats(&self) -> Stats {
        Stats { in_memory: self.letters.len(), ..self.stats.clone() }
    }

    /// The letter at this offset, if it is in memory.
    pub(super) fn get(&self, dlq_offset: i64) -> Option<TrackedLetter> {
        let at = self.position(dlq_offset)?;
        Some(self.tracked(&self.letters[at]))
    }

    /// Why this record became a dead letter, if a letter in memory is its.
    pub(super) fn reason_of(&self, record: &impl Message) -> Option<Reason> {
        let place = Place { partition: record.partition(), offset: record.offset() };
        let letter = &self.letters[self.position(*self.by_place.get(&place)?)?].letter;
        letter.reason.filter(|_| letter.is_of(record))
    }

    /// A page of the letters that match, the newest first.
    pub(super) fn newest(&self, filter: &Filter, skip: usize, limit: usize) -> Vec<TrackedLetter> {
        let matching = self.letters.iter().rev().filter(|entry| filter.matches(&entry.letter));
        matching.skip(skip).take(limit).map(|entry| self.tracked(entry)).collect()
    }

    /// The oldest letters that match and fit into one transaction; and how many more match.
    pub(super) fn oldest(&self, query: BatchQuery<'_>) -> (Vec<TrackedLetter>, usize) {
        let after = query.after.unwrap_or(-1);
        let start = self.letters.partition_point(|entry| entry.letter.dlq_offset <= after);
        let matching = self.letters.range(start..).filter(|entry| {
            query.filter.matches(&entry.letter) && (entry.redrive.is_none() || !query.only_new)
        });
        let (mut oldest, mut bytes, mut remaining) = (Vec::new(), 0, 0);
        for entry in matching {
            bytes += entry.letter.size();
            if oldest.is_empty() || (oldest.len() < query.limit && bytes <= query.max_bytes) {
                oldest.push(self.tracked(entry));
            } else {
                remaining += 1;
            }
        }
        (oldest, remaining)
    }

    /// Adds to a letter what became of its last redrive.
    pub(super) fn track(&self, letter: Arc<StoredLetter>, redrive: Option<RedriveNote>) -> TrackedLetter {
        let place = redrive.as_ref().map(RedriveNote::place);
        let dead_again = place.and_then(|place| self.by_place.get(&place).copied());
        TrackedLetter { letter, redrive, dead_again }
    }

    fn tracked(&self, Entry { letter, redrive }: &Entry) -> TrackedLetter {
        self.track(letter.clone(), redrive.as_deref().cloned())
    }

    fn position(&self, dlq_offset: i64) -> Option<usize> {
        self.letters.binary_search_by_key(&dlq_offset, |entry| entry.letter.dlq_offset).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::index::evicted::LastNote;
    use crate::dead_letters::sample::{letter_record, note_record};

    fn contents(max_letters: usize) -> Contents {
        Contents::new(max_letters, "order-events".into())
    }

    fn take(contents: &mut Contents, record: &impl Message) {
        contents.take(record.offset(), DeadLetterRecord::of(record));
    }

    fn newest(contents: &Contents) -> Vec<i64> {
        let letters = contents.newest(&Filter::default(), 0, 9);
        letters.iter().map(|tracked| tracked.letter.dlq_offset).collect()
    }

    #[test]
    fn the_oldest_letters_make_room_and_are_counted_all_the_same() {
        let mut contents = contents(2);
        for offset in 0..5 {
            take(&mut contents, &letter_record(offset, offset, Reason::Undecodable));
        }
        assert_eq!(newest(&contents), [4, 3]);
        assert_eq!((contents.stats().total, contents.stats().in_memory), (5, 2));
        assert!(contents.get(2).is_none());
    }

    #[test]
    fn the_notes_of_evicted_letters_are_kept_but_not_all_of_them() {
        let mut contents = contents(2);
        for offset in 0..5 {
            take(&mut contents, &letter_record(offset, 10 + offset, Reason::Undecodable));
        }
        // One of a letter in memory, three of evicted ones, and one of no letter.
        for (at, of) in [(5, 3), (6, 0), (7, 1), (8, 2), (9, 6)] {
            take(&mut contents, &note_record(at, of, 20));
        }
        assert_eq!(contents.stats().redriven, 4);
        assert_eq!(contents.evicted.last_note(0), LastNote::Forgotten);
        assert!([1, 2].iter().all(|of| matches!(contents.evicted.last_note(*of), LastNote::Known(Some(_)))));
        // The letter goes, its note stays.
        assert!(contents.get(3).unwrap().redrive.is_some());
        take(&mut contents, &letter_record(10, 30, Reason::Undecodable));
        assert!(contents.get(3).is_none());
        assert!(matches!(contents.evicted.last_note(3), LastNote::Known(Some(_))));
        assert_eq!(contents.evicted.last_note(1), LastNote::Forgotten);
        assert_eq!(contents.stats().redriven, 4);
    }

    #[test]
    fn notes_take_room_as_letters_do() {
        let mut contents = contents(100);
        take(&mut contents, &letter_record(0, 10, Reason::Undecodable));
        let alone = contents.bytes;
        take(&mut contents, &note_record(1, 0, 20));
        let noted = contents.bytes;
        assert!(noted > alone);
        take(&mut contents, &note_record(2, 0, 21));
        assert_eq!(contents.bytes, noted);
    }

    #[test]
    fn what_never_was_a_letter_is_not_looked_for() {
        let mut contents = contents(2);
        take(&mut contents, &letter_record(0, 0, Reason::Undecodable));
        take(&mut contents, &note_record(2, 0, 9));
        // Offset 1 is a control record.
        assert_eq!([0, 1, 2, 3].map(|offset| contents.was_evicted(offset)), [false; 4]);
        for offset in 4..7 {
            take(&mut contents, &letter_record(offset, offset, Reason::Undecodable));
        }
        assert_eq!(newest(&contents), [6, 5]);
        assert_eq!(
            [0, 4, 5, 6, 7].map(|offset| contents.was_evicted(offset)),
            [true, true, false, false, false]
        );
    }
}
