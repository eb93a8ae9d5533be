//! Exactly once: events in, committed states out.
//!
//! One thread does it all, since librdkafka's calls block. Each turn of its loop collects what has arrived
//! (`backlog`), follows the changelog (`follow`), takes over partitions that the group has given (`takeover`), and
//! processes a batch (`process`): fold, one transaction, show.
//!
//! It is Kafka Streams' `exactly_once_v2` (KIP-447) on librdkafka; `docs/adr/0007-exactly-once.md` has the
//! protocol and what each part of it is for.

mod backlog;
mod batch;
mod batch_limit;
mod damaged;
mod decide;
mod doubt;
mod error;
mod follow;
mod gates;
mod partition;
mod process;
mod rebalance;
mod retry;
mod schemas;
mod stable_offset;
mod stand_by;
mod tail;
mod takeover;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use order_events::permission::{self, NotAllowed};
use order_events::{EventCodec, SchemaRegistry};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Message, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::backlog::Backlog;
use self::batch_limit::BatchLimit;
use self::doubt::Doubt;
pub(crate) use self::error::PipelineError;
use self::partition::Partition;
use self::rebalance::{GroupContext, StartOffsets};
use self::schemas::{Fetcher, Schemas};
use self::tail::Tail;
pub(crate) use self::watch::watch;
use crate::changelog::ChangelogCodec;
use crate::clients::Clients;
use crate::event::fold::Rules;
use crate::metrics::EventMetrics;
use crate::settings::{PipelineSettings, TopicNames};
use crate::view::View;
use crate::view::status::{Obstacle, Status};
use crate::writer::Writer;

/// How long the first poll of a turn waits for a record: what arrives ends the wait.
const IDLE_POLL: Duration = Duration::from_millis(1);

/// How long records are collected for one batch while more of them are there.
const COLLECT_TIME: Duration = Duration::from_millis(50);

/// A consumer that was told that its offset is not in the log is replaced after this, and so joins the group again: a
/// stale leader would have it do so all the time.
const SESSION_PAUSE: Duration = Duration::from_secs(1);

/// So many polls are between two looks at the clock: a look costs nearly as much as a poll.
const CLOCK_INTERVAL: usize = 64;

/// After a failure the next attempt comes after this, and after twice as long each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// An instance that is thrown out of its group by a namesake more often than this in this time gives up. Once
/// it may happen by itself, when a broker restarts.
const CONTESTS: usize = 4;
const CONTEST_TIME: Duration = Duration::from_secs(30);

/// The consumer of the events.
type GroupConsumer = BaseConsumer<GroupContext>;

/// What the pipeline is made of.
pub(crate) struct Pipeline {
    /// The topics that it works on.
    pub topics: TopicNames,
    /// Its clients.
    pub clients: Clients,
    /// How much it does at once.
    pub settings: PipelineSettings,
    /// The rules of the fold.
    pub rules: Rules,
    /// The consumer group, as dead letters name it.
    pub group: String,
    /// Reads the events.
    pub events: Arc<EventCodec>,
    /// Reads and writes the changelog.
    pub changelog: Arc<ChangelogCodec>,
    /// Has the schemas of both.
    pub registry: Arc<SchemaRegistry>,
    /// What it shows.
    pub view: View,
    /// Where it tells how it is.
    pub status: Status,
    /// What it counts.
    pub metrics: EventMetrics,
    /// The number of partitions of the events topic.
    pub partitions: usize,
    /// For what must be awaited.
    pub runtime: Handle,
    /// When to end.
    pub stop: CancellationToken,
}

/// The pipeline at work.
struct Worker {
    pipeline: Pipeline,
    schemas: Schemas,
    tail: Tail,
    /// Whether the changelog is what it was, while that is in doubt: then the tail cannot go on.
    changelog_doubt: Option<Doubt>,
    /// Whether the events topic is what it was, while that is in doubt.
    events_doubt: Option<Doubt>,
    /// When records came last that cannot be read.
    damaged_at: Option<Instant>,
    /// Since when something is expected of the tail and does not come.
    silent_since: Option<Instant>,
    /// Where each partition of the events ended when the tail was last replaced.
    renewed_at: Vec<i64>,
    partitions: Vec<Partition>,
    start_offsets: StartOffsets,
    /// What it writes to a changelog that nothing identifies, at each attempt the same.
    identity: Vec<u8>,
    /// `None` while there is none that could be used.
    writer: Option<Writer>,
    /// How many producers were left behind, since librdkafka did not come back from a call.
    left_behind: usize,
    /// How many events of a partition are processed at once: fewer after a failure, which may be that they are too
    /// many to be delivered in time.
    batch_limit: BatchLimit,
    /// With which partition the next activations begin.
    first_to_activate: usize,
    /// When consumers were lost to a namesake.
    lost_consumers: Vec<Instant>,
    /// After failures.
    backoff: Duration,
    retry_at: Instant,
}

