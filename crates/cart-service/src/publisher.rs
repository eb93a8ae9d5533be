//! Events to Kafka, each with its delivery report.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use order_events::codec::EncodeError;
use order_events::config::{KafkaConfig, PropertyError};
use order_events::headers::EventHeaders;
use order_events::{ClientLog, EventCodec, OrderEvent, Place, Position, TraceContext, partition_of};
use prometheus_client::registry::Registry;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::config::{Config, OrderSettings};
use crate::publisher_metrics::PublisherMetrics;

/// `ce_source` of the events.
const SOURCE: &str = "/cart-service";

/// How often the brokers are asked whether they are there, and how long they may take to answer.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// librdkafka notices a message's time-out this late at most: it looks once a second.
const TIMEOUT_SCAN: Duration = Duration::from_millis(1200);

/// No producer can be made: librdkafka refuses the settings as a whole.
#[derive(Debug, Error)]
#[error("no Kafka producer can be made: {0}")]
pub struct PublisherError(#[from] KafkaError);

/// Why an event has no delivery report that says it is in the log.
#[derive(Debug, Clone, Error)]
pub(crate) enum PublishError {
    /// The topic or the schema is not there yet. Nothing was sent.
    #[error("not ready to publish: {0}")]
    NotReady(String),
    /// The event was not even queued: too many others wait for the broker. Nothing was sent.
    #[error("too many events wait for the broker")]
    QueueFull,
    /// The broker said no, or the event cannot be sent at all. It is not in the log.
    #[error("the event was not taken: {0}")]
    Rejected(KafkaError),
    /// The event is larger than the broker takes. It is not in the log.
    #[error("the event is larger than the broker takes")]
    TooLarge,
    /// The event may be in the log or not, for this reason.
    #[error("whether the event arrived is not known: {0}")]
    Unknown(String),
    /// The event does not fit its schema.
    #[error(transparent)]
    Encode(Arc<EncodeError>),
}

/// How many partitions the topic had when the service began to write, and what it was seen to have last. Over another
/// number, a key has another partition: later events of an order would not be behind its earlier ones.
#[derive(Debug, Default)]
struct Partitions {
    /// 0 until the service begins.
    at_start: AtomicI32,
    now: AtomicI32,
}

impl Partitions {
    fn begin(&self, partitions: i32) {
        self.at_start.store(partitions, Ordering::Relaxed);
        self.now.store(partitions, Ordering::Relaxed);
    }

    /// The number over which keys are spread.
    ///
    /// # Errors
    /// It changed: what happened, and what to do.
    fn settled(&self, topic: &str) -> Result<i32, String> {
        let (had, has) = (self.at_start.load(Ordering::Relaxed), self.now.load(Ordering::Relaxed));
        if had == has {
            return Ok(had);
        }
        Err(format!(
            "topic {topic} had {had} partitions when the service started and has {has} now: an order's next events would \
             not come behind its earlier ones, so nothing is written. See \"More partitions\" in docs/operations.md"
        ))
    }
}

/// Gives events to Kafka. One for the whole service.
pub(crate) struct Publisher {
    config: ClientConfig,
    producer: RwLock<FutureProducer<ClientLog>>,
    codec: OnceLock<EventCodec>,
    topic: String,
    partitions: Partitions,
    delivery_timeout: Duration,
    /// Why events cannot be published just now, if they cannot.
    obstacle: watch::Sender<Option<String>>,
    metrics: PublisherMetrics,
}

/// The settings of the producer. What the promises rest on is fixed: every replica confirms, retries neither
/// double nor swap events, and a key's partition is the one that Java and Python producers choose.
///
/// # Errors
/// The user set one of the fixed ones otherwise.
pub(crate) fn client_config(
    kafka: &KafkaConfig,
    orders: &OrderSettings,
) -> Result<ClientConfig, PropertyError> {
    // librdkafka gives up in time for its answer to come before ours is due.
    let message_timeout = orders.delivery_timeout.saturating_sub(TIMEOUT_SCAN).as_millis().to_string();
    kafka.client(
        &[
            ("client.id", "cart-service"),
            // A request waits for its event; holding events back to fill batches costs more than it gains.
            ("linger.ms", "0"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("reconnect.backoff.max.ms", "1000"),
        ],
        &[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("message.timeout.ms", &message_timeout),
        ],
    )
}

impl Publisher {
    /// A publisher that waits for [`begin`](Self::begin).
    ///
    /// # Errors
    /// See [`PublisherError`].
    pub(crate) fn new(config: &Config, metrics: &mut Registry) -> Result<Self, PublisherError> {
        Ok(Self {
            producer: RwLock::new(config.producer.create_with_context(ClientLog)?),
            config: config.producer.clone(),
            codec: OnceLock::new(),
            topic: config.settings.topics.order_topic.clone(),
            partitions: Partitions::default(),
            delivery_timeout: config.settings.orders.delivery_timeout,
            obstacle: watch::Sender::new(Some("starting".to_owned())),
            metrics: PublisherMetrics::register(metrics),
        })
    }

    /// From here on events can be encoded and so published, into a topic of so many partitions.
    pub(crate) fn begin(&self, codec: EventCodec, partitions: i32) {
        self.partitions.begin(partitions);
        if self.codec.set(codec).is_ok() {
            self.obstacle.send_replace(None);
        }
    }

    /// Tells why events cannot be published yet.
    pub(crate) fn waits_for(&self, reason: &str) {
        self.obstacle.send_replace(Some(reason.to_owned()));
    }

    /// Why events cannot be published just now, for a person; `None` if they can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.obstacle.borrow().clone()
    }

    /// Publishes an event and waits for its delivery report: on success it is in the log of every in-sync
    /// replica, at that position.
    ///
    /// # Errors
    /// See [`PublishError`]. Nothing of the event is kept for later.
    pub(crate) async fn publish(
        &self,
        event: &OrderEvent,
        id: Uuid,
        trace: TraceContext,
    ) -> Result<Position, PublishError> {
        let began = Instant::now();
        let published = self.deliver(event, id, trace).await;
        self.metrics.published(event.event_type, &published, began.elapsed());
        published
    }

    async fn deliver(
        &self,
        event: &OrderEvent,
        id: Uuid,
        trace: TraceContext,
    ) -> Result<Position, PublishError> {
        let codec = self.codec.get().ok_or_else(|| {
            PublishError::NotReady(self.obstacle().unwrap_or_else(|| "starting".to_owned()))
        })?;
        // Chosen here and not by librdkafka, which takes the number of partitions that it happens to know.
        let partitions = self.partitions.settled(&self.topic).map_err(PublishError::NotReady)?;
        let partition = partition_of(event.order_id.as_bytes(), partitions);
        let mut value = Vec::with_capacity(256);
        codec.encode(event, &mut value).map_err(|error| PublishError::Encode(Arc::new(error)))?;
        let headers = EventHeaders {
            id: &id.to_string(),
            event_type: event.event_type,
            source: SOURCE,
            time: &event.timestamp,
            trace,
        };
        let record = FutureRecord::to(&self.topic)
            .partition(partition)
            .key(&event.order_id)
            .payload(&value)
            .headers(headers.to_kafka());

        let queued = self.producer.read().unwrap_or_else(PoisonError::into_inner).send_result(record);
        let report = queued.map_err(|(error, _)| self.not_queued(error))?;
        match tokio::time::timeout(self.delivery_timeout, report).await {
            Ok(Ok(Ok(delivery))) => self.position(delivery),
            Ok(Ok(Err((error, _)))) => Err(not_delivered(error)),
            Ok(Err(_)) => Err(PublishError::Unknown("the producer was replaced".to_owned())),
            Err(_) => Err(PublishError::Unknown("no delivery report in time".to_owned())),
        }
    }

    /// The broker may have had the event already when librdkafka sent it once more, and then tells no offset. Without
    /// a place, nobody can ask what became of the event: the client is told that it may be there, as it is.
    fn position(&self, Delivery { partition, offset, .. }: Delivery) -> Result<Position, PublishError> {
        if offset < 0 {
            return Err(PublishError::Unknown("it arrived, but its offset is not known".to_owned()));
        }
        Ok(Position { topic: self.topic.clone(), place: Place { partition, offset } })
    }

    /// What was not even queued was not sent, whatever the reason.
    fn not_queued(&self, error: KafkaError) -> PublishError {
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => PublishError::QueueFull,
            Some(Code::MessageSizeTooLarge) => PublishError::TooLarge,
            Some(Code::Fatal) => {
                self.replace_producer();
                PublishError::Rejected(error)
            }
            _ => PublishError::Rejected(error),
        }
    }

    /// An idempotent producer that lost its place in the log (KIP-98, KIP-360) cannot go on, a new one can.
    fn replace_producer(&self) {
        let mut producer = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        let Some((code, reason)) = producer.client().fatal_error() else {
            // Somebody else was quicker.
            return;
        };
        match self.config.create_with_context(ClientLog) {
            Ok(new) => {
                error!(%code, reason, "the producer failed for good; a new one takes its place");
                let old = std::mem::replace(&mut *producer, new);
                // Its end waits for its threads; nobody else has to.
                spawn_blocking(move || drop(old));
            }
            Err(error) => error!(%error, "no new producer can be made"),
        }
    }

    /// Waits until everything queued is delivered or has failed, for at most `patience`.
    pub(crate) async fn flush(&self, patience: Duration) {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner).clone();
        let flushed = spawn_blocking(move || producer.flush(patience)).await;
        if let Ok(Err(error)) = flushed {
            warn!(%error, "events were still unconfirmed when the time was up");
        }
    }

    /// Asks the brokers for the topic. It must have as many partitions as at the start, and a leader of each.
    fn ask_brokers(&self) -> Result<(), String> {
        let producer = self.producer.read().unwrap_or_else(PoisonError::into_inner).clone();
        let servers = || self.config.get("bootstrap.servers").unwrap_or_default();
        let metadata = producer
            .client()
            .fetch_metadata(Some(&self.topic), WATCH_INTERVAL)
            .map_err(|error| format!("the brokers at {} do not answer: {error}", servers()))?;
        let topic = metadata.topics().first();
        let partitions = topic.map(|topic| topic.partitions()).unwrap_or_default();
        if !partitions.is_empty() {
            let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
            self.partitions.now.store(count, Ordering::Relaxed);
            self.partitions.settled(&self.topic)?;
        }
        if partitions.is_empty() || partitions.iter().any(|partition| partition.leader() < 0) {
            return Err(format!("topic {} is not there, or has a partition without a leader", self.topic));
        }
        Ok(())
    }
}

