//! The consumer thread: reads the events topic from its beginning and folds it into the store.
//!
//! librdkafka is polled from a thread of its own, since its calls block. The thread ends when it is told to, or
//! with an error that ends the process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use order_events::config::{KafkaConfig, PropertyError};
use order_events::registry::{FetchError, SchemaId, outage_backoff};
use order_events::{ClientLog, EventCodec};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::fold::{Rules, expire, fold};
use crate::metrics::EventMetrics;
use crate::outcome::{Outcome, Rejection};
use crate::progress::{Obstacle, Progress};
use crate::record::{self, Unreadable};
use crate::store::Store;

/// How long one poll waits for a record; also how promptly the thread stops and gives up held updates.
const POLL: Duration = Duration::from_millis(50);

/// How long the cluster may take to tell about the topic.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the consumer cannot go on.
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// A setting that the service needs otherwise.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// librdkafka refuses, for good.
    #[error("the consumer failed for good: {0}")]
    Kafka(#[from] KafkaError),
}

/// The settings of the consumer. Positions are explicit, so nothing is committed.
///
/// # Errors
/// The user set one of the fixed ones otherwise.
pub fn client_config(kafka: &KafkaConfig, group: &str) -> Result<ClientConfig, PropertyError> {
    kafka.client(
        &[
            ("client.id", "order-service"),
            ("fetch.wait.max.ms", "10"),
            ("fetch.queue.backoff.ms", "2"),
            ("reconnect.backoff.max.ms", "500"),
        ],
        &[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
        ],
    )
}

/// What the thread works with.
pub struct EventConsumer {
    pub(crate) client: Arc<BaseConsumer<ClientLog>>,
    pub(crate) topic: String,
    pub(crate) codec: EventCodec,
    pub(crate) rules: Rules,
    pub(crate) store: Store,
    pub(crate) progress: Progress,
    pub(crate) metrics: EventMetrics,
    pub(crate) runtime: Handle,
    pub(crate) stop: CancellationToken,
}

impl EventConsumer {
    /// Reads until it is told to stop.
    ///
    /// # Errors
    /// See [`ConsumerError`]. Brokers and a registry that are away are none.
    pub fn run(self) -> Result<(), ConsumerError> {
        if !self.assign_all()? {
            return Ok(());
        }
        // Orders with held updates, by the time when the first of them is given up.
        let mut waiting: BTreeSet<(i64, String)> = BTreeSet::new();
        while !self.stop.is_cancelled() {
            self.progress.beat();
            match self.client.poll(POLL) {
                Some(Ok(record)) => self.process(&record, &mut waiting),
                Some(Err(KafkaError::PartitionEOF(partition))) => self.progress.caught_up(partition),
                Some(Err(error)) => debug!(%error, "poll failed; librdkafka tries again"),
                None => {}
            }
            self.give_up(&mut waiting);
        }
        Ok(())
    }

    /// Assigns every partition from its beginning. False if it was told to stop while it waited for brokers.
    fn assign_all(&self) -> Result<bool, ConsumerError> {
        while !self.stop.is_cancelled() {
            self.progress.beat();
            match self.extents() {
                Ok(extents) => {
                    let mut assignment = TopicPartitionList::new();
                    for (partition, first, _) in &extents {
                        assignment.add_partition_offset(&self.topic, *partition, Offset::Offset(*first))?;
                    }
                    self.client.assign(&assignment)?;
                    info!(topic = self.topic, partitions = extents.len(), "reading from the beginning");
                    self.progress.begin(extents);
                    return Ok(true);
                }
                Err(error) => {
                    warn!(%error, "the topic's partitions are not known yet");
                    self.pause(Duration::from_secs(1));
                }
            }
        }
        Ok(false)
    }

