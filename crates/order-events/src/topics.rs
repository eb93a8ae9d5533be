//! Topics are made at boot when they are missing, and looked at when they are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::MetadataTopic;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::client_log::ClientLog;
use crate::config::{KafkaConfig, TopicArgs};
use crate::permission::{self, NotAllowed};

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
            partitions: args.topic_partitions.unwrap_or(DEFAULT_PARTITIONS),
            replication_factor: args.topic_replication_factor,
            settings: &[("cleanup.policy", "delete"), ("retention.ms", "604800000")],
        }
    }

    /// A changelog: compacted, so that the last record of each key stays for ever. Small segments, since only
    /// those that are closed are compacted.
    pub fn changelog(name: &'a str, partitions: i32, args: &TopicArgs) -> Self {
        Self {
            name,
            partitions,
            replication_factor: args.topic_replication_factor,
            settings: &[
                ("cleanup.policy", COMPACT),
                ("segment.bytes", "134217728"),
                ("max.message.bytes", MAX_MESSAGE_BYTES_TEXT),
            ],
        }
    }

    /// The dead letters: one partition, kept for 30 days.
    pub fn dead_letters(name: &'a str, args: &TopicArgs) -> Self {
        Self {
            name,
            partitions: 1,
            replication_factor: args.topic_replication_factor,
            settings: &[
                ("cleanup.policy", "delete"),
                ("retention.ms", "2592000000"),
                ("max.message.bytes", MAX_MESSAGE_BYTES_TEXT),
            ],
        }
    }

    /// The settings; of three copies and more, two must confirm, so that the loss of one broker loses nothing.
    fn all_settings(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let confirmed = self.replication_factor.is_some_and(|copies| copies >= 3);
        self.settings.iter().copied().chain(confirmed.then_some(("min.insync.replicas", "2")))
    }
}

/// Partitions of an events topic that is made without `TOPIC_PARTITIONS`.
const DEFAULT_PARTITIONS: i32 = 3;

const COMPACT: &str = "compact";

/// What is made of an event is larger than the event. Brokers limit the compressed batch, clients the record as it is:
/// order-service takes what it can write back, see its `record` module.
pub(crate) const MAX_MESSAGE_BYTES: u64 = 4_194_304;
const MAX_MESSAGE_BYTES_TEXT: &str = "4194304";

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
    /// A changelog drops records.
    #[error(
        "topic {topic} has cleanup.policy={policy}: the states of orders would be deleted from it. Set it to \
         compact (kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
         cleanup.policy=compact), or use another CONSUMER_GROUP_ID"
    )]
    NotCompacted {
        /// The changelog.
        topic: String,
        /// What it has.
        policy: String,
    },
    /// A changelog does not go with its events.
    #[error(
        "topic {topic} has {has} partitions, but {source_topic} has {needs}: an order's next events would not be where \
         its state is, so nothing is processed. See \"More partitions\" in docs/operations.md"
    )]
    OtherPartitions {
        /// The changelog.
        topic: String,
        /// The events.
        source_topic: String,
        /// What the changelog has.
        has: i32,
        /// What the events have.
        needs: i32,
    },
    /// The events topic has another number of partitions than `TOPIC_PARTITIONS`.
    #[error(
        "topic {topic} has {has} partitions, but TOPIC_PARTITIONS={set}: nothing is written to it or processed. Set \
         TOPIC_PARTITIONS={has} if that is what the topic had from its beginning; if partitions were added to it, see \
         \"More partitions\" in docs/operations.md"
    )]
    NotAsSet {
        /// The events.
        topic: String,
        /// How many it has.
        has: i32,
        /// `TOPIC_PARTITIONS`
        set: i32,
    },
    /// The events topic changed under a running service.
    #[error(
        "topic {topic} has another number of partitions than the {had} that it had when the service started: an order's \
         next events would not be where its state is, so nothing is processed. See \"More partitions\" in \
         docs/operations.md"
    )]
    PartitionsChanged {
        /// The events.
        topic: String,
        /// How many it had.
        had: i32,
    },
    /// An ACL is missing.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The cluster said no.
    #[error("topic {topic} could not be created: {code}")]
    Refused {
        /// The topic in question.
        topic: String,
        /// What the brokers say.
        code: Code,
    },
}

