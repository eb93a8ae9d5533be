//! Dead letters: records that could not be processed, with why, and with everything that is needed to send them
//! again.
//!
//! The pipeline writes a [`DeadLetter`] in its batch's transaction. Every instance follows the dead letter topic
//! ([`follow`]) into an [`Index`] that answers `/dlq`; a [`Redriver`] sends letters back to the events topic.

mod category;
#[cfg(test)]
mod golden;
mod headers;
mod index;
mod letter;
mod limit;
mod note;
mod one_at_a_time;
mod redrive;
mod stored_letter;
mod topic;

pub(crate) use self::category::Category;
pub(crate) use self::index::{Filter, Index, Stats, TrackedLetter};
pub(crate) use self::letter::DeadLetter;
pub(crate) use self::limit::{Change, Gate, Limit, PROBE, Tally, counts};
pub(crate) use self::note::RedriveNote;
pub(crate) use self::redrive::{RedriveError, RedriveRequest, Redriver, Refusal, Report, Selection};
pub(crate) use self::topic::{DeadLetterTopic, DeadLetterTopicError, Lookup, follow};

/// The partition that holds the letters, and the notes of those that were sent again; a topic that somebody made
/// with more partitions has the others empty. An offset is enough to name a letter.
pub(crate) const PARTITION: i32 = 0;
