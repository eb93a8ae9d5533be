//! Why letters are not sent again.

use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::dead_letters::SourceError;
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
    Source(#[from] SourceError),
    /// The transaction was not committed; nothing was sent.
    #[error("the transaction failed, nothing was sent: {0}")]
    Aborted(WriteError),
    /// Kafka did not answer the commit; or something failed where there are no transactions.
    #[error("whether it was sent is unknown, the list of letters will tell: {0}")]
    Unknown(WriteError),
    /// The registry is away, so a letter cannot be looked at; nothing was sent.
    #[error("the schema registry does not answer: {0}")]
    Registry(String),
}

impl RedriveError {
    /// Of a failure before the commit. What is not committed will never be seen, also if the broker did not hear of
    /// the abort: it is aborted by whoever takes the transactional id next. Without transactions, nothing is taken
    /// back.
    pub(super) fn uncommitted(error: WriteError, transactional: bool) -> Self {
        if transactional { Self::Aborted(error) } else { Self::Unknown(error) }
    }

    /// Of a commit that failed.
    pub(super) fn of_commit(failure: Failure, transactional: bool) -> Self {
        match failure {
            Failure::Aborted(error) => Self::uncommitted(error.into(), transactional),
            Failure::Unknown(error) => Self::Unknown(error.into()),
        }
    }
}

/// Why letters could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The brokers do not answer, or refuse.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The note of this letter would have to tell where its event is now.
    #[error("Kafka did not tell where the event of dead letter {0} is now")]
    NoPlace(i64),
    /// The note has no JSON.
    #[error("the note of a redrive cannot be written: {0}")]
    Note(#[from] serde_json::Error),
}

impl WriteError {
    /// What the writer is told.
    pub(super) fn cause(&self) -> KafkaError {
        match self {
            Self::Kafka(error) => error.clone(),
            Self::NoPlace(_) | Self::Note(_) => KafkaError::Canceled,
        }
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Aborted(error) | Failure::Unknown(error) => Self::Kafka(error),
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
        let before = RedriveError::uncommitted(CAUSE.into(), true);
        let aborted = RedriveError::of_commit(Failure::Aborted(CAUSE), true);
        let in_doubt = RedriveError::of_commit(Failure::Unknown(CAUSE), true);
        assert!(matches!(
            (before, aborted, in_doubt),
            (RedriveError::Aborted(_), RedriveError::Aborted(_), RedriveError::Unknown(_))
        ));
    }

    #[test]
    fn without_transactions_every_failure_is_in_doubt() {
        let before = RedriveError::uncommitted(CAUSE.into(), false);
        let aborted = RedriveError::of_commit(Failure::Aborted(CAUSE), false);
        assert!(matches!((before, aborted), (RedriveError::Unknown(_), RedriveError::Unknown(_))));
    }
}
