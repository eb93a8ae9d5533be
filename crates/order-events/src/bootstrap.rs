//! What must be there before a service can work: topics and schemas. A broker or a registry that is away is
//! waited for, and the wait is told; one that says no ends the boot.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use rdkafka::error::KafkaError;
use thiserror::Error;
use tracing::warn;

use crate::codec::{AvroRecord, Codec};
use crate::config::{KafkaConfig, RegistryConfig, TopicArgs};
use crate::registry::{RegisterError, Registry, RegistryClientError};
use crate::topics::{TopicError, TopicSpec, Topics, check_partitions};

/// Why a service cannot start; waiting would not help.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// A topic cannot be had as it should be.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A schema cannot be had.
    #[error(transparent)]
    Schema(#[from] RegisterError),
    /// No client of the registry can be made.
    #[error(transparent)]
    RegistryClient(#[from] RegistryClientError),
    /// No client of the cluster can be made.
    #[error("no Kafka client can be made: {0}")]
    KafkaClient(#[from] KafkaError),
}

/// Prepares a service's boot. Each step waits for as long as it takes; drop it to stop waiting.
pub struct Bootstrap<'a> {
    topics: Topics,
    registry: Arc<Registry>,
    waiting: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Bootstrap<'a> {
    /// `waiting` is called with the reason before each wait.
    ///
    /// # Errors
    /// A client cannot be made.
    pub fn new(
        kafka: &KafkaConfig,
        registry: &RegistryConfig,
        waiting: &'a (dyn Fn(&str) + Sync),
    ) -> Result<Self, BootstrapError> {
        Ok(Self {
            topics: Topics::new(kafka)?,
            registry: Arc::new(Registry::new(registry.clone())?),
            waiting,
        })
    }

    /// Makes the topic unless it is there. Gives the number of its partitions.
    ///
    /// # Errors
    /// The brokers say no.
    pub async fn topic(&self, spec: &TopicSpec<'_>) -> Result<i32, BootstrapError> {
        let ensured = (|| self.topics.ensure(spec))
            .retry(backoff())
            .when(|error| matches!(error, TopicError::Unavailable { .. }))
            .notify(|error, wait| self.tell(error, wait));
        Ok(ensured.await?)
    }

    /// Makes the topic of the events unless it is there, and waits until it has as many partitions as are set. Gives
    /// their number.
    ///
    /// # Errors
    /// The brokers say no.
    pub async fn events(&self, args: &TopicArgs) -> Result<i32, BootstrapError> {
        let spec = TopicSpec::events(args);
        let ask = async || {
            let partitions = self.topics.ensure(&spec).await?;
            check_partitions(args, partitions).map(|()| partitions)
        };
        let ensured = ask
            .retry(backoff())
            .when(|error| matches!(error, TopicError::Unavailable { .. } | TopicError::NotAsSet { .. }))
            .notify(|error, wait| self.tell(error, wait));
        Ok(ensured.await?)
    }

    /// Makes the compacted topic that goes with `source`, partition by partition, unless it is there; then it
    /// must be as it should be.
    ///
    /// # Errors
    /// The brokers say no, or the topic is another one.
    pub async fn compacted(
        &self,
        name: &str,
        partitions: i32,
        source: &str,
        args: &TopicArgs,
    ) -> Result<(), BootstrapError> {
        let spec = TopicSpec::changelog(name, partitions, args);
        self.topic(&spec).await?;
        let checked = (|| self.topics.check_changelog(&spec, source))
            .retry(backoff())
            .when(|error| matches!(error, TopicError::Unavailable { .. }))
            .notify(|error, wait| self.tell(error, wait));
        Ok(checked.await?)
    }

    /// Registers the schema of the values in `topic`.
    ///
    /// # Errors
    /// The registry says no.
    pub async fn codec<T: AvroRecord>(&self, topic: &str) -> Result<Codec<T>, BootstrapError> {
        let registered = (|| Codec::register(self.registry.clone(), topic))
            .retry(backoff())
            .when(|error| matches!(error, RegisterError::Unavailable(_)))
            .notify(|error, wait| self.tell(error, wait));
        Ok(registered.await?)
    }

    fn tell(&self, error: &dyn std::error::Error, wait: Duration) {
        let reason = error.to_string();
        warn!(reason, ?wait, "not ready yet");
        (self.waiting)(&reason);
    }
}

/// The first attempts come quickly, since everything may be starting at once.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times()
}