impl Pipeline {
    /// Restores the store, then processes events until it is told to stop.
    ///
    /// # Errors
    /// What it cannot get over, see [`PipelineError`]. Brokers and a registry that are away are waited for.
    pub(crate) fn run(self) -> Result<(), PipelineError> {
        let Some(mut worker) = Worker::restore(self)? else { return Ok(()) };
        while !worker.pipeline.stop.is_cancelled() {
            if worker.must_stand_by() {
                worker.stand_by()?;
            } else {
                worker.session()?;
            }
        }
        Ok(())
    }
}

impl Pipeline {
    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.registry.clone(), self.status.clone(), self.stop.clone())
    }

    /// Waits. False if it was told to stop meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        pause_on(&self.runtime, &self.stop, pause)
    }
}

/// The timer has to be made inside of the runtime, which the pipeline's thread is not.
fn pause_on(runtime: &Handle, stop: &CancellationToken, pause: Duration) -> bool {
    let timer = async { tokio::time::sleep(pause).await };
    runtime.block_on(stop.run_until_cancelled(timer)).is_some()
}

impl Worker {
    /// Works with one consumer for as long as that one works and the topics go together.
    fn session(&mut self) -> Result<(), PipelineError> {
        let context = GroupContext::new(self.start_offsets.clone());
        let consumer: GroupConsumer = self.pipeline.clients.group.create_with_context(context)?;
        consumer.subscribe(&[&self.pipeline.topics.events])?;
        info!(topic = self.pipeline.topics.events, "joining the consumer group");
        let mut backlog = Backlog::new(self.partitions.len());
        while !self.pipeline.stop.is_cancelled() {
            self.pipeline.status.beat();
            if !self.collect(&consumer, &mut backlog)? || self.must_stand_by() {
                // A new consumer joins the group anew.
                self.give_back_all(&mut backlog)?;
                break;
            }
            self.settle_doubts()?;
            self.forget_damage();
            self.follow()?;
            self.renew_tail()?;
            self.ensure_writer()?;
            self.take_over(&consumer, &mut backlog)?;
            self.process(&consumer, &mut backlog)?;
            self.pause_and_resume(&consumer, &backlog)?;
        }
        Ok(())
    }

