//! What the redriver is asked, and what it answers.

use order_events::registry::RegistryUnavailable;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use crate::dead_letters::index::Filter;
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::topic::DeadLetterTopicError;
use crate::writer::Failure;

/// A request to send letters again.
#[derive(Debug, Clone)]
pub struct RedriveRequest {
    /// The letters.
    pub selection: Selection,
    /// Also letters that were sent again before, and updates of orders that have a later update.
    pub force: bool,
    /// Examines the letters and sends nothing.
    pub dry_run: bool,
    /// The person who asks.
    pub by: Option<String>,
    /// The `x-request-id`.
    pub request_id: Option<String>,
}

/// The letters that a request is about.
#[derive(Debug, Clone)]
pub enum Selection {
    /// The one at this offset of the dead letter topic.
    One(i64),
    /// The oldest letters in memory that match; without force, only those that were not sent again yet.
    Some {
        /// What they must match.
        filter: Filter,
        /// Only letters behind this offset of the dead letter topic.
        after: Option<i64>,
        /// At most this many; fewer if they are large.
        limit: usize,
    },
}

/// The result of a redrive.
#[derive(Debug)]
pub struct Report {
    /// The letters that were sent again; in a dry run those that would be, with the place of the original record.
    pub redriven: Vec<RedriveNote>,
    /// The others, by offset, and why.
    pub refused: Vec<(i64, Refusal)>,
    /// How many more letters match.
    pub remaining: usize,
    /// The last letter that was examined, if more match: they are behind it.
    pub next: Option<i64>,
}

/// Why a letter is not sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such letter.
    NotFound,
    /// It was sent again before, to this place.
    AlreadyRedriven {
        /// When, RFC 3339.
        at: String,
        /// `<partition>:<offset>`.
        position: String,
    },
    /// Its event was sent again as often as is allowed.
    TooManyAttempts {
        /// `REDRIVE_MAX_ATTEMPTS`.
        max: u32,
    },
    /// A later update of its order was applied; this one would undo it.
    Superseded {
        /// The order.
        order_id: String,
    },
    /// It is no event, so it would become a letter again.
    Undecodable(String),
    /// It comes from another topic, or from a partition that this service does not consume.
    OtherTopic(Option<String>),
}

/// Why a redrive failed.
#[derive(Debug, Error)]
pub enum RedriveError {
    /// The dead letter topic could not be read; nothing was sent.
    #[error(transparent)]
    Topic(#[from] DeadLetterTopicError),
    /// The transaction was not committed; nothing was sent.
    #[error("the transaction failed, nothing was sent: {0}")]
    NotSent(String),
    /// The events topic does not take a record of that size; nothing was sent.
    #[error("a record is larger than the events topic takes, nothing was sent")]
    TooLarge,
    /// Kafka did not answer the commit, or something failed without transactions: letters may have been sent.
    #[error("whether it was sent is unknown, the list of letters will tell: {0}")]
    InDoubt(String),
    /// The registry does not answer, so no letter can be examined; nothing was sent.
    #[error("the schema registry does not answer: {0}")]
    Registry(#[from] RegistryUnavailable),
}

impl RedriveError {
    /// A failure before the commit. With transactions nothing was sent, even if the broker did not hear of the abort:
    /// whoever initialises the transactional id next aborts what is open. Without transactions nothing is taken back.
    pub(super) fn before_commit(reason: impl ToString, transactional: bool) -> Self {
        if transactional { Self::NotSent(reason.to_string()) } else { Self::InDoubt(reason.to_string()) }
    }

    /// A record that was not delivered.
    pub(super) fn of_record(error: &KafkaError, transactional: bool) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) if transactional => Self::TooLarge,
            _ => Self::before_commit(error, transactional),
        }
    }

    /// A commit that failed.
    pub(super) fn of_commit(failure: Failure, transactional: bool) -> Self {
        match failure {
            Failure::Aborted(error) => Self::before_commit(error, transactional),
            Failure::Unknown(error) | Failure::LeftBehind(error) => Self::InDoubt(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSE: KafkaError = KafkaError::Canceled;

    #[test]
    fn nothing_was_sent_unless_the_commit_is_in_doubt() {
        let before = RedriveError::before_commit(CAUSE, true);
        let aborted = RedriveError::of_commit(Failure::Aborted(CAUSE), true);
        let in_doubt = RedriveError::of_commit(Failure::Unknown(CAUSE), true);
        assert!(matches!(
            (before, aborted, in_doubt),
            (RedriveError::NotSent(_), RedriveError::NotSent(_), RedriveError::InDoubt(_))
        ));
    }

    #[test]
    fn without_transactions_every_failure_is_in_doubt() {
        let before = RedriveError::before_commit(CAUSE, false);
        let aborted = RedriveError::of_commit(Failure::Aborted(CAUSE), false);
        assert!(matches!((before, aborted), (RedriveError::InDoubt(_), RedriveError::InDoubt(_))));
    }
}
