//! How far each partition of the events topic is read, and whether that is far enough to serve.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A handle on the progress; cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<RwLock<Inner>>);

/// After this long without a sign of life, the consumer thread hangs.
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// Something that must pass before requests make sense again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Topics and schemas are not there yet.
    Boot,
    /// The brokers do not answer.
    Brokers,
    /// The registry does not answer, and a record needs it.
    Registry,
}

struct Inner {
    obstacles: BTreeMap<Obstacle, String>,
    /// The consumer thread's last sign of life.
    last_beat: Instant,
    partitions: BTreeMap<i32, PartitionProgress>,
    max_lag: i64,
}

/// One partition of the events topic.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionProgress {
    /// Its number.
    pub partition: i32,
    /// The next offset to be processed.
    pub position: i64,
    /// The offset after the last record, when it was last asked for.
    pub end_offset: i64,
    /// `end_offset - position`; control records of transactions count.
    pub lag: i64,
    /// Whether the end that the partition had when the service started is reached.
    pub restored: bool,
    #[serde(skip)]
    restore_to: i64,
}

impl PartitionProgress {
    fn update(&mut self) {
        self.lag = (self.end_offset - self.position).max(0);
        self.restored = self.restored || self.position >= self.restore_to;
    }
}

impl Progress {
    /// Nothing is read yet.
    pub fn new(max_lag: i64) -> Self {
        Self(Arc::new(RwLock::new(Inner {
            obstacles: BTreeMap::from([(Obstacle::Boot, "starting".to_owned())]),
            last_beat: Instant::now(),
            partitions: BTreeMap::new(),
            max_lag,
        })))
    }

    /// Something is in the way, for this reason.
    pub fn set(&self, obstacle: Obstacle, reason: String) {
        self.write(|inner| {
            inner.obstacles.insert(obstacle, reason);
        });
    }

    /// It is in the way no more.
    pub fn clear(&self, obstacle: Obstacle) {
        self.write(|inner| {
            inner.obstacles.remove(&obstacle);
        });
    }

    /// The consumer thread is alive.
    pub fn beat(&self) {
        self.write(|inner| inner.last_beat = Instant::now());
    }

    /// Whether the consumer thread still gives signs of life.
    pub fn is_live(&self) -> bool {
        self.read(|inner| inner.last_beat.elapsed() < HUNG_AFTER)
    }

    /// The boot is over: the partitions begin at these offsets and are restored when these ends are reached.
    pub fn begin(&self, partitions: impl IntoIterator<Item = (i32, i64, i64)>) {
        let partitions = partitions.into_iter().map(|(partition, position, end)| {
            let mut progress = PartitionProgress {
                partition,
                position,
                end_offset: end,
                restore_to: end,
                ..PartitionProgress::default()
            };
            progress.update();
            (partition, progress)
        });
        self.write(|inner| {
            inner.partitions = partitions.collect();
            inner.obstacles.remove(&Obstacle::Boot);
        });
    }

    /// The next offset to be processed is `position`.
    pub fn advance(&self, partition: i32, position: i64) {
        self.change(partition, |progress| progress.position = progress.position.max(position));
    }

    /// Everything up to the known end is read; what is between the last record and the end are control
    /// records, which a consumer is not shown.
    pub fn caught_up(&self, partition: i32) {
        self.change(partition, |progress| progress.position = progress.position.max(progress.end_offset));
    }

    /// The partition ends before `end_offset`.
    pub fn end_at(&self, partition: i32, end_offset: i64) {
        self.change(partition, |progress| progress.end_offset = end_offset);
    }

    /// Every partition, by number.
    pub fn partitions(&self) -> Vec<PartitionProgress> {
        self.read(|inner| inner.partitions.values().cloned().collect())
    }

    /// Whether all that was there at the start has been processed once; until then an order that is missing
    /// may only not be known yet.
    pub fn is_restored(&self) -> bool {
        self.read(|inner| {
            !inner.partitions.is_empty() && inner.partitions.values().all(|progress| progress.restored)
        })
    }

    /// Why the service should get no requests just now, if so.
    pub fn unready_because(&self) -> Option<String> {
        self.read(|inner| {
            if let Some(reason) = inner.obstacles.values().next() {
                return Some(reason.clone());
            }
            let behind = |p: &&PartitionProgress| !p.restored || p.lag > inner.max_lag;
            let worst = inner.partitions.values().filter(behind).max_by_key(|progress| progress.lag)?;
            let what = if worst.restored { "lags" } else { "is being restored, it lags" };
            Some(format!("partition {} {what} by {} records", worst.partition, worst.lag))
        })
    }

    fn change(&self, partition: i32, change: impl FnOnce(&mut PartitionProgress)) {
        self.write(|inner| {
            if let Some(progress) = inner.partitions.get_mut(&partition) {
                change(progress);
                progress.update();
            }
        });
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        let progress = Progress::new(100);
        progress.begin([(0, 0, 10), (1, 5, 5)]);
        progress
    }

    #[test]
    fn ready_means_restored_to_the_start_and_close_to_the_end() {
        let progress = progress();
        assert_eq!(
            progress.unready_because().unwrap(),
            "partition 0 is being restored, it lags by 10 records"
        );
        assert!(!progress.is_restored());
        progress.end_at(0, 50);
        progress.advance(0, 10);
        assert_eq!((progress.unready_because(), progress.is_restored()), (None, true));
        progress.end_at(0, 200);
        assert_eq!(progress.unready_because().unwrap(), "partition 0 lags by 190 records");
        assert!(progress.is_restored());
    }

    #[test]
    fn an_obstacle_comes_first() {
        let progress = progress();
        progress.set(Obstacle::Brokers, "the brokers do not answer".into());
        assert_eq!(progress.unready_because().unwrap(), "the brokers do not answer");
        progress.clear(Obstacle::Brokers);
        assert!(progress.unready_because().unwrap().contains("restored"));
        let starting = Progress::new(0);
        assert_eq!((starting.unready_because(), starting.is_restored()), (Some("starting".into()), false));
    }
}
