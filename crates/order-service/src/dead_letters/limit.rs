//! The limit on dead letters: a bad deploy must not drain the events topic into the dead letter topic.
//!
//! Each partition has a [`Gate`] of its own: it stops when its own letters reach the limit, and the others go on.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use order_events::Reason;

use super::letter::DeadLetter;

/// `<percent>%/<count>/<window>`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(Option<Bounds>);

/// Too much is at least so many letters in the window, when they are more than that share of the events of their
/// partition that were processed in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    percent: u8,
    count: u64,
    window: Duration,
}

impl Bounds {
    fn are_reached(self, tally: Tally) -> bool {
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

/// How many events were processed, and how many of them speak of a bad deploy or a broken peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All.
    pub events: u64,
    /// Those that became dead letters for a reason that [`counts`].
    pub letters: u64,
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { events: self.events + other.events, letters: self.letters + other.letters }
    }
}

/// Whether a letter counts towards the limit. What a client can cause over HTTP does not, and a redrive is such a thing:
/// else anybody could stop the processing of everybody's orders.
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

/// A partition whose limit is reached stops for this long first, and for twice as long each time that a probe or
/// what follows it reaches the limit again.
const FIRST_STOP: Duration = Duration::from_secs(60);
const LONGEST_STOP: Duration = Duration::from_secs(3600);

/// So many events are processed after a stop, to see whether the cause is mended. A quiet partition may not have
/// as many: then what comes in this time must do.
pub(crate) const PROBE: u64 = 100;
const PROBE_TIME: Duration = Duration::from_secs(60);

/// Whether the events of one partition are processed. It knows no clock: it is told the time.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: Limit,
    window: Window,
    state: State,
    next_stop: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All events are processed. After a stop, `clean_at` is when the window will have passed without another one.
    Open {
        clean_at: Option<Instant>,
    },
    Stopped {
        since: Instant,
        until: Instant,
    },
    /// `since` is the begin of the first stop in a row.
    Probing {
        since: Instant,
        until: Instant,
    },
}

/// A stop, its probe included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The limit that was reached.
    pub bounds: Bounds,
    /// Since when not all events are processed.
    pub since: Instant,
    /// When the probe begins; `None` if it is under way.
    pub until: Option<Instant>,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing is processed for this long.
    Stopped(Duration),
    /// A few events are processed, to see.
    Probing,
    /// Everything is processed again.
    Resumed,
}

impl Gate {
    /// Nothing was processed yet.
    pub(crate) fn new(limit: Limit) -> Self {
        let (window, state) = (Window::default(), State::Open { clean_at: None });
        Self { limit, window, state, next_stop: FIRST_STOP }
    }

    /// Whether one more event may be processed, behind those of a batch that is not committed yet. A batch ends where
    /// it reaches the limit: no more letters are written than that takes.
    pub(crate) fn admits(&self, batch: Tally) -> bool {
        let sum = self.window.sum + batch;
        let fits = match self.state {
            State::Open { .. } => true,
            State::Stopped { .. } => false,
            State::Probing { .. } => sum.events < PROBE,
        };
        fits && !self.bounds().is_some_and(|bounds| bounds.are_reached(sum))
    }

    /// Whether nothing is processed.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped { .. })
    }

    /// The stop, if it is not over.
    pub(crate) fn stop(&self) -> Option<Stop> {
        let bounds = self.limit.0?;
        match self.state {
            State::Open { .. } => None,
            State::Stopped { since, until } => Some(Stop { bounds, since, until: Some(until) }),
            State::Probing { since, .. } => Some(Stop { bounds, since, until: None }),
        }
    }

    /// Counts what was committed.
    pub(crate) fn note(&mut self, tally: Tally, now: Instant) -> Option<Change> {
        let bounds = self.bounds()?;
        self.window.add(tally, now);
        if bounds.are_reached(self.window.sum) {
            return Some(self.begin_stop(now));
        }
        let probed = matches!(self.state, State::Probing { .. }) && self.window.sum.events >= PROBE;
        probed.then(|| self.resume(now))
    }

    /// Time has passed. The limit may be reached by that alone: the share of the letters rises when good events grow old.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Change> {
        let Bounds { window, .. } = self.limit.0?;
        self.window.forget_old(window, now);
        if !self.is_stopped() && self.bounds()?.are_reached(self.window.sum) {
            return Some(self.begin_stop(now));
        }
        match self.state {
            State::Stopped { since, until } if now >= until => {
                self.window = Window::default();
                self.state = State::Probing { since, until: now + PROBE_TIME };
                Some(Change::Probing)
            }
            State::Probing { until, .. } if now >= until => Some(self.resume(now)),
            State::Open { clean_at: Some(at) } if now >= at => {
                self.next_stop = FIRST_STOP;
                self.state = State::Open { clean_at: None };
                None
            }
            _ => None,
        }
    }

    /// What must not be reached just now. A probe has too few events for most counts: its share decides.
    fn bounds(&self) -> Option<Bounds> {
        let bounds = self.limit.0?;
        match self.state {
            State::Probing { .. } => {
                let too_many = PROBE * u64::from(bounds.percent) / 100 + 1;
                Some(Bounds { count: bounds.count.min(too_many), ..bounds })
            }
            State::Open { .. } | State::Stopped { .. } => Some(bounds),
        }
    }

    fn begin_stop(&mut self, now: Instant) -> Change {
        let since = self.stop().map_or(now, |stop| stop.since);
        let stop = self.next_stop;
        self.state = State::Stopped { since, until: now + stop };
        self.next_stop = (stop * 2).min(LONGEST_STOP);
        Change::Stopped(stop)
    }

    fn resume(&mut self, now: Instant) -> Change {
        self.state = State::Open { clean_at: self.limit.0.map(|bounds| now + bounds.window) };
        Change::Resumed
    }
}