impl TopicError {
    /// Whether the topics are there and can be read, but not as they should be: a person has to see to it.
    pub fn is_misfit(&self) -> bool {
        match self {
            Self::NotCompacted { .. }
            | Self::OtherPartitions { .. }
            | Self::NotAsSet { .. }
            | Self::PartitionsChanged { .. } => true,
            Self::Unavailable { .. } | Self::NotAllowed(_) | Self::Refused { .. } => false,
        }
    }
}

/// Whether the events topic has as many partitions as `TOPIC_PARTITIONS` says, if it says anything.
///
/// # Errors
/// [`TopicError::NotAsSet`]
pub fn check_partitions(args: &TopicArgs, has: i32) -> Result<(), TopicError> {
    match args.topic_partitions {
        Some(set) if set != has => Err(TopicError::NotAsSet { topic: args.order_topic.clone(), has, set }),
        _ => Ok(()),
    }
}

/// What is known of a topic.
pub(crate) struct Settings {
    /// How many copies its least copied partition has.
    pub copies: usize,
    /// Its settings, those included that it has from its brokers.
    pub values: HashMap<String, String>,
}

/// What the brokers' metadata says of a topic.
struct Found {
    partitions: usize,
    /// Of its least copied partition.
    copies: usize,
}

impl Found {
    fn of(topic: &MetadataTopic) -> Self {
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        Self { partitions: topic.partitions().len(), copies: copies.unwrap_or_default() }
    }
}

/// Creates and checks topics.
pub struct Topics {
    admin: Arc<AdminClient<ClientLog>>,
    servers: String,
}

