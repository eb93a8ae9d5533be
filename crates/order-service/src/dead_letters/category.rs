//! How a failure is met that makes a dead letter. An outage of the registry or of a broker makes none: it is waited out.

use order_events::Reason;
use serde::Serialize;
use utoipa::ToSchema;

/// How a failure is met. The names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Category {
    /// A dead letter at once: trying again would not help.
    NoRetryDlq,
    /// A dead letter after a few retries: the failure may pass.
    RetryThenDlq,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 2] = [Self::NoRetryDlq, Self::RetryThenDlq];

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
        }
    }

    /// The category of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_unknown() {
        for category in Category::ALL {
            assert_eq!(Category::named(category.as_str()), Some(category));
        }
        assert_eq!(Category::named("RETRY_FOREVER"), None);
    }
}
