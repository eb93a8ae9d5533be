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

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum RedriveError {
    /// The topic could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The transaction failed; nothing was sent.
    #[error("the transaction failed, nothing was sent: {0}")]
    Aborted(WriteError),
    /// The transaction failed at its very end, or another instance redrives at the same time.
    #[error("whether it was done is unknown, the list of letters will tell: {0}")]
    Unknown(WriteError),
    /// The registry is away, so a letter cannot be looked at.
    #[error("the schema registry does not answer: {0}")]
    Registry(String),
}

impl From<Failure> for RedriveError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Aborted(error) => Self::Aborted(error.into()),
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
