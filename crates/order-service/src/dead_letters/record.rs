//! A record of the dead letter topic.

use rdkafka::Message;

use super::note::RedriveNote;
use super::stored_letter::StoredLetter;

/// The topic has letters, and the notes of those that were sent again.
pub(super) enum DeadLetterRecord {
    /// Anything that is no note.
    Letter(StoredLetter),
    /// See [`RedriveNote`].
    Note(RedriveNote),
}

impl DeadLetterRecord {
    /// Reads a record.
    pub(super) fn of<M: Message>(record: &M) -> Self {
        match RedriveNote::of(record) {
            Some(note) => Self::Note(note),
            None => Self::Letter(StoredLetter::of(record)),
        }
    }
}
