//! Whether the changelog is silent although something of it is expected: a client that was made while a broker hung can
//! stay silent for minutes.

use std::time::{Duration, Instant};

use super::partition::Partition;
use crate::view::status::PartitionStatus;

/// The longest silence of the tail. Longer than a group takes to give the partitions of a dead instance to another one.
const LONGEST: Duration = Duration::from_secs(15);

/// The silence of the tail, if it is silent.
#[derive(Debug, Default)]
pub(super) struct Silence {
    since: Option<Instant>,
    /// Where each partition of the events ended when the tail was last replaced.
    replaced_at: Vec<i64>,
}

impl Silence {
    /// Something came, or the tail is a new one.
    pub(super) fn end(&mut self) {
        self.since = None;
    }

    /// Whether the tail has been silent for too long by now.
    pub(super) fn is_too_long(
        &mut self,
        partitions: &[Partition],
        statuses: &[PartitionStatus],
        now: Instant,
    ) -> bool {
        if !self.is_news_expected(partitions, statuses) {
            self.since = None;
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= LONGEST
    }

    /// The tail was replaced for it. If that one is silent as well, a lag is no reason any more until events come.
    pub(super) fn replaced(&mut self, statuses: &[PartitionStatus]) {
        self.replaced_at = statuses.iter().map(|status| status.end_offset).collect();
    }

    /// Whether something of the changelog is awaited: a barrier, or what another instance makes of events that are there.
    fn is_news_expected(&self, partitions: &[Partition], statuses: &[PartitionStatus]) -> bool {
        partitions.iter().zip(statuses).any(|(partition, status)| {
            // Behind the last event may be a control record, of which nobody makes anything.
            let is_behind =
                || status.lag > 0 && self.replaced_at.get(status.partition) != Some(&status.end_offset);
            partition.awaited_since().is_some() || (!partition.is_ours() && is_behind())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn followed() -> [Partition; 1] {
        [Partition::new(0, "off".parse().unwrap())]
    }

    fn status(position: i64, end_offset: i64) -> [PartitionStatus; 1] {
        [PartitionStatus { position, end_offset, lag: end_offset - position, ..PartitionStatus::default() }]
    }

    #[test]
    fn without_lag_nothing_is_expected_of_another_instance() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        for second in 0..60 {
            assert!(!silence.is_too_long(&followed(), &status(5, 5), start + SECOND * second));
        }
    }

    #[test]
    fn a_lag_of_which_nothing_comes_replaces_the_tail_once() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert!(!silence.is_too_long(&followed(), &status(5, 6), start));
        assert!(!silence.is_too_long(&followed(), &status(5, 6), start + SECOND * 14));
        assert!(silence.is_too_long(&followed(), &status(5, 6), start + SECOND * 15));
        silence.end();
        silence.replaced(&status(5, 6));
        assert!(!silence.is_too_long(&followed(), &status(5, 6), start + SECOND * 60), "a control record");
        assert!(!silence.is_too_long(&followed(), &status(5, 7), start + SECOND * 61));
        assert!(silence.is_too_long(&followed(), &status(5, 7), start + SECOND * 76), "an event came");
    }

    #[test]
    fn what_comes_ends_the_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert!(!silence.is_too_long(&followed(), &status(5, 6), start));
        silence.end();
        assert!(!silence.is_too_long(&followed(), &status(5, 6), start + SECOND * 15));
    }

    #[test]
    fn a_barrier_is_expected_and_an_own_partition_tells_nothing() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let mut partitions = followed();
        let _ = partitions[0].assigned();
        assert!(!silence.is_too_long(&partitions, &status(5, 6), start));
        assert!(!silence.is_too_long(&partitions, &status(5, 6), start + SECOND * 20), "none is written");
        let _ = partitions[0].barrier_written(9, start);
        assert!(!silence.is_too_long(&partitions, &status(5, 5), start + SECOND * 20));
        assert!(silence.is_too_long(&partitions, &status(5, 5), start + SECOND * 35));
    }
}
