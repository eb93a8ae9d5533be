//! Why letters are not sent again.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use crate::dead_letters::topic::DeadLetterTopicError;
use crate::writer::Failure;

/// Why a letter is not sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such letter.
    NotFound,
    /// It was sent again, to this place.
    AlreadyRedriven {
        /// When, RFC 3339.
        at: String,
        /// `<partition>:<offset>`.
        position: String,
    },
    /// Its event was sent again as often as is allowed.
    TooManyAttempts {
        /// How often that is.
        max: u32,
    },
    /// A later update of its order was applied; this one would undo it.
    Superseded {
        /// The order.
        order_id: String,
    },
    /// It is no event, and would only come back.
    Undecodable(String),
    /// It is not from the topic that this service consumes, but from there.
    OtherTopic(Option<String>),
}

/// Why letters were not sent again, as far as is known.
#[derive(Debug, Error)]
pub enum RedriveError {
    /// The topic could not be read; nothing was sent.
    #[error(transparent)]
    Topic(#[from] DeadLetterTopicError),
    /// The transaction was not committed; nothing was sent.
    #[error("the transaction failed, nothing was sent: {0}")]
    NotSent(String),
    /// The events topic does not take a record of that size; nothing was sent.
    #[error("a record is larger than the events topic takes, nothing was sent")]
    TooLarge,
    /// Kafka did not answer the commit; or something failed where there are no transactions.
    #[error("whether it was sent is unknown, the list of letters will tell: {0}")]
    InDoubt(String),
    /// The registry is away, so a letter cannot be looked at; nothing was sent.
    #[error("the schema registry does not answer: {0}")]
    Registry(String),
}

impl RedriveError {
    /// Of a failure before the commit. What is not committed will never be seen, also if the broker did not hear of
    /// the abort: it is aborted by whoever takes the transactional id next. Without transactions, nothing is taken
    /// back.
    pub(super) fn before_commit(reason: impl ToString, transactional: bool) -> Self {
        if transactional { Self::NotSent(reason.to_string()) } else { Self::InDoubt(reason.to_string()) }
    }

    /// Of a record that was not delivered.
    pub(super) fn of_record(error: &KafkaError, transactional: bool) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) if transactional => Self::TooLarge,
            _ => Self::before_commit(error, transactional),
        }
    }

    /// Of a commit that failed.
    pub(super) fn of_commit(failure: Failure, transactional: bool) -> Self {
        match failure {
            Failure::Aborted(error) => Self::before_commit(error, transactional),
            Failure::Unknown(error) | Failure::LeftBehind(error) => Self::InDoubt(error.to_string()),
        }
    }
}

/// Why a letter is not approved.
#[derive(Debug)]
pub(super) enum NotApproved {
    /// For good.
    Refused(Refusal),
    /// It cannot be told now, and neither of any other letter.
    Undecided(RedriveError),
}

impl From<Refusal> for NotApproved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<RedriveError> for NotApproved {
    fn from(error: RedriveError) -> Self {
        Self::Undecided(error)
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
