//! What became of an event: what order-service answers and cart-service asks for.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// The answer of `GET /events/{topic}/{partition}/{offset}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventReport {
    /// The topic of the event.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// `<partition>:<offset>`, as `GET /order-details` takes it.
    pub position: String,
    /// What became of it.
    pub outcome: EventOutcome,
    /// The name of a [`Reason`], if it was dead-lettered. Text, since a newer order-service may know more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "duplicate_order")]
    pub reason: Option<String>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    /// It is not processed yet, or not even there.
    Pending,
    /// It changed its order.
    Applied,
    /// A copy of an event that was processed before: ignored.
    Duplicate,
    /// An UPDATE that waits for its order's CREATE.
    Held,
    /// It could not be processed; it is in the dead letter topic.
    DeadLettered,
    /// There is no event at that offset, but a control record (the end of a transaction).
    NoEvent,
    /// It is processed; what became of it is not kept so long.
    Forgotten,
}

/// The kinds of events that cannot be processed. Their names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The bytes are no event.
    Undecodable,
    /// The registry does not know the schema.
    UnknownSchema,
    /// It decodes, but breaks a rule, see [`InvalidEvent`](crate::model::InvalidEvent).
    InvalidEvent,
    /// A CREATE of an order that exists.
    DuplicateOrder,
    /// An UPDATE of an order that does not exist.
    UnknownOrder,
    /// A change of status that the rules do not allow.
    IllegalTransition,
    /// Two different events with the same id.
    IdempotencyConflict,
    /// It failed, and went on failing when it was tried again.
    ProcessingFailed,
}

/// The name is no [`Reason`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no such reason")]
pub struct UnknownReason;

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Undecodable,
        Self::UnknownSchema,
        Self::InvalidEvent,
        Self::DuplicateOrder,
        Self::UnknownOrder,
        Self::IllegalTransition,
        Self::IdempotencyConflict,
        Self::ProcessingFailed,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownSchema => "unknown_schema",
            Self::InvalidEvent => "invalid_event",
            Self::DuplicateOrder => "duplicate_order",
            Self::UnknownOrder => "unknown_order",
            Self::IllegalTransition => "illegal_transition",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::ProcessingFailed => "processing_failed",
        }
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(name: &str) -> Result<Self, UnknownReason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name).ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        assert_eq!("of a newer version".parse::<Reason>(), Err(UnknownReason));
    }
}
