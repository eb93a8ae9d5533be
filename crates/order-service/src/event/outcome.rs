//! What becomes of an event.
//!
//! [`Outcome`] is the one enum for it. Its name in the changelog is [`Outcome::name`], its label in metrics is in
//! `metrics.rs`, and what clients are told is `EventOutcome`, by `view::processed::Known::report`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use order_events::Reason;

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed its order.
    Applied {
        /// Whether orders do not usually change so. Only metrics tell; the changelog does not keep it.
        unusual: bool,
    },
    /// A copy of an event that was processed before: ignored.
    Duplicate,
    /// A copy of the UPDATE at this offset of the same partition, which was held then: its outcome is the first one's.
    DuplicateOf(i64),
    /// An UPDATE that waits for its order's CREATE.
    Held,
    /// It cannot be processed.
    DeadLettered(Reason),
    /// A newer version of this program gave it this outcome. Only reasons of dead letters are ever added.
    Other(Arc<str>),
    /// There is no event at that offset: a control record, or nothing.
    NoEvent,
}

/// What the fold says of an event; it gives neither [`Outcome::Other`] nor [`Outcome::NoEvent`].
pub(crate) type Verdict = Result<Outcome, Rejection>;

const APPLIED: &str = "applied";
const DUPLICATE: &str = "duplicate";
/// Followed by the offset of the first.
const DUPLICATE_OF: &str = "duplicate_of:";
const HELD: &str = "held";
const NO_EVENT: &str = "no_event";

impl Outcome {
    /// The usual one.
    pub(crate) const APPLIED: Self = Self::Applied { unusual: false };

    /// That of a verdict.
    #[cfg(test)]
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Ok(outcome) => outcome.clone(),
            Err(rejection) => Self::DeadLettered(rejection.reason),
        }
    }

    /// Whether the event changed its order.
    pub(crate) fn is_applied(&self) -> bool {
        matches!(self, Self::Applied { .. })
    }

    /// Whether it stays what it is.
    pub(crate) fn is_final(&self) -> bool {
        *self != Self::Held
    }

    /// Its name in the changelog; a reason's name stands for a dead letter.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Applied { .. } => APPLIED.into(),
            Self::Duplicate => DUPLICATE.into(),
            Self::DuplicateOf(first) => format!("{DUPLICATE_OF}{first}").into(),
            Self::Held => HELD.into(),
            Self::DeadLettered(reason) => reason.as_str().into(),
            Self::Other(name) => name.as_ref().into(),
            Self::NoEvent => NO_EVENT.into(),
        }
    }

    /// Reads a name of the changelog. An unknown one is kept: if it were dropped, its event would count as applied, and
    /// the next version would not find it any more.
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            APPLIED => Self::APPLIED,
            DUPLICATE => Self::Duplicate,
            HELD => Self::Held,
            NO_EVENT => Self::NoEvent,
            name => {
                let first = name.strip_prefix(DUPLICATE_OF).and_then(|first| first.parse().ok());
                let reason = || name.parse().ok().map(Self::DeadLettered);
                first.map(Self::DuplicateOf).or_else(reason).unwrap_or_else(|| Self::Other(name.into()))
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_name_that_is_read_back() {
        let reasons = Reason::ALL.into_iter().map(Outcome::DeadLettered);
        let (copy, newer) = (Outcome::DuplicateOf(17), Outcome::Other("too_old".into()));
        let outcomes = [Outcome::APPLIED, Outcome::Duplicate, Outcome::Held, Outcome::NoEvent, copy, newer];
        for outcome in outcomes.into_iter().chain(reasons) {
            assert_eq!(Outcome::parse(&outcome.name()), outcome);
        }
    }
}
