//! What must be there before the first event: the topic and the schema. Waits for a broker or a registry that
//! is away; gives up on one that says no.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use order_events::registry::{RegisterError, RegistryClientError};
use order_events::topics::{EVENTS_RETENTION_MS, TopicError, TopicSpec, Topics};
use order_events::{EventCodec, Registry};
use rdkafka::error::KafkaError;
use thiserror::Error;
use tracing::{info, warn};

use crate::config::Config;
use crate::publisher::Publisher;

/// Why the service cannot start; waiting would not help.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// The topic cannot be had.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The schema cannot be had.
    #[error(transparent)]
    Schema(#[from] RegisterError),
    /// No client of the registry can be made.
    #[error(transparent)]
    RegistryClient(#[from] RegistryClientError),
    /// No client of the cluster can be made.
    #[error("no Kafka client for topics can be made: {0}")]
    KafkaClient(KafkaError),
}

/// The first attempts come quickly, since everything may be starting at once.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times()
}

/// Makes the topic and registers the schema, then lets the publisher begin.
///
/// # Errors
/// See [`BootstrapError`].
pub async fn bootstrap(config: &Config, publisher: &Publisher) -> Result<(), BootstrapError> {
    let topic = ensure_topic(config, publisher);
    let codec = register_schema(config, publisher);
    let ((), codec) = tokio::try_join!(topic, codec)?;
    publisher.begin(codec);
    info!(topic = config.topics.order_topic, "ready to publish");
    Ok(())
}

async fn ensure_topic(config: &Config, publisher: &Publisher) -> Result<(), BootstrapError> {
    let topics = Topics::new(&config.kafka).map_err(BootstrapError::KafkaClient)?;
    let spec = TopicSpec {
        name: &config.topics.order_topic,
        partitions: config.topics.topic_partitions,
        replication_factor: config.topics.topic_replication_factor,
        settings: &[("cleanup.policy", "delete"), ("retention.ms", EVENTS_RETENTION_MS)],
    };
    let ensured = (|| topics.ensure(&spec))
        .retry(backoff())
        .when(|error| matches!(error, TopicError::Unavailable { .. }))
        .notify(|error, wait| wait_for(publisher, &error.to_string(), wait))
        .await;
    Ok(ensured?)
}

async fn register_schema(config: &Config, publisher: &Publisher) -> Result<EventCodec, BootstrapError> {
    let registry = Arc::new(Registry::new(config.registry.clone())?);
    let registered = (|| EventCodec::register(registry.clone(), &config.topics.order_topic))
        .retry(backoff())
        .when(|error| matches!(error, RegisterError::Unavailable(_)))
        .notify(|error, wait| wait_for(publisher, &error.to_string(), wait))
        .await;
    Ok(registered?)
}

fn wait_for(publisher: &Publisher, reason: &str, wait: Duration) {
    warn!(reason, ?wait, "not ready to publish yet");
    publisher.waits_for(reason);
}
