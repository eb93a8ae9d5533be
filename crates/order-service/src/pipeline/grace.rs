//! When the held updates of a partition are given up.
//!
//! The time that an update waits for its CREATE may be over while the CREATE is in the log and not read yet, as after a
//! crash or an outage. So an update is given up only when everything is processed that the log had once its time was over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use compact_str::CompactString;

use super::clock::Now;

/// When a held update is given up, in milliseconds since 1970, and the order that it is of.
pub(super) type Timer = (i64, CompactString);

/// When nothing has come for so long from a broker that answers, what is left of a log are control records, which a
/// consumer is not shown.
const QUIET: Duration = Duration::from_secs(2);

/// The timers of a partition.
#[derive(Debug, Default)]
pub(super) struct Grace {
    /// An order that exists by now has none to give up.
    timers: BTreeSet<Timer>,
    end: Option<EndSeen>,
}

/// Where the log ended.
#[derive(Debug, Clone, Copy)]
struct EndSeen {
    /// The offset behind the last record, control records included.
    offset: i64,
    /// When the broker was asked.
    at: Now,
}

impl Grace {
    /// Of these held updates.
    pub(super) fn new(timers: impl IntoIterator<Item = Timer>) -> Self {
        Self { timers: timers.into_iter().collect(), end: None }
    }

    /// How many updates are held.
    pub(super) fn held(&self) -> usize {
        self.timers.len()
    }

    /// Whether to ask where the log ends: the time of an update is over, and was not when that was asked last.
    pub(super) fn wants_end(&mut self, now: i64) -> bool {
        let Some((due, _)) = self.timers.first() else {
            self.end = None;
            return false;
        };
        *due <= now && self.end.is_none_or(|seen| seen.at.millis < *due)
    }

    /// The log ended at `offset` when the broker was asked.
    pub(super) fn end_seen(&mut self, offset: i64, at: Now) {
        self.end = Some(EndSeen { offset, at });
    }

    /// The time up to which updates can be given up, if everything is processed that the log had then. `is_drained` says
    /// that no record is waiting.
    pub(super) fn over_until(&self, next_offset: i64, is_drained: bool, now: Instant) -> Option<i64> {
        let seen = self.end?;
        let is_quiet = || is_drained && now.duration_since(seen.at.instant) > QUIET;
        (next_offset >= seen.offset || is_quiet()).then_some(seen.at.millis)
    }

    /// The timers that ended up to then, the oldest first.
    pub(super) fn over(&self, until: i64) -> impl Iterator<Item = &Timer> {
        self.timers.iter().take_while(move |(at, _)| *at <= until)
    }

    /// Forgets timers of which nothing is held. They would be looked at in every turn until the partition has another event.
    pub(super) fn forget(&mut self, timers: &[Timer]) {
        for timer in timers {
            self.timers.remove(timer);
        }
    }

    /// Everything that was over is in a batch now.
    pub(super) fn all_given_up(&mut self) {
        self.end = None;
    }

    /// A batch was committed: what it gave up, and what it holds.
    pub(super) fn committed(&mut self, given_up_until: Option<i64>, held: Vec<Timer>) {
        if let Some(until) = given_up_until {
            self.timers.retain(|(at, _)| *at > until);
        }
        self.timers.extend(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(at: i64) -> Timer {
        (at, format!("ORD-{at}").into())
    }

    fn at(instant: Instant, millis: i64) -> Now {
        Now { instant, millis }
    }

    #[test]
    fn the_end_of_the_log_is_asked_for_once_a_time_is_over() {
        let mut grace = Grace::new([timer(100)]);
        assert!(!grace.wants_end(99));
        assert!(grace.wants_end(100));
        grace.end_seen(7, at(Instant::now(), 100));
        assert!(!grace.wants_end(200), "it is known where the log ended then");
        grace.committed(Some(100), vec![timer(150)]);
        assert!(grace.wants_end(200), "the next one's time was not over then");
        assert!(!Grace::default().wants_end(i64::MAX));
    }

    #[test]
    fn an_update_is_given_up_when_the_log_is_processed_as_far_as_it_reached_then() {
        let now = Instant::now();
        let mut grace = Grace::new([timer(100), timer(150), timer(300)]);
        assert_eq!(grace.over_until(9, true, now), None, "nobody has asked yet");
        grace.end_seen(7, at(now, 200));
        assert_eq!(grace.over_until(6, true, now), None);
        assert_eq!(grace.over_until(7, false, now), Some(200));
        assert_eq!(grace.over(200).map(|(at, _)| *at).collect::<Vec<_>>(), [100, 150]);
    }

    #[test]
    fn control_records_at_the_end_of_the_log_are_waited_for_two_seconds() {
        let now = Instant::now();
        let mut grace = Grace::new([timer(100)]);
        grace.end_seen(7, at(now, 200));
        assert_eq!(grace.over_until(6, true, now + QUIET), None);
        let later = now + QUIET + Duration::from_millis(1);
        assert_eq!(grace.over_until(6, true, later), Some(200));
        assert_eq!(grace.over_until(6, false, later), None, "records wait");
    }

    #[test]
    fn what_is_given_up_or_has_nothing_held_is_forgotten() {
        let mut grace = Grace::new([timer(100), timer(150), timer(300)]);
        grace.forget(&[timer(150)]);
        grace.committed(Some(200), vec![timer(200), timer(400)]);
        assert_eq!(grace.over(i64::MAX).map(|(at, _)| *at).collect::<Vec<_>>(), [200, 300, 400]);
        assert_eq!(grace.held(), 3);
    }
}
