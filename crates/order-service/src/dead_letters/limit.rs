//! `DLQ_LIMIT`, and which dead letters count towards it. `gate.rs` applies it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use order_events::Reason;

use super::letter::DeadLetter;

/// `<percent>%/<count>/<window>`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub(super) Option<Bounds>);

/// The limit is reached by `count` letters of a partition within `window`, if they are also more than `percent` of the
/// events that the partition processed in that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(super) percent: u8,
    pub(super) count: u64,
    pub(super) window: Duration,
}

impl Bounds {
    pub(super) fn are_reached(self, tally: Tally) -> bool {
        tally.letters >= self.count && tally.letters * 100 > tally.events * u64::from(self.percent)
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "off" => Ok(Self(None)),
            text => bounds(text).map(|bounds| Self(Some(bounds))).ok_or_else(|| {
                "<percent>%/<count>/<window> is expected, for example 50%/1000/1m; or off".to_owned()
            }),
        }
    }
}

fn bounds(text: &str) -> Option<Bounds> {
    let mut parts = text.split('/');
    let (percent, count, window) = (parts.next()?, parts.next()?, parts.next()?);
    let bounds = Bounds {
        percent: percent.strip_suffix('%')?.parse().ok()?,
        count: count.parse().ok()?,
        window: humantime::parse_duration(window).ok()?,
    };
    let is_sensible = bounds.percent < 100 && bounds.count > 0 && !bounds.window.is_zero();
    (is_sensible && parts.next().is_none()).then_some(bounds)
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%/{}/{}", self.percent, self.count, humantime::format_duration(self.window))
    }
}

/// A count of processed events, and of those whose dead letters count towards the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All events.
    pub events: u64,
    /// The dead letters among them that [`counts`] counts.
    pub letters: u64,
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events + other.events, letters: self.letters + other.letters }
    }
}

/// Whether a letter counts towards the limit. One that a client can cause over HTTP does not, also by a redrive: else any
/// client could stop the processing of all orders.
pub(crate) fn counts(letter: &DeadLetter) -> bool {
    let by_a_client = match letter.rejection.reason {
        Reason::Undecodable | Reason::UnknownSchema | Reason::InvalidEvent | Reason::ProcessingFailed => {
            false
        }
        Reason::DuplicateOrder
        | Reason::UnknownOrder
        | Reason::IllegalTransition
        | Reason::IdempotencyConflict => true,
    };
    !by_a_client && !letter.was_sent_again()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::sample;
    use crate::event::original::OriginalHeader;

    fn limit(text: &str) -> Limit {
        text.parse().unwrap()
    }

    #[test]
    fn a_limit_is_read_back() {
        let bounds = Bounds { percent: 50, count: 1000, window: Duration::from_secs(60) };
        assert_eq!(limit("50%/1000/1m"), Limit(Some(bounds)));
        assert_eq!(limit(&bounds.to_string()), Limit(Some(bounds)));
        assert_eq!(limit("off"), Limit(None));
        for bad in [
            "",
            "50",
            "50%",
            "50%/1000",
            "50/1000/1m",
            "100%/1/1m",
            "-1%/1/1m",
            "1%/0/1m",
            "1%/1/0s",
            "1%/1/1m/1",
        ] {
            assert!(bad.parse::<Limit>().unwrap_err().contains("50%/1000/1m"), "{bad}");
        }
    }

    #[test]
    fn nothing_counts_that_a_client_can_cause_over_http() {
        let counting = |headers: &[OriginalHeader]| -> Vec<Reason> {
            let letter = |reason| DeadLetter { original_headers: headers.to_vec(), ..sample::letter(reason) };
            Reason::ALL.into_iter().filter(|reason| counts(&letter(*reason))).collect()
        };
        let expected =
            [Reason::Undecodable, Reason::UnknownSchema, Reason::InvalidEvent, Reason::ProcessingFailed];
        assert_eq!(counting(&[]), expected);
        let sent_again = OriginalHeader { name: "dlq-redrive-attempt".into(), value: Some(b"1".to_vec()) };
        assert_eq!(counting(&[sent_again]), []);
    }
}