    /// Each partition with its first and its end offset.
    fn extents(&self) -> Result<Vec<(i32, i64, i64)>, KafkaError> {
        let metadata = self.client.fetch_metadata(Some(&self.topic), METADATA_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let extents = partitions.map(|partition| {
            let (first, end) = self.client.fetch_watermarks(&self.topic, partition.id(), METADATA_TIMEOUT)?;
            Ok((partition.id(), first, end))
        });
        extents.collect()
    }

    fn process(&self, record: &BorrowedMessage<'_>, waiting: &mut BTreeSet<(i64, String)>) {
        let now = now();
        let incoming = loop {
            match record::read(record, &self.codec) {
                Ok(incoming) => break incoming,
                Err(Unreadable::Rejected(rejection)) => return self.reject(record, rejection),
                Err(Unreadable::SchemaNeeded(id)) => match self.fetch_schema(id) {
                    Some(Ok(())) => {}
                    Some(Err(rejection)) => return self.reject(record, rejection),
                    None => return,
                },
            }
        };
        let order_id = incoming.event.order_id.clone();
        let folded = fold(self.store.state(&order_id), incoming, &self.rules, now);
        if folded.outcome == Outcome::Held {
            let first = folded.state.as_ref().and_then(|state| state.held.first());
            waiting.extend(first.map(|held| (held.give_up_at, order_id.clone())));
        }
        self.store.apply(order_id.clone(), folded.state);
        self.count(&order_id, record.partition(), record.offset(), &folded.outcome);
        for (held, outcome) in &folded.released {
            self.count(&order_id, record.partition(), held.event.offset, outcome);
        }
        self.progress.advance(record.partition(), record.offset() + 1);
    }

    fn reject(&self, record: &BorrowedMessage<'_>, rejection: Rejection) {
        self.count("", record.partition(), record.offset(), &Outcome::DeadLettered(rejection));
        self.progress.advance(record.partition(), record.offset() + 1);
    }

    /// Fetches a schema, however long the registry is away. `None` if it was told to stop meanwhile.
    fn fetch_schema(&self, id: SchemaId) -> Option<Result<(), Rejection>> {
        let mut backoff = outage_backoff();
        while !self.stop.is_cancelled() {
            self.progress.beat();
            let fetched = self.runtime.block_on(self.codec.fetch_schema(id));
            let outage = match fetched {
                Ok(()) => {
                    self.progress.clear(Obstacle::Registry);
                    return Some(Ok(()));
                }
                Err(FetchError::Permanent(undecodable)) => {
                    self.progress.clear(Obstacle::Registry);
                    return Some(Err(record::rejection(&undecodable)));
                }
                Err(FetchError::Unavailable(outage)) => outage,
            };
            let wait = backoff.next().unwrap_or_default();
            warn!(schema_id = id, %outage, ?wait, "waiting for the schema registry");
            self.progress.set(Obstacle::Registry, outage.to_string());
            self.pause(wait);
        }
        None
    }

    /// Gives up the held updates whose time is over.
    fn give_up(&self, waiting: &mut BTreeSet<(i64, String)>) {
        let now = now();
        while waiting.first().is_some_and(|(give_up_at, _)| *give_up_at <= now) {
            let Some((_, order_id)) = waiting.pop_first() else { return };
            let Some(state) = self.store.state(&order_id) else { continue };
            let (state, given_up) = expire(state, now);
            if let Some(next) = state.as_ref().and_then(|state| state.held.first()) {
                waiting.insert((next.give_up_at, order_id.clone()));
            }
            self.store.apply(order_id.clone(), state);
            for (held, outcome) in given_up {
                self.count(&order_id, -1, held.event.offset, &outcome);
            }
        }
    }

    fn count(&self, order_id: &str, partition: i32, offset: i64, outcome: &Outcome) {
        match outcome {
            Outcome::DeadLettered(rejection) => {
                warn!(order_id, partition, offset, %rejection, "event not applied");
            }
            Outcome::Applied { unusual: true } => {
                warn!(order_id, partition, offset, "unusual change of status applied");
            }
            outcome => debug!(order_id, partition, offset, outcome = outcome.name(), "event processed"),
        }
        self.metrics.consumed(outcome);
    }

    fn pause(&self, wait: Duration) {
        self.runtime.block_on(self.stop.run_until_cancelled(tokio::time::sleep(wait)));
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
