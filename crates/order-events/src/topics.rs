//! Topics are made at boot when they are missing, and looked at when they are there.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;
use tracing::info;

use crate::client_log::ClientLog;
use crate::config::{KafkaConfig, TopicArgs};

/// How long one question to the cluster may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A topic as it should be.
#[derive(Debug, Clone)]
pub struct TopicSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Partitions, if it must be made.
    pub partitions: i32,
    /// Copies, if it must be made; the brokers' default if `None` (KIP-464).
    pub replication_factor: Option<i32>,
    /// Topic settings, if it must be made.
    pub settings: &'a [(&'a str, &'a str)],
}

impl<'a> TopicSpec<'a> {
    /// The events: kept for 7 days.
    pub fn events(args: &'a TopicArgs) -> Self {
        Self {
            name: &args.order_topic,
            partitions: args.topic_partitions,
            replication_factor: args.topic_replication_factor,
            settings: &[("cleanup.policy", "delete"), ("retention.ms", "604800000")],
        }
    }

    /// The dead letters: one partition, kept for 30 days.
    pub fn dead_letters(name: &'a str, args: &TopicArgs) -> Self {
        Self {
            name,
            partitions: 1,
            replication_factor: args.topic_replication_factor,
            settings: &[("cleanup.policy", "delete"), ("retention.ms", "2592000000")],
        }
    }
}

/// Why a topic is not as it should be.
#[derive(Debug, Error)]
pub enum TopicError {
    /// The cluster could not be asked: try again.
    #[error("topic {topic}: the brokers at {servers} do not answer: {source}")]
    Unavailable {
        /// The topic in question.
        topic: String,
        /// Where the brokers should be.
        servers: String,
        /// What the client says.
        source: KafkaError,
    },
    /// The cluster said no.
    #[error("topic {topic} could not be created: {code}")]
    Refused {
        /// The topic in question.
        topic: String,
        /// What the brokers say.
        code: Code,
    },
}

/// Creates and checks topics.
pub struct Topics {
    admin: AdminClient<ClientLog>,
    servers: String,
}

impl Topics {
    /// A client of the cluster; asks nothing yet.
    ///
    /// # Errors
    /// librdkafka refuses the settings.
    pub fn new(kafka: &KafkaConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            admin: kafka.plain_client(&[]).create_with_context(ClientLog)?,
            servers: kafka.bootstrap_servers().to_owned(),
        })
    }

    /// Makes the topic unless it is there. Safe to call from any number of services at once.
    ///
    /// # Errors
    /// See [`TopicError`]; only `Unavailable` is worth another attempt.
    pub async fn ensure(&self, spec: &TopicSpec<'_>) -> Result<(), TopicError> {
        let replication = TopicReplication::Fixed(spec.replication_factor.unwrap_or(-1));
        let mut topic = NewTopic::new(spec.name, spec.partitions, replication);
        for (key, value) in spec.settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.admin.create_topics([&topic], &options).await;
        let result = results.map_err(|source| self.unavailable(spec.name, source))?;
        match result.into_iter().next() {
            Some(Ok(_)) => {
                info!(topic = spec.name, partitions = spec.partitions, "topic created");
                Ok(())
            }
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) if is_transient(code) => {
                Err(self.unavailable(spec.name, KafkaError::AdminOp(code)))
            }
            Some(Err((topic, code))) => Err(TopicError::Refused { topic, code }),
            None => Err(self.unavailable(spec.name, KafkaError::AdminOp(Code::Fail))),
        }
    }

    fn unavailable(&self, topic: &str, source: KafkaError) -> TopicError {
        TopicError::Unavailable { topic: topic.to_owned(), servers: self.servers.clone(), source }
    }
}

/// Whether the same request may succeed a moment later.
fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::NotController
            | Code::LeaderNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::BrokerNotAvailable
            | Code::ThrottlingQuotaExceeded
            | Code::NetworkException
    )
}
