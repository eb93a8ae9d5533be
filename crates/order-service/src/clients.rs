//! The configurations of the service's Kafka clients, each with what the guarantee rests on.

use order_events::config::{KafkaConfig, PropertyError, SOCKET_TIMEOUT};
use rdkafka::ClientConfig;

use crate::event::record::MAX_RECORD_BYTES;
use crate::settings::{PipelineSettings, instance_of};
use crate::writer::TRANSACTIONAL_ID;

/// How much comes in one answer at the most, so that it comes within `socket.timeout.ms` from brokers that are far away:
/// 7 Mbit/s are enough.
const FETCH_MAX_BYTES: &str = "8388608";

/// How much of a partition of the events comes in one answer, as it is in the log. librdkafka decompresses all of an answer
/// at once, whatever its queue may hold, and a compressed event may become a thousand times as large. One batch comes in any
/// case, and librdkafka asks for more where batches are larger.
const FETCH_EVENTS_BYTES: &str = "16384";

/// See the module.
#[derive(Clone)]
pub struct Clients {
    /// The consumer of the events.
    pub(crate) group: ClientConfig,
    /// The consumer of the changelog.
    pub(crate) tail: ClientConfig,
    kafka: KafkaConfig,
    /// That of the pipeline's producer; `None` without transactions.
    pub(crate) transactional_id: Option<String>,
    /// The configuration of the producer that sends dead letters again. All instances have one transactional id,
    /// so that one of them does it at a time.
    pub redriver: ClientConfig,
}

impl Clients {
    /// Puts them together.
    ///
    /// # Errors
    /// The user set a property that the guarantee rests on otherwise.
    pub fn new(kafka: &KafkaConfig, group: &str, settings: &PipelineSettings) -> Result<Self, PropertyError> {
        let transactional_id = settings.transactional_id(group);
        producer(kafka, transactional_id.as_deref())?;
        let redriver_id = transactional_id.as_ref().map(|_| format!("{group}/redrive"));
        let mut redriver = producer(kafka, redriver_id.as_deref())?;
        // What was compressed when it came must fit into the topic again.
        if redriver.get("compression.type").is_none() {
            redriver.set("compression.type", "zstd");
        }
        Ok(Self {
            redriver,
            group: group_consumer(kafka, group, settings)?,
            tail: tail(kafka, group)?,
            kafka: kafka.clone(),
            transactional_id,
        })
    }

    /// The configuration of a client that only asks.
    pub fn watch(&self) -> ClientConfig {
        let mut watch = self
            .kafka
            .plain_client(&[("client.id", "order-service-watch"), ("reconnect.backoff.max.ms", "500")]);
        // Also over a user's value: its answers are short, and else one hung broker would look like all.
        watch.set(SOCKET_TIMEOUT, "3000");
        watch
    }

    /// The name of this instance that goes with its transactions: without `INSTANCE_ID`, a new one at each start.
    pub fn instance(&self) -> Option<&str> {
        self.transactional_id.as_deref().and_then(instance_of)
    }

    /// The configuration of the pipeline's producer, under this id.
    ///
    /// # Errors
    /// As for [`Clients::new`].
    pub(crate) fn writer(&self, transactional_id: Option<&str>) -> Result<ClientConfig, PropertyError> {
        producer(&self.kafka, transactional_id)
    }
}

