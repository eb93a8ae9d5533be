//! How the service is: what it waits for, how far each partition is processed, whether it should get requests.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::changelog::Cut;

/// After this long without a sign of life, the pipeline's thread hangs. Its longest call takes seconds.
const HUNG_AFTER: Duration = Duration::from_secs(60);

/// Something that is in the way. In the order of what is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The pipeline's thread gives no sign of life.
    Hung,
    /// Topics and schemas are not there yet.
    Boot,
    /// The topics do not go together, so nothing is processed: wrong numbers of partitions, or a changelog that is not
    /// compacted.
    Topics,
    /// The brokers do not answer.
    Brokers,
    /// A broker answers as if the changelog were gone, or shorter than it was.
    ChangelogDoubt,
    /// The changelog has nothing, although events were processed.
    ChangelogLost,
    /// A broker answers as if the events topic had not the events that were processed.
    EventsDoubt,
    /// A topic has records that cannot be read.
    Damage,
    /// Transactions fail.
    Transactions,
    /// The open transaction of a dead owner keeps partitions from being taken over.
    Takeover,
    /// The registry does not answer, and a record needs it.
    Registry,
    /// Too many events became dead letters.
    DeadLetters,
    /// Some partitions of the events have no leader that answers; the others go on. Readiness stays.
    Leaders,
    /// An open transaction hides events. Readiness stays: one peer must not take every instance out at once.
    HangingTransaction,
    /// Orders are being restored from the changelog.
    Restoring,
    /// Too many events are not processed yet.
    Lag,
}

impl Obstacle {
    /// Whether requests should not come to this instance because of it.
    fn blocks_requests(self) -> bool {
        !matches!(self, Self::Leaders | Self::HangingTransaction)
    }

    /// What a person can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Hung => "Restart this process, as an orchestrator does that asks /health/live.",
            Self::Boot => {
                "Wait, if the brokers and the schema registry are starting. Else check KAFKA_BOOTSTRAP_SERVERS and \
                 SCHEMA_REGISTRY_URL. It goes on by itself."
            }
            Self::Brokers => {
                "Bring the brokers back, or check KAFKA_BOOTSTRAP_SERVERS and the network. It goes on by itself."
            }
            Self::Topics => {
                "Mend what the reason names; docs/operations.md has the steps to more partitions. It goes on by itself \
                 when the topics go together again."
            }
            Self::ChangelogDoubt | Self::EventsDoubt => {
                "Wait: within seconds the leader confirms or denies it. If it stays, look at the brokers' logs and at \
                 the topic with kafka-topics.sh --describe."
            }
            Self::ChangelogLost => {
                "Find out who deleted the changelog. If it cannot be brought back, restart with ACCEPT_LOST_CHANGELOG=true: \
                 the view begins anew from the events that are still there, and dead letters may be doubled."
            }
            Self::Damage => {
                "Find the batch with kafka-dump-log.sh --deep-iteration on the leader, and let a replica with a sound \
                 copy lead the partition. It goes on by itself."
            }
            Self::Transactions => {
                "Look at the brokers' logs, their in-sync replicas and the permissions of this service. It tries \
                 again by itself."
            }
            Self::Registry => {
                "Bring the schema registry back, or check SCHEMA_REGISTRY_URL. It goes on by itself."
            }
            Self::DeadLetters => {
                "Look at GET /dlq/messages and mend the cause: a deploy or a producer. A stopped partition goes on \
                 by itself after a good probe; a higher DLQ_LIMIT lets more through."
            }
            Self::Leaders => {
                "Bring the brokers of these partitions back: kafka-topics.sh --describe --unavailable-partitions \
                 names them. It goes on by itself."
            }
            Self::Takeover => {
                "Run the command of the reason, and end what it shows with kafka-transactions.sh abort. It goes on by itself."
            }
            Self::HangingTransaction => {
                "Run the command of the reason. What it shows can be ended with kafka-transactions.sh abort; before \
                 its time-out is over, end its producer, which describe-producers shows."
            }
            Self::Restoring => "Wait until the changelog is read.",
            Self::Lag => {
                "Wait, if the lag is falling. Else look at the owners of the partitions that lag; more instances \
                 help as long as there are fewer than partitions."
            }
        }
    }
}

