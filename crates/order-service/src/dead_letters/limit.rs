//! The limit on dead letters: a bad deploy must not drain the events topic into the dead letter topic.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// `<percent>%/<count>/<window>`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(Option<Bounds>);

/// Too much is at least so many letters in the window, when they are more than that share of the events that were
/// processed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    percent: u8,
    count: u64,
    window: Duration,
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

/// How many events were processed, and how many of them became dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All.
    pub events: u64,
    /// Those that could not be processed.
    pub letters: u64,
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events + other.events, letters: self.letters + other.letters }
    }
}

/// What was processed in the limit's window.
#[derive(Debug)]
pub(crate) struct Window {
    limit: Limit,
    batches: VecDeque<(Instant, Tally)>,
    sum: Tally,
}

impl Window {
    /// Nothing was processed yet.
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, batches: VecDeque::new(), sum: Tally::default() }
    }

    /// The limit, if it would be reached with `more`.
    pub(crate) fn reached_with(&self, more: Tally) -> Option<Bounds> {
        let sum = self.sum + more;
        self.limit.0.filter(|bounds| {
            sum.letters >= bounds.count && sum.letters * 100 > sum.events * u64::from(bounds.percent)
        })
    }

    /// Adds what was committed.
    pub(crate) fn note(&mut self, tally: Tally, now: Instant) {
        if self.limit.0.is_some() {
            self.batches.push_back((now, tally));
            self.sum = self.sum + tally;
        }
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget_old(&mut self, now: Instant) {
        let Some(bounds) = self.limit.0 else { return };
        while let Some((_, old)) =
            self.batches.pop_front_if(|(at, _)| now.duration_since(*at) > bounds.window)
        {
            self.sum.events -= old.events;
            self.sum.letters -= old.letters;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn it_takes_both_many_letters_and_a_large_share() {
        let mut window = Window::new(limit("50%/10/1m"));
        let start = Instant::now();
        window.note(Tally { events: 10, letters: 5 }, start);
        assert_eq!(window.reached_with(Tally { events: 4, letters: 4 }), None, "too few");
        assert!(window.reached_with(Tally { events: 5, letters: 5 }).is_some());
        assert_eq!(window.reached_with(Tally { events: 10, letters: 5 }), None, "no more than half");
        // What is old counts no more.
        window.note(Tally { events: 1, letters: 1 }, start + Duration::from_secs(61));
        window.forget_old(start + Duration::from_secs(61));
        assert_eq!(window.reached_with(Tally { events: 8, letters: 8 }), None);
        assert!(window.reached_with(Tally { events: 9, letters: 9 }).is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_too_much() {
        let window = Window::new(limit("off"));
        assert_eq!(window.reached_with(Tally { events: 1_000_000, letters: 1_000_000 }), None);
    }
}
