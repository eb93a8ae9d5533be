//! The notes of letters that are not in memory any more: a letter is sent once, however long ago that was.

use std::collections::BTreeMap;

use crate::dead_letters::note::RedriveNote;

/// How many bytes of notes are kept, at most.
const MAX_BYTES: usize = 32 << 20;

/// The last note of each letter. What does not fit is forgotten, the notes of the oldest letters first.
#[derive(Default)]
pub(super) struct EvictedLetters {
    by_letter: BTreeMap<i64, RedriveNote>,
    bytes: usize,
    max: usize,
    /// Of the letters from here on, every note is there.
    from: i64,
}

/// What is known of a letter's redrives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastNote {
    /// The last one; none if it was not sent again.
    Known(Option<RedriveNote>),
    /// Only the topic tells.
    Forgotten,
}

impl EvictedLetters {
    /// Keeps at most so many.
    pub(super) fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Adds a note; tells whether it is the first of its letter, as far as is known.
    pub(super) fn add(&mut self, note: RedriveNote) -> bool {
        self.bytes += note.size();
        let last = self.by_letter.insert(note.dlq_offset, note);
        self.bytes -= last.as_ref().map_or(0, RedriveNote::size);
        while self.by_letter.len() > self.max || self.bytes > MAX_BYTES {
            let Some((dlq_offset, oldest)) = self.by_letter.pop_first() else { break };
            self.bytes -= oldest.size();
            // A note may come late, for a letter that is older than the forgotten ones.
            self.from = self.from.max(dlq_offset + 1);
        }
        last.is_none()
    }

    /// What is known of this letter.
    pub(super) fn of(&self, dlq_offset: i64) -> LastNote {
        if dlq_offset < self.from {
            return LastNote::Forgotten;
        }
        LastNote::Known(self.by_letter.get(&dlq_offset).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(dlq_offset: i64, by: Option<String>) -> RedriveNote {
        RedriveNote {
            dlq_offset,
            attempt: 1,
            at: 9,
            by,
            request_id: None,
            forced: false,
            partition: 1,
            offset: 2,
        }
    }

    #[test]
    fn the_notes_of_the_oldest_letters_make_room_and_it_is_known_that_they_did() {
        let mut notes = EvictedLetters::new(2);
        assert_eq!(notes.of(0), LastNote::Known(None));
        for letter in [7, 3, 5] {
            assert!(notes.add(note(letter, None)));
        }
        assert!(!notes.add(RedriveNote { attempt: 2, ..note(7, None) }));
        assert_eq!([0, 3].map(|letter| notes.of(letter)), [LastNote::Forgotten, LastNote::Forgotten]);
        assert_eq!(notes.of(4), LastNote::Known(None));
        assert!(matches!(notes.of(7), LastNote::Known(Some(note)) if note.attempt == 2));
        notes.add(note(9, None));
        assert_eq!(notes.of(5), LastNote::Forgotten);
        // One that comes late is forgotten at once, and brings nothing back.
        notes.add(note(3, None));
        assert_eq!([3, 5].map(|letter| notes.of(letter)), [LastNote::Forgotten, LastNote::Forgotten]);
        assert!([7, 9].iter().all(|letter| matches!(notes.of(*letter), LastNote::Known(Some(_)))));
    }

    #[test]
    fn large_notes_make_room_too() {
        let mut notes = EvictedLetters::new(100);
        for letter in 0..40 {
            notes.add(note(letter, Some("x".repeat(1 << 20))));
        }
        assert!(notes.bytes <= MAX_BYTES);
        assert_eq!(notes.of(0), LastNote::Forgotten);
        assert!(matches!(notes.of(39), LastNote::Known(Some(_))));
    }
}