/// The settings of the group's consumer. `range` gives a partition to one member at a time and orphans none;
/// a short session makes another instance take over soon; positions are explicit, so a position that is not
/// in the log is an error and no reason to skip.
fn group_consumer(
    kafka: &KafkaConfig,
    group: &str,
    settings: &PipelineSettings,
) -> Result<ClientConfig, PropertyError> {
    let instance = settings.instance_id.as_deref().map(|id| ("group.instance.id", id));
    let fixed = [
        ("group.id", group),
        ("partition.assignment.strategy", "range"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "error"),
        ("check.crcs", "false"),
    ];
    kafka.client(
        &[
            ("client.id", "order-service"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
            ("fetch.wait.max.ms", "10"),
            ("fetch.queue.backoff.ms", "2"),
            ("reconnect.backoff.max.ms", "500"),
            ("queued.max.messages.kbytes", "32768"),
            ("fetch.message.max.bytes", FETCH_EVENTS_BYTES),
            ("fetch.max.bytes", FETCH_MAX_BYTES),
            // A leader that hangs ends no connection: only a look tells who leads now, and which partitions were added.
            ("topic.metadata.refresh.interval.ms", "3000"),
        ],
        &fixed.into_iter().chain(instance).collect::<Vec<_>>(),
    )
}

/// The consumer of the changelog. It has no group: an instance reads what all others write.
fn tail(kafka: &KafkaConfig, group: &str) -> Result<ClientConfig, PropertyError> {
    kafka.client(
        &[
            ("client.id", "order-service-tail"),
            ("fetch.wait.max.ms", "10"),
            ("fetch.queue.backoff.ms", "2"),
            ("reconnect.backoff.max.ms", "500"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.max.bytes", FETCH_MAX_BYTES),
            // As that of the events.
            ("topic.metadata.refresh.interval.ms", "3000"),
        ],
        &[
            // librdkafka wants a name, although nothing is committed under it.
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "error"),
            // Of the leader: the end of a follower's log is an earlier one, and what is behind it is not restored.
            ("client.rack", ""),
            // See the module `pipeline::damaged`.
            ("check.crcs", "false"),
        ],
    )
}

/// The producer of what becomes of events; also that of redrives.
fn producer(kafka: &KafkaConfig, transactional_id: Option<&str>) -> Result<ClientConfig, PropertyError> {
    let transactional_id = transactional_id.map(|id| (TRANSACTIONAL_ID, id));
    // What is made of the largest event must fit.
    let max_bytes = MAX_RECORD_BYTES.to_string();
    let fixed = [("enable.idempotence", "true"), ("acks", "all"), ("message.max.bytes", max_bytes.as_str())];
    kafka.client(
        &[
            ("client.id", "order-service"),
            ("linger.ms", "0"),
            ("retry.backoff.ms", "2"),
            ("retry.backoff.max.ms", "100"),
            ("reconnect.backoff.max.ms", "500"),
            ("queue.buffering.max.messages", "1000000"),
            ("queue.buffering.max.kbytes", "262144"),
            ("transaction.timeout.ms", "15000"),
        ],
        &fixed.into_iter().chain(transactional_id).collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use order_events::config::KafkaArgs;
    use rdkafka::producer::BaseProducer;

    use super::*;

    fn kafka(properties: &[(&str, &str)]) -> KafkaConfig {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let args = KafkaArgs {
            kafka_bootstrap_servers: "localhost:9092".to_owned(),
            kafka_properties: properties.iter().map(owned).collect(),
        };
        KafkaConfig::new(&args, std::iter::empty()).unwrap()
    }

    #[test]
    fn no_client_waits_for_a_broker_that_hangs_as_long_as_librdkafka_would() {
        let kafka = kafka(&[]);
        let of = |config: &ClientConfig| config.get(SOCKET_TIMEOUT).unwrap().to_owned();
        assert_eq!(of(&tail(&kafka, "group").unwrap()), "10000");
        assert_eq!(of(&producer(&kafka, Some("id")).unwrap()), "10000");
        assert_eq!(of(&producer(&kafka, None).unwrap()), "10000");
    }

    #[test]
    fn a_producer_can_be_made_whatever_time_the_user_gives_sockets_and_transactions() {
        for (properties, expected) in [
            (&[(SOCKET_TIMEOUT, "60000")][..], "14900"),
            (&[("transaction.timeout.ms", "5000")], "4900"),
            (&[(SOCKET_TIMEOUT, "2000")], "2000"),
        ] {
            let config = producer(&kafka(properties), Some("id")).unwrap();
            assert_eq!(config.get(SOCKET_TIMEOUT), Some(expected));
            config.create::<BaseProducer>().unwrap();
        }
    }
}
