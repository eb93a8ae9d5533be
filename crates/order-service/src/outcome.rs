//! What becomes of an event.

use std::fmt;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed its order.
    Applied {
        /// The change of status is none that orders usually make.
        unusual: bool,
    },
    /// A second copy of an event that was processed: ignored.
    Duplicate,
    /// An UPDATE before its CREATE: it waits.
    Held,
    /// It cannot be processed.
    DeadLettered(Rejection),
}

impl Outcome {
    /// A stable name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Duplicate => "duplicate",
            Self::Held => "held",
            Self::DeadLettered(_) => "dead_lettered",
        }
    }
}

/// Why an event cannot be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// For machines.
    pub reason: Reason,
    /// For people.
    pub detail: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

/// The kinds of events that cannot be processed. Their names are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The bytes are no event.
    Undecodable,
    /// The registry does not know the schema.
    UnknownSchema,
    /// It decodes, but breaks a rule, see [`order_events::model::InvalidEvent`].
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

    /// The reason with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

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
