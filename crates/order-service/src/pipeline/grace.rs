//! When the held updates of a partition are given up.
//!
//! The time that an update waits for its CREATE may be over while the CREATE is in the log and not read yet: after a crash
//! or an outage, while the leader moves, or while a quota slows the consumer down. So an update is given up only when
//! everything is processed that the log had once its time was over. The proof has two parts:
//!
//! - A broker was asked after that time where the log ends. The watcher asks, beside the pipeline, as soon as the pipeline
//!   wants to know: no transaction waits for the answer.
//! - Everything below that end is processed. Control records may stand at the end, as those of a redrive's transaction,
//!   which a consumer is not shown. Its position moves past them all the same; if no record waits, all that is below the
//!   position is processed.
//!
//! `PartitionEOF` would be no such proof. librdkafka tells it once for each end, which may be before the time was over, and
//! only with an answer that has no records, which a busy partition may never give.

use std::collections::BTreeSet;

use compact_str::CompactString;

use super::log_ends::EndSeen;

/// When a held update is given up, in milliseconds since 1970, and the order that it is of.
pub(super) type Timer = (i64, CompactString);

/// The timers of a partition.
#[derive(Debug, Default)]
pub(super) struct Grace {
    /// An order that exists by now has none to give up.
    timers: BTreeSet<Timer>,
    /// Up to where the log must be processed, and up to which time updates are given up then.
    end: Option<EndSeen>,
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

    /// Takes where the log ended when a broker was asked last. Returns whether one is to be asked again: the time of an
    /// update is over at `now`, and was not when one was asked.
    pub(super) fn end_seen(&mut self, last: Option<EndSeen>, now: i64) -> bool {
        let Some(due) = self.timers.first().map(|(due, _)| *due).filter(|due| *due <= now) else {
            return false;
        };
        let of_use = self.end.into_iter().chain(last).filter(|end| end.asked_at >= due);
        // The first one, or else a busy partition would never be there. But a log that was cut only has the last one.
        self.end = of_use.min_by_key(|end| end.offset);
        self.end.is_none()
    }

    /// Whether the end of the log is known and lies behind the events that are processed.
    pub(super) fn is_behind(&self, next_offset: i64) -> bool {
        self.end.is_some_and(|end| next_offset < end.offset)
    }

    /// Everything below `position` is processed, control records behind `next_offset` included.
    pub(super) fn read_to(&mut self, position: i64, next_offset: i64) {
        if let Some(end) = self.end.as_mut().filter(|end| position >= end.offset) {
            end.offset = end.offset.min(next_offset);
        }
    }

    /// The time up to which updates can be given up, if everything is processed that the log had then.
    pub(super) fn over_until(&self, next_offset: i64) -> Option<i64> {
        self.end.filter(|end| next_offset >= end.offset).map(|end| end.asked_at)
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

    fn end(offset: i64, asked_at: i64) -> Option<EndSeen> {
        Some(EndSeen { offset, asked_at })
    }

    #[test]
    fn the_end_of_the_log_is_asked_for_once_a_time_is_over() {
        let mut grace = Grace::new([timer(100)]);
        assert!(!grace.end_seen(None, 99));
        assert!(grace.end_seen(None, 100));
        assert!(grace.end_seen(end(7, 99), 110), "the time was not over then");
        assert!(!grace.end_seen(end(7, 100), 120));
        assert!(!grace.end_seen(None, 200), "it is known where the log ended then");
        grace.committed(Some(100), vec![timer(150)]);
        assert!(grace.end_seen(end(7, 100), 200), "the next one's time was not over then");
        assert!(!Grace::default().end_seen(None, i64::MAX));
    }

    #[test]
    fn an_update_is_given_up_when_the_log_is_processed_as_far_as_it_reached_then() {
        let mut grace = Grace::new([timer(100), timer(150), timer(300)]);
        assert_eq!(grace.over_until(9), None, "nobody has asked yet");
        grace.end_seen(end(7, 200), 210);
        assert_eq!(grace.over_until(6), None);
        assert_eq!(grace.over_until(7), Some(200));
        assert_eq!(grace.over(200).map(|(at, _)| *at).collect::<Vec<_>>(), [100, 150]);
    }

    #[test]
    fn an_end_that_moves_on_is_not_run_after_and_one_of_a_log_that_was_cut_is_not_waited_for() {
        let mut grace = Grace::new([timer(100)]);
        grace.end_seen(end(7, 200), 210);
        grace.end_seen(end(9, 300), 310);
        assert_eq!((grace.over_until(6), grace.over_until(7)), (None, Some(200)));
        grace.end_seen(end(5, 400), 410);
        assert_eq!((grace.over_until(4), grace.over_until(5)), (None, Some(400)));
    }

    #[test]
    fn control_records_at_the_end_of_the_log_are_read_when_the_consumer_is_past_them() {
        let mut grace = Grace::new([timer(100)]);
        grace.end_seen(end(7, 200), 210);
        assert!(grace.is_behind(5) && !grace.is_behind(7));
        grace.read_to(6, 5);
        assert_eq!(grace.over_until(5), None, "one is not read");
        grace.read_to(7, 5);
        assert_eq!(grace.over_until(5), Some(200));
        grace.end_seen(end(9, 300), 310);
        assert_eq!(grace.over_until(5), Some(200), "what came since does not count");
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
