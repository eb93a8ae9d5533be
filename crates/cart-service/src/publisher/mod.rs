//! Events to Kafka, each with its delivery report.

mod error;
mod metrics;
mod partitions;
mod producer;
mod watch;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use order_events::headers::EventHeaders;
use order_events::{EventCodec, OrderEvent, Place, Position, TraceContext, partition_of};
use prometheus_client::registry::Registry;
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::Delivery;
use tokio::sync::watch::Sender;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

pub(crate) use self::error::{DeliveryReport, PublishError};
pub use self::producer::PublisherError;
pub use self::watch::watch_broker;

use self::metrics::PublisherMetrics;
use self::partitions::Partitions;
use self::producer::Producer;
use crate::config::Config;

/// The log target of all parts of the publisher.
const LOG: &str = module_path!();

/// `ce_source` of the events.
const SOURCE: &str = "/cart-service";

/// Gives events to Kafka. One for the whole service.
pub struct Publisher {
    producer: Arc<Producer>,
    codec: OnceLock<EventCodec>,
    topic: String,
    partitions: Partitions,
    delivery_timeout: Duration,
    /// Why events cannot be published just now, if they cannot.
    obstacle: Sender<Option<String>>,
    metrics: PublisherMetrics,
}

impl Publisher {
    /// A publisher that waits for [`begin`](Self::begin).
    ///
    /// # Errors
    /// See [`PublisherError`].
    pub(crate) fn new(config: &Config, metrics: &mut Registry) -> Result<Self, PublisherError> {
        Ok(Self {
            producer: Arc::new(Producer::new(config.producer.clone())?),
            codec: OnceLock::new(),
            topic: config.settings.topics.order_topic.clone(),
            partitions: Partitions::default(),
            delivery_timeout: config.settings.orders.delivery_timeout,
            obstacle: Sender::new(Some("starting".to_owned())),
            metrics: PublisherMetrics::register(metrics),
        })
    }

    /// From here on events can be encoded and so published, into a topic of so many partitions.
    pub fn begin(&self, codec: EventCodec, partitions: i32) {
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
    pub(crate) async fn publish(&self, event: &OrderEvent, id: Uuid, trace: TraceContext) -> DeliveryReport {
        let began = Instant::now();
        let published = self.deliver(event, id, trace).await;
        self.metrics.published(event.event_type, &published, began.elapsed());
        published
    }

    async fn deliver(&self, event: &OrderEvent, id: Uuid, trace: TraceContext) -> DeliveryReport {
        let codec = self.codec.get().ok_or_else(|| {
            PublishError::NotReady(self.obstacle().unwrap_or_else(|| "starting".to_owned()))
        })?;
        // Chosen here and not by librdkafka, which takes the number of partitions that it happens to know.
        let partitions = self.partitions.settled(&self.topic).map_err(PublishError::NotReady)?;
        let partition = partition_of(event.order_id.as_bytes(), partitions);
        let mut value = Vec::with_capacity(256);
        codec.encode(event, &mut value)?;
        let headers = EventHeaders {
            id: &id.to_string(),
            event_type: event.event_type,
            source: SOURCE,
            time: &event.timestamp,
            trace,
        };
        let record = FutureRecord::to(&self.topic)
            .partition(partition)
            .key(event.order_id.as_str())
            .payload(&value)
            .headers(headers.to_kafka());

        let report = self.producer.send(record).map_err(PublishError::not_queued)?;
        match timeout(self.delivery_timeout, report).await {
            Ok(Ok(Ok(delivery))) => self.position(delivery),
            Ok(Ok(Err((error, _)))) => Err(PublishError::not_delivered(error)),
            Ok(Err(_)) => Err(PublishError::Unknown("the producer was replaced".to_owned())),
            Err(_) => Err(PublishError::Unknown("no delivery report in time".to_owned())),
        }
    }

    /// The broker may have had the event already when librdkafka sent it once more, and then tells no offset. Without
    /// a place, nobody can ask what became of the event: the client is told that it may be there, as it is.
    fn position(&self, Delivery { partition, offset, .. }: Delivery) -> DeliveryReport {
        if offset < 0 {
            return Err(PublishError::Unknown("it arrived, but its offset is not known".to_owned()));
        }
        Ok(Position { topic: self.topic.clone(), place: Place { partition, offset } })
    }

    /// Waits until everything queued is delivered or has failed, for at most `patience`.
    pub(crate) async fn flush(&self, patience: Duration) {
        let producer = self.producer.clone();
        let flushed = spawn_blocking(move || producer.flush(patience)).await;
        if let Ok(Err(error)) = flushed {
            warn!(%error, "events were still unconfirmed when the time was up");
        }
    }
}
