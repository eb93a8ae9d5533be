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
use crate::registry::{RegisterError, RegistryClientError, SchemaRegistry};
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
    topics: Arc<Topics>,
    registry: Arc<SchemaRegistry>,
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
            topics: Arc::new(Topics::new(kafka)?),
            registry: Arc::new(SchemaRegistry::new(registry.clone())?),
            waiting,
        })
    }

    /// The client of the topics.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.clone()
    }

    /// The client of the schema registry.
    pub fn registry(&self) -> Arc<SchemaRegistry> {
        self.registry.clone()
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
        self.prepared(ask).await
    }

    /// What `prepare` gives, once the brokers answer and the topics are as they should be.
    ///
    /// # Errors
    /// The brokers say no.
    pub async fn prepared<T, F>(&self, prepare: impl FnMut() -> F) -> Result<T, BootstrapError>
    where
        F: Future<Output = Result<T, TopicError>>,
    {
        let prepared = prepare
            .retry(backoff())
            .when(|error| matches!(error, TopicError::Unavailable { .. }) || error.is_misfit())
            .notify(|error, wait| self.tell(error, wait));
        Ok(prepared.await?)
    }

    /// Registers the schema of the values in `topic`.
    ///
    /// # Errors
    /// The registry says no.
    pub async fn codec<T: AvroRecord>(&self, topic: &str) -> Result<Codec<T>, BootstrapError> {
        let registered = (|| self.registry.codec(topic))
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
