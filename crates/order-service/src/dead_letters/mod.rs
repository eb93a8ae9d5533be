//! Dead letters: the records that could not be processed, each with the reason and all that a redrive needs.
//!
//! | what | files |
//! |---|---|
//! | a letter as the pipeline writes it | `letter.rs`, `headers.rs`, `category.rs` |
//! | a letter as it is read back, and the note of a redrive | `stored_letter.rs`, `note.rs`, `record.rs` (either of them) |
//! | reading the topic: everything, one letter, a range | `topic/` (`follower.rs`, `lookup.rs`, `source.rs`) |
//! | the letters in memory, which `/dlq` shows | `index/` |
//! | sending letters again, each of them once | `redrive/`, `one_at_a_time.rs` |
//! | `DLQ_LIMIT`, which stops a partition | `limit.rs`, `gate.rs` |

mod category;
mod gate;
#[cfg(test)]
mod golden;
mod headers;
mod index;
mod letter;
mod limit;
mod note;
mod one_at_a_time;
mod record;
mod redrive;
#[cfg(test)]
mod sample;
mod stored_letter;
mod topic;

pub(crate) use self::category::Category;
pub(crate) use self::gate::{Change, Gate, PROBE, Stop};
pub(crate) use self::index::{Filter, Index, Stats, TrackedLetter};
pub(crate) use self::letter::DeadLetter;
pub(crate) use self::limit::{Limit, Tally, counts};
pub(crate) use self::note::RedriveNote;
pub(crate) use self::redrive::{
    Examiner, RedriveError, RedriveRequest, Redriver, Refusal, Report, Selection,
};
pub(crate) use self::topic::{DeadLetterTopic, DeadLetterTopicError, Lookup, follow};

/// The partition of all letters and notes, so that an offset is enough to name a letter. If the topic was made with
/// more partitions, the others stay empty.
pub(crate) const PARTITION: i32 = 0;
