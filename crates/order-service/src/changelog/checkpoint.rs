//! By what a log of events is known again: records of it that were processed.
//!
//! A log that loses its end, as after the loss of power of its only broker or an unclean election, is filled again with
//! other records at the same offsets. What was processed is still in it as far as a checkpoint is.

use rdkafka::Message;
use serde::{Deserialize, Serialize};

use super::Mark;
use crate::event::record::timestamp;

/// The most checkpoints of one partition.
const MOST: usize = 16;

/// A record of the events that was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where it is.
    pub offset: i64,
    /// Its time, in milliseconds since 1970; -1 if it has none.
    pub timestamp: i64,
    /// Of its key and its value.
    pub fingerprint: i64,
}

impl Checkpoint {
    /// Of a record that was read.
    pub(crate) fn of(record: &impl Message) -> Self {
        let mark = Mark::of(record);
        Self {
            offset: mark.offset,
            timestamp: timestamp(record),
            fingerprint: mark.fingerprint().cast_signed(),
        }
    }
}

/// Checkpoints of one partition, the oldest first. Their distances from the newest one grow like powers: few of them reach
/// far back, and what has to be read again is never much more than what was lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoints(Vec<Checkpoint>);

impl Checkpoints {
    /// Adds the newest one.
    pub(crate) fn note(&mut self, newest: Checkpoint) {
        self.0.retain(|known| known.offset < newest.offset);
        self.0.push(newest);
        if self.0.len() > MOST {
            self.remove_one();
        }
    }

    /// Removes the one without which the distances grow most evenly; never the oldest or the newest.
    fn remove_one(&mut self) {
        let Some(newest) = self.newest() else { return };
        let distance = |at: usize| newest.offset - self.0[at].offset + 1;
        // How many times as far away the one before it is as the one behind it.
        #[expect(clippy::cast_precision_loss, reason = "only the smallest one matters")]
        let growth = |at: usize| distance(at - 1) as f64 / distance(at + 1) as f64;
        let least = (1..self.0.len() - 1).min_by(|a, b| growth(*a).total_cmp(&growth(*b)));
        if let Some(at) = least {
            self.0.remove(at);
        }
    }

    /// The newest one.
    pub(crate) fn newest(&self) -> Option<Checkpoint> {
        self.0.last().copied()
    }

    /// All, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = Checkpoint> {
        self.0.iter().rev().copied()
    }

    /// Forgets those before this offset: retention has taken their records.
    pub(crate) fn log_starts_at(&mut self, offset: i64) {
        self.0.retain(|known| known.offset >= offset);
    }

    /// Forgets those from this offset on: their records are not in the log any more.
    pub(crate) fn cut_at(&mut self, offset: i64) {
        self.0.retain(|known| known.offset < offset);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn at(offset: i64) -> Checkpoint {
        Checkpoint { offset, timestamp: offset, fingerprint: offset }
    }

    fn offsets(checkpoints: &Checkpoints) -> Vec<i64> {
        checkpoints.0.iter().map(|known| known.offset).collect()
    }

    fn noted(offsets: impl IntoIterator<Item = i64>) -> Checkpoints {
        let mut checkpoints = Checkpoints::default();
        offsets.into_iter().for_each(|offset| checkpoints.note(at(offset)));
        checkpoints
    }

    #[test]
    fn the_fingerprint_of_a_record_is_fixed_for_ever() {
        let (key, value) = (Some(b"ORD-1".to_vec()), Some(b"an event".to_vec()));
        let record = |value, time| OwnedMessage::new(value, key.clone(), "events".into(), time, 0, 7, None);
        let checkpoint = Checkpoint::of(&record(value, Timestamp::CreateTime(1_000)));
        let expected = Checkpoint { offset: 7, timestamp: 1_000, fingerprint: FINGERPRINT };
        assert_eq!(checkpoint, expected, "it is in the changelog");
        let other = Checkpoint::of(&record(Some(b"another".to_vec()), Timestamp::NotAvailable));
        assert_ne!(other.fingerprint, FINGERPRINT);
        assert_eq!(other.timestamp, -1);
    }

    const FINGERPRINT: i64 = -6_044_085_005_795_557_980;

    #[test]
    fn sixteen_reach_from_the_newest_to_the_oldest() {
        let checkpoints = noted(0..1_000_000);
        let offsets = offsets(&checkpoints);
        assert_eq!((offsets.len(), offsets[0], offsets[15]), (16, 0, 999_999));
        let distances: Vec<i64> = offsets.iter().map(|offset| 1_000_000 - offset).collect();
        for pair in distances.windows(2) {
            assert!(pair[0] <= 6 * pair[1], "{distances:?}");
        }
    }

    #[test]
    fn what_is_gone_at_either_end_is_forgotten() {
        let mut checkpoints = noted([3, 5, 9, 12]);
        checkpoints.log_starts_at(5);
        checkpoints.cut_at(12);
        assert_eq!(offsets(&checkpoints), [5, 9]);
        assert_eq!(checkpoints.newest_first().map(|known| known.offset).collect::<Vec<_>>(), [9, 5]);
        checkpoints.note(at(7));
        assert_eq!(offsets(&checkpoints), [5, 7], "it was processed again from 7 on");
    }

    proptest! {
        /// However large the batches are.
        #[test]
        fn the_newest_and_the_oldest_stay(batches in prop::collection::vec(1..20_000_i64, 1..300)) {
            let ends: Vec<i64> = batches.iter().scan(0, |end, batch| { *end += batch; Some(*end) }).collect();
            let offsets = offsets(&noted(ends.clone()));
            prop_assert_eq!(offsets.len(), ends.len().min(MOST));
            prop_assert_eq!((offsets.first(), offsets.last()), (ends.first(), ends.last()));
            prop_assert!(offsets.is_sorted());
        }
    }
}