impl Topics {
    /// A client of the cluster; asks nothing yet.
    ///
    /// # Errors
    /// librdkafka refuses the settings.
    pub fn new(kafka: &KafkaConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            // Asking for a topic must not create it, as it does for a producer's client.
            admin: Arc::new(
                kafka
                    .plain_client(&[("allow.auto.create.topics", "false")])
                    .create_with_context(ClientLog)?,
            ),
            servers: kafka.bootstrap_servers().to_owned(),
        })
    }

    /// Makes the topic unless it is there; gives the number of its partitions. Safe to call from any number
    /// of services at once.
    ///
    /// # Errors
    /// See [`TopicError`]; only `Unavailable` is worth another attempt.
    pub async fn ensure(&self, spec: &TopicSpec<'_>) -> Result<i32, TopicError> {
        let replication = TopicReplication::Fixed(spec.replication_factor.unwrap_or(-1));
        let mut topic = NewTopic::new(spec.name, spec.partitions, replication);
        for (key, value) in spec.all_settings() {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
        let results = self.admin.create_topics([&topic], &options).await;
        let result = results.map_err(|source| self.unavailable(spec.name, source))?;
        match result.into_iter().next() {
            Some(Ok(_)) => {
                info!(topic = spec.name, partitions = spec.partitions, "topic created");
                Ok(spec.partitions)
            }
            Some(Err((_, Code::TopicAlreadyExists))) => self.partitions(spec.name).await,
            // Kafka looks at the permission before it looks whether the topic is there.
            Some(Err((_, code))) if permission::is_missing(code) => {
                let found = self.find(spec.name).await?;
                found.ok_or_else(|| NotAllowed::topic("create", spec.name).into())
            }
            Some(Err((_, code))) if is_transient(code) => {
                Err(self.unavailable(spec.name, KafkaError::AdminOp(code)))
            }
            Some(Err((topic, code))) => Err(TopicError::Refused { topic, code }),
            None => Err(self.unavailable(spec.name, KafkaError::AdminOp(Code::Fail))),
        }
    }

    /// How many partitions a topic has that is there.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub async fn partitions(&self, topic: &str) -> Result<i32, TopicError> {
        let not_yet = || self.unavailable(topic, KafkaError::MetadataFetch(Code::UnknownTopicOrPartition));
        self.find(topic).await?.ok_or_else(not_yet)
    }

    /// How many partitions a topic has; `None` if it is not there.
    ///
    /// # Errors
    /// See [`TopicError`].
    pub async fn find(&self, topic: &str) -> Result<Option<i32>, TopicError> {
        let found = self.look(topic).await?;
        Ok(found.map(|found| i32::try_from(found.partitions).unwrap_or(i32::MAX)))
    }

    async fn look(&self, topic: &str) -> Result<Option<Found>, TopicError> {
        let (admin, name) = (self.admin.clone(), topic.to_owned());
        let asked = spawn_blocking(move || admin.inner().fetch_metadata(Some(&name), TIMEOUT)).await;
        let metadata = asked.unwrap_or(Err(KafkaError::Canceled));
        let metadata = metadata.map_err(|source| self.unavailable(topic, source))?;
        let found = metadata.topics().first();
        match (found.and_then(MetadataTopic::error).map(Code::from), found.map(Found::of)) {
            (None, Some(found)) if found.partitions > 0 => Ok(Some(found)),
            (Some(Code::UnknownTopicOrPartition), _) => Ok(None),
            (Some(code), _) if permission::is_missing(code) => {
                Err(NotAllowed::topic("describe", topic).into())
            }
            (code, _) => {
                let code = code.unwrap_or(Code::LeaderNotAvailable);
                Err(self.unavailable(topic, KafkaError::MetadataFetch(code)))
            }
        }
    }

    /// Whether a changelog is compacted, as far as Kafka tells, and has as many partitions as the events of `source`.
    ///
    /// # Errors
    /// See [`TopicError`]; only `Unavailable` is worth another attempt.
    pub async fn check_changelog(&self, spec: &TopicSpec<'_>, source: &str) -> Result<(), TopicError> {
        let has = self.partitions(spec.name).await?;
        if has != spec.partitions {
            return Err(TopicError::OtherPartitions {
                topic: spec.name.to_owned(),
                source_topic: source.to_owned(),
                has,
                needs: spec.partitions,
            });
        }
        match self.values(spec.name).await?.remove("cleanup.policy") {
            // Not told, or not yet: see `values`.
            None => Ok(()),
            Some(policy) if policy == COMPACT => Ok(()),
            Some(policy) => Err(TopicError::NotCompacted { topic: spec.name.to_owned(), policy }),
        }
    }

    /// What is known of a topic; `None` if it is not there.
    pub(crate) async fn settings(&self, topic: &str) -> Result<Option<Settings>, TopicError> {
        let Some(Found { copies, .. }) = self.look(topic).await? else { return Ok(None) };
        Ok(Some(Settings { copies, values: self.values(topic).await? }))
    }

    /// The settings of a topic. There are none without the permission to see them (DESCRIBE_CONFIGS), and while a broker
    /// starts that does not know them yet: rust-rdkafka 0.39 does not tell the error of a single resource.
    async fn values(&self, topic: &str) -> Result<HashMap<String, String>, TopicError> {
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let described = self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
        let described = described.map_err(|error| self.unavailable(topic, error))?;
        let config = match described.into_iter().next() {
            Some(Ok(config)) => config,
            Some(Err(code)) if permission::is_missing(code) => return Ok(HashMap::new()),
            Some(Err(code)) => return Err(self.unavailable(topic, KafkaError::AdminOp(code))),
            None => return Err(self.unavailable(topic, KafkaError::AdminOp(Code::Fail))),
        };
        Ok(config.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_three_copies_two_must_confirm() {
        let confirmed = |copies| {
            let args = TopicArgs {
                order_topic: "order-events".to_owned(),
                topic_partitions: None,
                topic_replication_factor: copies,
            };
            let specs = [
                TopicSpec::events(&args),
                TopicSpec::changelog("changelog", 3, &args),
                TopicSpec::dead_letters("letters", &args),
            ];
            specs.map(|spec| spec.all_settings().any(|setting| setting == ("min.insync.replicas", "2")))
        };
        assert_eq!(confirmed(Some(3)), [true; 3]);
        assert_eq!(confirmed(Some(5)), [true; 3]);
        for too_few in [None, Some(1), Some(2)] {
            assert_eq!(confirmed(too_few), [false; 3]);
        }
    }

    #[test]
    fn the_limit_of_a_record_is_the_same_as_a_number_and_as_a_setting() {
        assert_eq!(MAX_MESSAGE_BYTES.to_string(), MAX_MESSAGE_BYTES_TEXT);
    }
}
