//! Dead letters: records that could not be processed, with why, and with everything that is needed to send them
//! again.
//!
//! The pipeline writes a [`DeadLetter`] in its batch's transaction. Every instance follows the dead letter topic
//! ([`follow`]) into an [`Index`] that answers `/dlq`; a [`Redriver`] sends letters back to the events topic.

mod category;
mod follower;
mod forgotten_notes;
#[cfg(test)]
mod golden;
mod headers;
mod index;
mod letter;
mod limit;
mod lookup;
mod one_at_a_time;
mod redrive;
mod redriver;
mod source;

pub(crate) use self::category::Category;
pub(crate) use self::follower::follow;
pub(crate) use self::index::{Filter, Found, Index, Stats};
pub(crate) use self::letter::{DeadLetter, Filed};
pub(crate) use self::limit::{Change, Gate, Limit, PROBE, Stop, Tally, counts};
pub(crate) use self::lookup::Lookup;
pub(crate) use self::redrive::Redrive;
pub(crate) use self::redriver::{Examiner, RedriveError, RedriveRequest, Redriver, Refusal, Report, Which};
pub(crate) use self::source::{Source, SourceError};

/// The partition that holds the letters, and the notes of those that were sent again; a topic that somebody made
/// with more partitions has the others empty. An offset is enough to name a letter.
pub(crate) const PARTITION: i32 = 0;
