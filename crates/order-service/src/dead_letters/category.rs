//! What a failure means for the record that it happened to.

use order_events::Reason;
use serde::Serialize;
use utoipa::ToSchema;

/// How a failure is met. The names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Category {
    /// Trying again would not help: a dead letter at once.
    NoRetryDlq,
    /// It may pass: tried again a few times, then a dead letter.
    RetryThenDlq,
    /// It is not the record's fault, as when the registry or a broker is away: tried again until it works, and
    /// never a dead letter.
    RetryForever,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 3] = [Self::NoRetryDlq, Self::RetryThenDlq, Self::RetryForever];

    /// The category of a reason for a dead letter.
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::ProcessingFailed => Self::RetryThenDlq,
            Reason::Undecodable
            | Reason::UnknownSchema
            | Reason::InvalidEvent
            | Reason::DuplicateOrder
            | Reason::UnknownOrder
            | Reason::IllegalTransition
            | Reason::IdempotencyConflict => Self::NoRetryDlq,
        }
    }

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRetryDlq => "NO_RETRY_DLQ",
            Self::RetryThenDlq => "RETRY_THEN_DLQ",
            Self::RetryForever => "RETRY_FOREVER",
        }
    }

    /// The category of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == name)
    }
}