/// What was processed lately.
#[derive(Debug, Default)]
struct Window {
    batches: VecDeque<(Instant, Tally)>,
    sum: Tally,
}

impl Window {
    fn add(&mut self, tally: Tally, now: Instant) {
        self.batches.push_back((now, tally));
        self.sum = self.sum + tally;
    }

    fn forget_old(&mut self, window: Duration, now: Instant) {
        while let Some((_, old)) = self.batches.pop_front_if(|(at, _)| now.duration_since(*at) > window) {
            self.sum.events -= old.events;
            self.sum.letters -= old.letters;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::original::OriginalHeader;
    use crate::event::outcome::Rejection;

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

    /// So many events, all of them letters that count.
    fn bad(events: u64) -> Tally {
        Tally { events, letters: events }
    }

    fn good(events: u64) -> Tally {
        Tally { events, letters: 0 }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    /// A gate that has just been stopped.
    fn stopped(text: &str, now: Instant) -> Gate {
        let mut gate = Gate::new(limit(text));
        assert_eq!(gate.note(bad(1000), now), Some(Change::Stopped(MINUTE)));
        gate
    }

    fn letter(reason: Reason, original_headers: Vec<OriginalHeader>) -> DeadLetter {
        DeadLetter {
            partition: 0,
            offset: 1,
            timestamp: 2,
            key: None,
            value: None,
            omitted: None,
            original_headers,
            rejection: Rejection::new(reason, "why"),
            retries: 0,
            failed_at: 3,
        }
    }

    #[test]
    fn nothing_counts_that_a_client_can_cause_over_http() {
        let counting = |headers: &[OriginalHeader]| -> Vec<Reason> {
            let letter = |reason: &Reason| letter(*reason, headers.to_vec());
            Reason::ALL.into_iter().filter(|reason| counts(&letter(reason))).collect()
        };
        let expected =
            [Reason::Undecodable, Reason::UnknownSchema, Reason::InvalidEvent, Reason::ProcessingFailed];
        assert_eq!(counting(&[]), expected);
        let sent_again = OriginalHeader { name: "dlq-redrive-attempt".into(), value: Some(b"1".to_vec()) };
        assert_eq!(counting(&[sent_again]), []);
    }

    #[test]
    fn it_takes_both_many_letters_and_a_large_share() {
        let (mut gate, start) = (Gate::new(limit("50%/10/1m")), Instant::now());
        assert_eq!(gate.note(Tally { events: 10, letters: 5 }, start), None);
        assert!(gate.admits(bad(4)), "too few");
        assert!(!gate.admits(bad(5)));
        assert!(gate.admits(Tally { events: 10, letters: 5 }), "no more than half");
        // What is old counts no more.
        assert_eq!(gate.note(bad(1), start + Duration::from_secs(61)), None);
        assert_eq!(gate.tick(start + Duration::from_secs(61)), None);
        assert!(gate.admits(bad(8)));
        assert!(!gate.admits(bad(9)));
    }

    #[test]
    fn it_is_also_reached_when_good_events_grow_old() {
        let (mut gate, start) = (Gate::new(limit("50%/10/1m")), Instant::now());
        let bad_at = start + Duration::from_secs(1);
        assert_eq!((gate.note(good(10), start), gate.note(bad(10), bad_at)), (None, None));
        assert_eq!(gate.tick(start + MINUTE), None);
        assert_eq!(gate.tick(bad_at + MINUTE), Some(Change::Stopped(MINUTE)));

        // A probe as well: its window may be shorter than it.
        let mut gate = stopped("50%/10/1s", start);
        let probed = start + MINUTE;
        assert_eq!(gate.tick(probed), Some(Change::Probing));
        assert_eq!(gate.note(good(10), probed), None);
        assert_eq!(gate.note(bad(10), probed + Duration::from_secs(1)), None);
        assert_eq!(gate.tick(probed + Duration::from_secs(2)), Some(Change::Stopped(MINUTE * 2)));
    }

    #[test]
    fn without_a_limit_nothing_is_too_much() {
        let (mut gate, now) = (Gate::new(limit("off")), Instant::now());
        assert!(gate.admits(bad(1_000_000)));
        assert_eq!((gate.note(bad(1_000_000), now), gate.tick(now), gate.stop()), (None, None, None));
    }

    #[test]
    fn a_stop_lasts_a_minute_and_ends_with_a_probe_of_100_events() {
        let start = Instant::now();
        let mut gate = stopped("50%/1000/1m", start);
        let almost = start + MINUTE - Duration::from_millis(1);
        assert_eq!(gate.tick(almost), None);
        assert!(gate.is_stopped() && !gate.admits(Tally::default()));
        let stop = gate.stop().unwrap();
        assert_eq!((stop.since, stop.until), (start, Some(start + MINUTE)));

        let probed = start + MINUTE;
        assert_eq!(gate.tick(probed), Some(Change::Probing));
        assert!(!gate.is_stopped());
        let stop = gate.stop().unwrap();
        assert_eq!((stop.since, stop.until), (start, None));
        assert!(gate.admits(good(99)) && !gate.admits(good(100)), "no more than the probe");
        assert_eq!(gate.note(Tally { events: 60, letters: 30 }, probed), None);
        assert!(gate.admits(good(39)) && !gate.admits(good(40)), "over more than one batch");
        assert_eq!(gate.note(Tally { events: 40, letters: 20 }, probed), Some(Change::Resumed));
        assert_eq!(gate.stop(), None);
        assert!(gate.admits(good(1_000_000)));
    }

    #[test]
    fn a_bad_probe_ends_as_soon_as_that_is_sure_and_the_next_stop_is_twice_as_long() {
        let start = Instant::now();
        let mut gate = stopped("50%/1000/1m", start);
        let (mut now, mut stop) = (start, MINUTE);
        for minutes in [2, 4, 8, 16, 32, 60, 60] {
            now += stop;
            assert_eq!(gate.tick(now), Some(Change::Probing));
            assert!(gate.admits(bad(50)) && !gate.admits(bad(51)), "more than half of 100");
            stop = MINUTE * minutes;
            assert_eq!(gate.note(bad(51), now), Some(Change::Stopped(stop)));
            let told = gate.stop().unwrap();
            assert_eq!((told.since, told.until), (start, Some(now + stop)), "since the first of them");
        }
    }

    #[test]
    fn a_count_below_the_share_of_a_probe_ends_it_too() {
        let start = Instant::now();
        let mut gate = stopped("50%/20/1h", start);
        assert_eq!(gate.tick(start + MINUTE), Some(Change::Probing));
        assert!(gate.admits(bad(19)) && !gate.admits(bad(20)));
    }

    #[test]
    fn a_probe_of_a_quiet_partition_ends_after_a_minute() {
        let start = Instant::now();
        let mut gate = stopped("50%/1000/1m", start);
        assert_eq!(gate.tick(start + MINUTE), Some(Change::Probing));
        assert_eq!(gate.note(bad(50), start + MINUTE), None);
        assert_eq!(gate.tick(start + MINUTE * 2), Some(Change::Resumed));
        assert_eq!(gate.tick(start + MINUTE * 2), None);
    }

    #[test]
    fn the_limit_within_a_window_of_a_good_probe_stops_for_longer_and_a_clean_window_resets() {
        for (after, minutes) in [(Duration::from_secs(59), 2), (Duration::from_secs(60), 1)] {
            let start = Instant::now();
            let mut gate = stopped("50%/1000/1m", start);
            let now = start + MINUTE;
            assert_eq!(gate.tick(now), Some(Change::Probing));
            assert_eq!(gate.note(good(100), now), Some(Change::Resumed));
            assert_eq!(gate.tick(now + after), None);
            let again = gate.note(bad(1000), now + after);
            assert_eq!(again, Some(Change::Stopped(MINUTE * minutes)));
            assert_eq!(gate.stop().unwrap().since, now + after);
        }
    }
}
