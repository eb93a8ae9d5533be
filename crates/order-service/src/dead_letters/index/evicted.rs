//! The notes of letters that were evicted. A letter is sent again once, whatever its age: without its note in memory,
//! the whole topic behind it would have to be read to be sure.

use std::collections::BTreeMap;

use crate::dead_letters::note::RedriveNote;

/// The most bytes of notes.
const MAX_BYTES: usize = 32 << 20;

/// The last note of each letter that was evicted and sent again. If there are too many, those of the oldest letters are
/// forgotten.
#[derive(Default)]
pub(super) struct EvictedLetters {
    notes: BTreeMap<i64, RedriveNote>,
    bytes: usize,
    max: usize,
    /// The notes of all letters from this offset on are known.
    known_from: i64,
}

/// The last note of a letter that was evicted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastNote {
    /// `None` if the letter was not sent again.
    Known(Option<RedriveNote>),
    /// Not known any more; the topic must be searched.
    Forgotten,
}

impl EvictedLetters {
    /// Keeps at most `max` notes.
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Adds a note; true if no other note of its letter is known.
    pub(super) fn add(&mut self, note: RedriveNote) -> bool {
        self.bytes += note.size();
        let last = self.notes.insert(note.dlq_offset, note);
        self.bytes -= last.as_ref().map_or(0, RedriveNote::size);
        while self.notes.len() > self.max || self.bytes > MAX_BYTES {
            let Some((dlq_offset, oldest)) = self.notes.pop_first() else { break };
            self.bytes -= oldest.size();
            // The note may belong to a letter that is older than those whose notes were forgotten before.
            self.known_from = self.known_from.max(dlq_offset + 1);
        }
        last.is_none()
    }

    /// The last note of the letter at this offset.
    pub(super) fn last_note(&self, dlq_offset: i64) -> LastNote {
        if dlq_offset < self.known_from {
            return LastNote::Forgotten;
        }
        LastNote::Known(self.notes.get(&dlq_offset).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::sample::note;

    #[test]
    fn the_notes_of_the_oldest_letters_make_room_and_it_is_known_that_they_did() {
        let mut notes = EvictedLetters::new(2);
        assert_eq!(notes.last_note(0), LastNote::Known(None));
        for letter in [7, 3, 5] {
            assert!(notes.add(note(letter, 2)));
        }
        assert!(!notes.add(RedriveNote { attempt: 2, ..note(7, 2) }));
        assert_eq!([0, 3].map(|letter| notes.last_note(letter)), [LastNote::Forgotten, LastNote::Forgotten]);
        assert_eq!(notes.last_note(4), LastNote::Known(None));
        assert!(matches!(notes.last_note(7), LastNote::Known(Some(note)) if note.attempt == 2));
        notes.add(note(9, 2));
        assert_eq!(notes.last_note(5), LastNote::Forgotten);
        // One that comes late is forgotten at once, and brings nothing back.
        notes.add(note(3, 2));
        assert_eq!([3, 5].map(|letter| notes.last_note(letter)), [LastNote::Forgotten, LastNote::Forgotten]);
        assert!([7, 9].iter().all(|letter| matches!(notes.last_note(*letter), LastNote::Known(Some(_)))));
    }

    #[test]
    fn large_notes_make_room_too() {
        let mut notes = EvictedLetters::new(100);
        for letter in 0..40 {
            notes.add(RedriveNote { by: Some("x".repeat(1 << 20)), ..note(letter, 2) });
        }
        assert!(notes.bytes <= MAX_BYTES);
        assert_eq!(notes.last_note(0), LastNote::Forgotten);
        assert!(matches!(notes.last_note(39), LastNote::Known(Some(_))));
    }
}