    /// Takes what has arrived, up to a batch and a little more. False if the consumer cannot go on.
    ///
    /// It polls in every turn, however much is waiting: the group's changes come inside the poll, and without
    /// them an instance would go on for ever with partitions that are not its own any more.
    fn collect<'c>(
        &mut self,
        consumer: &'c GroupConsumer,
        backlog: &mut Backlog<'c>,
    ) -> Result<bool, PipelineError> {
        let deadline = Instant::now() + COLLECT_TIME;
        let enough = self.blocked(backlog) + self.pipeline.settings.batch_max_events;
        let mut patience = IDLE_POLL;
        for polls in 1_usize.. {
            let polled = consumer.poll(patience);
            // The group's changes come inside the poll, before the record that it gives.
            for change in consumer.context().take_changes() {
                self.apply_change(change, backlog)?;
            }
            match polled {
                None => break,
                Some(Ok(record)) => {
                    let partition = usize::try_from(record.partition()).unwrap_or(usize::MAX);
                    if self.partitions.get(partition).is_some_and(Partition::is_ours) {
                        backlog.push(partition, record);
                    }
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                        self.find_log_starts(consumer)?;
                        self.pipeline.pause(SESSION_PAUSE);
                        return Ok(false);
                    }
                    Some(Code::Fatal | Code::FencedInstanceId) => {
                        return self.lost_consumer(&error).map(|()| false);
                    }
                    Some(code) if permission::is_missing(code) => return Err(self.not_allowed(code).into()),
                    Some(code) if damaged::is_damaged(code) => {
                        let topic = self.pipeline.topics.events.clone();
                        self.tell_damage(&topic, &error);
                    }
                    _ => debug!(%error, "poll failed; librdkafka tries again"),
                },
            }
            if backlog.len() >= enough || (polls.is_multiple_of(CLOCK_INTERVAL) && Instant::now() >= deadline)
            {
                break;
            }
            patience = Duration::ZERO;
        }
        Ok(true)
    }

    /// The brokers do not let this service consume the events.
    fn not_allowed(&self, code: Code) -> NotAllowed {
        match code {
            Code::GroupAuthorizationFailed => {
                let resource = format!("the consumer group {}", self.pipeline.group);
                NotAllowed { operation: "join", resource }
            }
            _ => NotAllowed::topic("read", &self.pipeline.topics.events),
        }
    }

    /// How many records wait that cannot be processed just now.
    fn blocked(&self, backlog: &Backlog<'_>) -> usize {
        let blocked = (0..self.partitions.len()).filter(|index| self.partitions[*index].is_blocked());
        blocked.map(|index| backlog.of(index).len()).sum()
    }

    /// The consumer cannot go on: another one has taken its place in the group.
    fn lost_consumer(&mut self, error: &KafkaError) -> Result<(), PipelineError> {
        let now = Instant::now();
        self.lost_consumers.retain(|lost| now.duration_since(*lost) < CONTEST_TIME);
        self.lost_consumers.push(now);
        if let Some(instance_id) = &self.pipeline.settings.instance_id
            && self.lost_consumers.len() > CONTESTS
        {
            return Err(PipelineError::InstanceIdTaken { instance_id: instance_id.clone() });
        }
        warn!(%error, "the consumer cannot go on; a new one takes its place");
        Ok(())
    }

    /// A partition that cannot be processed just now must not fill the memory; nor must all of them while
    /// transactions fail. What is only behind is not paused: a consumer whose only partition is, sleeps in librdkafka
    /// for up to a second after it goes on.
    fn pause_and_resume(
        &mut self,
        consumer: &GroupConsumer,
        backlog: &Backlog<'_>,
    ) -> Result<(), PipelineError> {
        let most = self.pipeline.settings.batch_max_events;
        let is_full = backlog.len() - self.blocked(backlog) >= most;
        let is_stuck = self.writer.is_none() || !self.may_write();
        for (index, number) in (0..self.partitions.len()).zip(0..) {
            let partition = &mut self.partitions[index];
            let waiting = backlog.of(index).len();
            let change = match partition.paused {
                false if partition.is_blocked() => waiting > most / 2,
                false => is_full && is_stuck && waiting > 0,
                true => !partition.is_blocked() && !is_full,
            };
            if change {
                let mut list = TopicPartitionList::new();
                list.add_partition(&self.pipeline.topics.events, number);
                if partition.paused {
                    consumer.resume(&list)?;
                } else {
                    consumer.pause(&list)?;
                }
                partition.paused = !partition.paused;
            }
        }
        Ok(())
    }

    /// Nothing is written to a changelog that is in doubt, not even what is aborted: it takes offsets as well, until a
    /// log that was cut is as long as it was.
    fn may_write(&self) -> bool {
        self.changelog_doubt.is_none() && Instant::now() >= self.retry_at
    }

    /// Makes a writer if there is none and it is time to try.
    fn ensure_writer(&mut self) -> Result<(), PipelineError> {
        if self.writer.is_some() || !self.may_write() {
            return Ok(());
        }
        let config = self.pipeline.clients.writer(self.pipeline.clients.transactional_id.as_deref())?;
        match Writer::init(&config) {
            Ok(writer) => {
                info!(transactional_id = self.pipeline.clients.transactional_id, "ready for transactions");
                self.writer = Some(writer);
                // Otherwise a transaction tells, which is due: a barrier, or what failed before.
                if !self.partitions.iter().any(Partition::is_ours) {
                    self.went_well();
                }
            }
            Err(error) => self.went_wrong("no transactions are possible", &error),
        }
        Ok(())
    }

    fn went_well(&mut self) {
        self.backoff = FIRST_BACKOFF;
        if self.pipeline.status.clear(Obstacle::Transactions) {
            info!("transactions are possible again");
        }
    }

    /// Notes a failure; the next attempt comes later.
    fn went_wrong(&mut self, what: &str, error: &KafkaError) {
        warn!(%error, next_attempt_in = ?self.backoff, "{what}");
        self.pipeline.status.set(Obstacle::Transactions, format!("{what}: {error}"));
        self.retry_at = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The number of a partition, as Kafka counts.
fn number(partition: usize) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_outside_of_the_runtime_can_wait_until_it_is_told_to_stop() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
        let stop = CancellationToken::new();
        assert!(pause_on(runtime.handle(), &stop, Duration::from_millis(1)));
        stop.cancel();
        assert!(!pause_on(runtime.handle(), &stop, Duration::from_secs(3600)));
    }
}
