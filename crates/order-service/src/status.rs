//! How the service is: what it waits for, how far each partition is processed, whether it should get requests.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// After this long without a sign of life, the pipeline's thread hangs. Its longest call takes seconds.
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// Something that must pass before requests make sense again. In the order of what is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Topics and schemas are not there yet.
    Boot,
    /// The topics do not go together, so nothing is processed: wrong numbers of partitions, or a changelog that is not
    /// compacted.
    Topics,
    /// The brokers do not answer.
    Brokers,
    /// A broker answers as if the changelog were gone, or shorter than it was.
    Changelog,
    /// A broker answers as if the events topic were shorter than it was.
    Events,
    /// A topic has records that cannot be read.
    Damage,
    /// Transactions fail.
    Transactions,
    /// The registry does not answer, and a record needs it.
    Registry,
    /// Too many events became dead letters.
    DeadLetters,
}

/// A handle on the status; cheap to clone.
#[derive(Clone)]
pub struct Status(Arc<RwLock<Inner>>);

struct Inner {
    obstacles: BTreeMap<Obstacle, String>,
    /// The pipeline thread's last sign of life.
    last_beat: Instant,
    partitions: Vec<PartitionStatus>,
    max_lag: i64,
}

/// One partition of the events topic.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartitionStatus {
    /// Its number.
    pub partition: usize,
    /// Whether this instance processes it; else another one does, and this one follows.
    pub active: bool,
    /// The next offset to be processed.
    pub position: i64,
    /// The offset of the first record that is still there.
    pub start_offset: i64,
    /// The offset after the last record, when it was last asked for.
    pub end_offset: i64,
    /// `end_offset - position`; marks of transactions count.
    pub lag: i64,
    /// Whether the changelog was read to the end that it had when the service started.
    pub restored: bool,
    /// Events that retention took before they were processed.
    pub lost: i64,
    /// That too many of its events became dead letters (`DLQ_LIMIT`), if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// A stop of a partition by `DLQ_LIMIT`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Stopped {
    /// When it began.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When a probe of 100 events will be processed; missing while that is under way.
    #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    pub until: Option<Timestamp>,
}

fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[expect(clippy::ref_option, reason = "serde gives the field so")]
fn as_optional_text<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.as_ref().map(ToString::to_string).serialize(serializer)
}

impl Status {
    /// The service starts.
    pub fn new(max_lag: i64) -> Self {
        Self(Arc::new(RwLock::new(Inner {
            obstacles: BTreeMap::from([(Obstacle::Boot, "starting".to_owned())]),
            last_beat: Instant::now(),
            partitions: Vec::new(),
            max_lag,
        })))
    }

    /// The boot is over; there are this many partitions, and their states are to be restored.
    pub fn restoring(&self, partitions: usize) {
        self.write(|inner| {
            let partition = |partition| PartitionStatus { partition, ..PartitionStatus::default() };
            inner.partitions = (0..partitions).map(partition).collect();
            inner.obstacles.remove(&Obstacle::Boot);
        });
    }

    /// Something is in the way, for this reason.
    pub fn set(&self, obstacle: Obstacle, reason: String) {
        self.write(|inner| {
            inner.obstacles.insert(obstacle, reason);
        });
    }

    /// It is in the way no more. Returns whether it was.
    pub fn clear(&self, obstacle: Obstacle) -> bool {
        let was_there = self.has(obstacle);
        if was_there {
            self.write(|inner| {
                inner.obstacles.remove(&obstacle);
            });
        }
        was_there
    }

    /// Whether this is in the way.
    pub fn has(&self, obstacle: Obstacle) -> bool {
        self.read(|inner| inner.obstacles.contains_key(&obstacle))
    }

    /// The pipeline's thread is alive.
    pub fn beat(&self) {
        self.write(|inner| inner.last_beat = Instant::now());
    }

    /// Whether the pipeline's thread still gives signs of life.
    pub fn is_live(&self) -> bool {
        self.read(|inner| inner.is_live())
    }

    /// Changes what is known of a partition.
    pub fn change(&self, partition: usize, change: impl FnOnce(&mut PartitionStatus)) {
        self.write(|inner| {
            if let Some(status) = inner.partitions.get_mut(partition) {
                change(status);
                status.lag = (status.end_offset - status.position.max(status.start_offset)).max(0);
            }
        });
    }

    /// The offset of the first record that a partition still has, when it was last asked for.
    pub fn start_offset(&self, partition: usize) -> i64 {
        self.read(|inner| inner.partitions.get(partition).map_or(0, |status| status.start_offset))
    }

    /// Every partition, by number.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.read(|inner| inner.partitions.clone())
    }

    /// Whether all that was there at the start is shown; until then an order that is missing may only not be
    /// known yet.
    pub fn is_restored(&self) -> bool {
        self.read(|inner| {
            !inner.partitions.is_empty() && inner.partitions.iter().all(|status| status.restored)
        })
    }

    /// Why the service should get no requests just now, if so.
    pub fn unready_because(&self) -> Option<String> {
        self.read(|inner| {
            if !inner.is_live() {
                return Some("the pipeline gives no sign of life".to_owned());
            }
            if let Some(reason) = inner.obstacles.values().next() {
                return Some(reason.clone());
            }
            if let Some(behind) = inner.partitions.iter().find(|status| !status.restored) {
                return Some(format!("the orders of partition {} are being restored", behind.partition));
            }
            let worst = inner.partitions.iter().max_by_key(|status| status.lag)?;
            let lags = format!("partition {} lags by {} records", worst.partition, worst.lag);
            (worst.lag > inner.max_lag).then_some(lags)
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    fn is_live(&self) -> bool {
        self.last_beat.elapsed() < HUNG_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_restored_and_close_to_the_end() {
        let status = Status::new(100);
        assert_eq!(status.unready_because().unwrap(), "starting");
        status.restoring(2);
        assert_eq!(status.unready_because().unwrap(), "the orders of partition 0 are being restored");
        for partition in 0..2 {
            assert!(!status.is_restored());
            status.change(partition, |status| status.restored = true);
        }
        assert_eq!((status.unready_because(), status.is_restored()), (None, true));
        status.change(1, |status| (status.position, status.end_offset) = (10, 200));
        assert_eq!(status.unready_because().unwrap(), "partition 1 lags by 190 records");
        status.change(1, |status| status.position = 100);
        assert_eq!(status.unready_because(), None);
    }

    #[test]
    fn a_pipeline_that_hangs_is_not_ready() {
        let status = Status::new(0);
        status.restoring(1);
        status.change(0, |status| status.restored = true);
        assert_eq!((status.unready_because(), status.is_live()), (None, true));
        status.write(|inner| inner.last_beat -= HUNG_AFTER);
        assert_eq!(status.unready_because().unwrap(), "the pipeline gives no sign of life");
        status.beat();
        assert!(status.is_live());
    }

    #[test]
    fn an_obstacle_comes_first_and_passes() {
        let status = Status::new(0);
        status.restoring(1);
        status.set(Obstacle::Registry, "no registry".into());
        status.set(Obstacle::Brokers, "no brokers".into());
        assert_eq!(status.unready_because().unwrap(), "no brokers");
        assert!(status.clear(Obstacle::Brokers) && !status.clear(Obstacle::Brokers));
        assert_eq!(status.unready_because().unwrap(), "no registry");
    }
}
