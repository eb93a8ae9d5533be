//! The gate of one partition: stops it when its dead letters reach `DLQ_LIMIT`, so that a bad deploy does not drain the
//! events topic into the dead letter topic. The other partitions go on.
//!
//! Open -> stopped (a minute at first) -> probing (a few events) -> open, or stopped for twice as long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::limit::{Bounds, Limit, Tally};

/// How long a partition stops first. It stops for twice as long each time that the limit is reached again in a probe, or
/// within a window after it.
const FIRST_STOP: Duration = Duration::from_secs(60);
const LONGEST_STOP: Duration = Duration::from_secs(3600);

/// How many events are processed after a stop, to see whether the cause is mended. In a quiet partition, those that come
/// within `PROBE_TIME` are enough.
pub(crate) const PROBE: u64 = 100;
const PROBE_TIME: Duration = Duration::from_secs(60);

/// Decides whether the events of one partition are processed. It has no clock of its own: each call brings the time.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: Limit,
    window: Window,
    state: State,
    next_stop: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All events are processed. After a stop, the next one is as short as the first if none comes before `clean_at`.
    Open {
        clean_at: Option<Instant>,
    },
    Stopped {
        since: Instant,
        until: Instant,
    },
    /// `since` is when the first of several stops in a row began.
    Probing {
        since: Instant,
        until: Instant,
    },
}

/// A stop or its probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The limit that was reached.
    pub bounds: Bounds,
    /// When the first of several stops in a row began.
    pub since: Instant,
    /// When the probe begins; `None` if it is under way.
    pub until: Option<Instant>,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// No event is processed for this long.
    Stopped(Duration),
    /// [`PROBE`] events are processed.
    Probing,
    /// All events are processed again.
    Resumed,
}

impl Gate {
    /// Open.
    pub(crate) fn new(limit: Limit) -> Self {
        let (window, state) = (Window::default(), State::Open { clean_at: None });
        Self { limit, window, state, next_stop: FIRST_STOP }
    }

    /// Whether a batch that is not committed yet may get one more event. A batch ends where it reaches the limit, so that
    /// no more letters are written than the limit allows.
    pub(crate) fn admits(&self, batch: Tally) -> bool {
        let sum = self.window.sum + batch;
        let fits = match self.state {
            State::Open { .. } => true,
            State::Stopped { .. } => false,
            State::Probing { .. } => sum.events < PROBE,
        };
        fits && !self.bounds().is_some_and(|bounds| bounds.are_reached(sum))
    }

    /// Whether no event is processed.
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

    /// Counts a committed batch.
    pub(crate) fn note(&mut self, tally: Tally, now: Instant) -> Option<Change> {
        let bounds = self.bounds()?;
        self.window.add(tally, now);
        if bounds.are_reached(self.window.sum) {
            return Some(self.begin_stop(now));
        }
        let probed = matches!(self.state, State::Probing { .. }) && self.window.sum.events >= PROBE;
        probed.then(|| self.resume(now))
    }

    /// Changes what time changes. That can reach the limit too: the share of the letters rises when good events leave the
    /// window.
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

    /// The bounds of the present state. A probe has too few events for most counts, so its share decides.
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

/// The batches of the last `window`.
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

    fn limit(text: &str) -> Limit {
        text.parse().unwrap()
    }

    /// Events that all became letters that count.
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