/// An obstacle as it is told.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ObstacleReport {
    /// Which one.
    pub kind: Obstacle,
    /// What is wrong.
    pub reason: String,
    /// Since when it is in the way.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What to do.
    pub remedy: &'static str,
}

/// A handle on the status; cheap to clone.
#[derive(Clone)]
pub struct Status(Arc<RwLock<Inner>>);

struct Inner {
    /// What somebody has `set`.
    obstacles: BTreeMap<Obstacle, ObstacleReport>,
    /// What this instance is called.
    instance: Option<String>,
    /// Since when orders are restored.
    restoring_since: Timestamp,
    /// Since when a partition lags too much, if one does.
    behind_since: Option<Timestamp>,
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
    /// The instance that took it over last, as the changelog says; missing if that has no name
    /// (`PROCESSING_GUARANTEE=at_least_once` without `INSTANCE_ID`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The next offset to be processed.
    pub position: i64,
    /// The offset of the first record that is still there.
    pub start_offset: i64,
    /// The offset after the last record, when it was last asked for.
    pub end_offset: i64,
    /// `end_offset - position`; control records count.
    pub lag: i64,
    /// Records from the last stable offset up to the high watermark, when they were last asked for: an open transaction
    /// hides them. Not part of `lag`.
    pub unstable: i64,
    /// The transaction that has hidden records for too long, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hanging_transaction: Option<HangingTransaction>,
    /// Whether the changelog was read to the end that it had when the service started.
    pub restored: bool,
    /// Events that retention took before they were processed.
    pub lost: i64,
    /// The last time that the log had lost its end, if it ever had: what came instead was processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
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

/// A transaction that is open for longer than half a minute.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HangingTransaction {
    /// Its first record: nothing from here on is read.
    pub offset: i64,
    /// Since when that is seen.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
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
            obstacles: BTreeMap::from([(Obstacle::Boot, report(Obstacle::Boot, "starting".to_owned()))]),
            instance: None,
            restoring_since: Timestamp::now(),
            behind_since: None,
            last_beat: Instant::now(),
            partitions: Vec::new(),
            max_lag,
        })))
    }

    /// What this instance is called.
    pub fn set_instance(&self, name: Option<String>) {
        self.write(|inner| inner.instance = name);
    }

    /// What this instance is called, if it has a name.
    pub fn instance(&self) -> Option<String> {
        self.read(|inner| inner.instance.clone())
    }

    /// The boot is over; there are this many partitions, and their states are to be restored.
    pub fn restoring(&self, partitions: usize) {
        self.write(|inner| {
            let partition = |partition| PartitionStatus { partition, ..PartitionStatus::default() };
            inner.partitions = (0..partitions).map(partition).collect();
            inner.obstacles.remove(&Obstacle::Boot);
            inner.restoring_since = Timestamp::now();
        });
    }

    /// Something is in the way, for this reason. It is so since the first call, until it is cleared.
    pub fn set(&self, obstacle: Obstacle, reason: String) {
        self.write(|inner| match inner.obstacles.get_mut(&obstacle) {
            Some(known) => known.reason = reason,
            None => {
                inner.obstacles.insert(obstacle, report(obstacle, reason));
            }
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
            let is_behind = inner.partitions.iter().any(|status| status.lag > inner.max_lag);
            inner.behind_since = is_behind.then(|| inner.behind_since.unwrap_or_else(Timestamp::now));
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

    /// Everything that is in the way, the most urgent first.
    pub fn obstacles(&self) -> Vec<ObstacleReport> {
        self.read(Inner::all_obstacles)
    }

    /// Whether all that was there of a partition at the start is shown. It stays so.
    pub fn is_partition_restored(&self, partition: usize) -> bool {
        self.read(|inner| inner.partitions.get(partition).is_some_and(|status| status.restored))
    }

    /// Why the service should get no requests just now, if so.
    pub fn unready_because(&self) -> Option<String> {
        let blocking = self.obstacles().into_iter().find(|obstacle| obstacle.kind.blocks_requests());
        blocking.map(|obstacle| obstacle.reason)
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    fn all_obstacles(&self) -> Vec<ObstacleReport> {
        let hung = (!self.is_live()).then(|| {
            let silent = self.last_beat.elapsed();
            let since = Timestamp::now().checked_sub(silent).unwrap_or_default();
            ObstacleReport {
                since,
                ..report(Obstacle::Hung, "the pipeline gives no sign of life".to_owned())
            }
        });
        let restoring = self.partitions.iter().find(|status| !status.restored).map(|behind| {
            let reason = format!("the orders of partition {} are being restored", behind.partition);
            ObstacleReport { since: self.restoring_since, ..report(Obstacle::Restoring, reason) }
        });
        let worst = self.partitions.iter().max_by_key(|status| status.lag);
        let lag = worst.zip(self.behind_since).map(|(worst, since)| {
            let reason = format!("partition {} lags by {} records", worst.partition, worst.lag);
            ObstacleReport { since, ..report(Obstacle::Lag, reason) }
        });
        let mut all: Vec<ObstacleReport> = self.obstacles.values().cloned().collect();
        all.extend(hung.into_iter().chain(restoring).chain(lag));
        all.sort_by_key(|obstacle| obstacle.kind);
        all
    }

    fn is_live(&self) -> bool {
        self.last_beat.elapsed() < HUNG_AFTER
    }
}

/// From now on.
fn report(kind: Obstacle, reason: String) -> ObstacleReport {
    ObstacleReport { kind, reason, since: Timestamp::now(), remedy: kind.remedy() }
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
            assert!(!status.is_restored() && !status.is_partition_restored(partition));
            status.change(partition, |status| status.restored = true);
            assert!(status.is_partition_restored(partition));
        }
        status.set(Obstacle::Brokers, "no brokers".into());
        assert!(status.is_restored() && status.is_partition_restored(0), "an outage changes nothing");
        status.clear(Obstacle::Brokers);
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

    #[test]
    fn an_obstacle_is_there_since_it_was_first_set() {
        let status = Status::new(0);
        status.restoring(1);
        status.change(0, |status| status.restored = true);
        status.set(Obstacle::Registry, "no registry".into());
        let first = status.obstacles();
        status.set(Obstacle::Registry, "still none".into());
        let again = status.obstacles();
        assert_eq!((first.len(), again.len()), (1, 1));
        assert_eq!((again[0].since, again[0].reason.as_str()), (first[0].since, "still none"));
        status.clear(Obstacle::Registry);
        assert!(status.obstacles().is_empty());
        status.set(Obstacle::Registry, "gone again".into());
        assert!(status.obstacles()[0].since > first[0].since, "another outage");
    }

    #[test]
    fn a_peers_open_transaction_is_told_and_changes_no_readiness() {
        let status = Status::new(0);
        status.restoring(1);
        status.change(0, |status| status.restored = true);
        status.set(Obstacle::HangingTransaction, "one hangs".into());
        assert_eq!(status.obstacles()[0].reason, "one hangs");
        assert_eq!(status.unready_because(), None);
        status.set(Obstacle::Registry, "no registry".into());
        assert_eq!(status.unready_because().unwrap(), "no registry");
    }

    #[test]
    fn a_lag_is_too_large_since_it_grew_too_large() {
        let status = Status::new(10);
        status.restoring(2);
        status.change(0, |status| status.restored = true);
        status.change(1, |status| status.restored = true);
        status.change(0, |status| status.end_offset = 11);
        let first = status.obstacles();
        assert_eq!((first.len(), first[0].kind), (1, Obstacle::Lag));
        status.change(1, |status| status.end_offset = 20);
        status.change(0, |status| status.position = 11);
        let again = status.obstacles();
        assert_eq!(again[0].since, first[0].since);
        assert_eq!(again[0].reason, "partition 1 lags by 20 records");
        status.change(1, |status| status.position = 20);
        assert!(status.obstacles().is_empty());
    }
}