/// What a delivery report says that is none. Only what is named here is surely not in the log: the broker refused
/// the event for what it is. With any other error it was sent, perhaps more than once,
/// and one of the times it may have arrived (librdkafka's `RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED`).
fn not_delivered(error: KafkaError) -> PublishError {
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge) => PublishError::TooLarge,
        Some(
            Code::UnknownTopic
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidRecord
            | Code::PolicyViolation,
        ) => PublishError::Rejected(error),
        _ => PublishError::Unknown(error.to_string()),
    }
}

/// Keeps [`Publisher::obstacle`] true to the brokers' state, until `stop`.
pub(crate) async fn watch_broker(publisher: Arc<Publisher>, stop: CancellationToken) {
    let watch = async {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            if publisher.codec.get().is_none() {
                continue;
            }
            let asked = publisher.clone();
            let Ok(answer) = spawn_blocking(move || asked.ask_brokers()).await else { continue };
            let obstacle = answer.err();
            match (publisher.obstacle.send_replace(obstacle.clone()), obstacle) {
                (None, Some(reason)) => warn!(reason, "cannot publish"),
                (Some(_), None) => info!("can publish again"),
                _ => {}
            }
        }
    };
    stop.run_until_cancelled(watch).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_changes_its_number_of_partitions_gets_no_events_until_it_has_the_old_one() {
        let partitions = Partitions::default();
        partitions.begin(3);
        assert_eq!(partitions.settled("order-events"), Ok(3));
        partitions.now.store(6, Ordering::Relaxed);
        let told = partitions.settled("order-events").unwrap_err();
        assert!(told.contains("order-events had 3 partitions") && told.contains("has 6 now"), "{told}");
        partitions.now.store(3, Ordering::Relaxed);
        assert_eq!(partitions.settled("order-events"), Ok(3));
    }

    #[test]
    fn only_what_surely_did_not_arrive_is_told_so() {
        let told = |code| not_delivered(KafkaError::MessageProduction(code));
        for code in [Code::TopicAuthorizationFailed, Code::InvalidRecord] {
            assert!(matches!(told(code), PublishError::Rejected(_)), "{code}");
        }
        for code in [
            Code::MessageTimedOut,
            Code::BrokerTransportFailure,
            Code::OutOfOrderSequenceNumber,
            Code::NotEnoughReplicasAfterAppend,
            Code::PurgeInflight,
            // Also of an event that waits to be sent once more.
            Code::PurgeQueue,
            Code::Fatal,
        ] {
            assert!(matches!(told(code), PublishError::Unknown(_)), "{code}");
        }
        assert!(matches!(told(Code::MessageSizeTooLarge), PublishError::TooLarge));
    }
}
