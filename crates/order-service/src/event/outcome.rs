//! What becomes of an event.

use std::fmt;

use order_events::Reason;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It changed its order.
    Applied {
        /// Whether the change of status is one that orders do not usually make.
        unusual: bool,
    },
    /// A second copy of an event that was processed: ignored.
    Duplicate,
    /// A copy of the update at this offset, which still waits: its fate is the first one's.
    DuplicateOf(i64),
    /// An UPDATE before its CREATE: it waits.
    Held,
    /// It cannot be processed.
    DeadLettered(Rejection),
}

/// Why an event cannot be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// For machines.
    pub reason: Reason,
    /// For people.
    pub detail: String,
}

/// The most bytes of a detail. It may quote a record, and becomes two headers of a dead letter.
const MAX_DETAIL: usize = 1024;

impl Rejection {
    /// The end of a long detail is cut off.
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: shortened(detail.into()) }
    }
}

/// A detail, or as much of it as is kept.
pub(crate) fn shortened(mut detail: String) -> String {
    if detail.len() > MAX_DETAIL {
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL));
        detail.push('…');
    }
    detail
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}
