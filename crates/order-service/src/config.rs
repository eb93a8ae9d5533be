//! What the service runs with: its settings, checked, and the clients that are made of them.

use order_events::config::{KafkaConfig, PropertyError, topic_name};
use thiserror::Error;

use crate::clients::Clients;
use crate::dead_letters::DeadLetterTopic;
use crate::settings::{Settings, TopicNames};

/// Why settings that are good one by one are no good together.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A librdkafka property.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// What the service writes would be what it reads.
    #[error(
        "{variable}={topic}: must be another topic than {others}, or what is written there would be read as something else"
    )]
    SameTopic {
        /// The setting.
        variable: &'static str,
        /// Its value.
        topic: String,
        /// What else has this name.
        others: &'static str,
    },
    /// Kafka takes no such name.
    #[error("CONSUMER_GROUP_ID={group}: {reason}; the changelog is called {topic}")]
    Changelog {
        /// The setting.
        group: String,
        /// What is made of it.
        topic: String,
        /// What is wrong.
        reason: String,
    },
}

fn check_topics(settings: &Settings) -> Result<(), ConfigError> {
    let TopicNames { events, changelog, dead_letters } = &settings.topic_names();
    let same = |variable, topic: &str, others| {
        Err(ConfigError::SameTopic { variable, topic: topic.to_owned(), others })
    };
    if dead_letters == events {
        return same("DLQ_TOPIC", dead_letters, "ORDER_TOPIC");
    }
    if events == changelog {
        return same("ORDER_TOPIC", events, "the changelog of CONSUMER_GROUP_ID");
    }
    if dead_letters == changelog {
        return same("DLQ_TOPIC", dead_letters, "the changelog of CONSUMER_GROUP_ID");
    }
    match topic_name(changelog) {
        Ok(_) => Ok(()),
        Err(reason) => {
            let (group, topic) = (settings.consumer_group_id.clone(), changelog.clone());
            Err(ConfigError::Changelog { group, topic, reason })
        }
    }
}

/// See the module.
pub struct Config {
    /// What the user set.
    pub settings: Settings,
    /// The brokers and the user's librdkafka properties, from the settings and the environment.
    pub kafka: KafkaConfig,
    /// The configurations of the pipeline's clients.
    pub clients: Clients,
    /// Reads the dead letter topic.
    pub dead_letter_topic: DeadLetterTopic,
}

impl Config {
    /// Checks what clap cannot: the librdkafka properties among the environment variables, and what settings mean
    /// together.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(
        mut settings: Settings,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        check_topics(&settings)?;
        let kafka = KafkaConfig::new(&settings.kafka, environment)?;
        let clients = Clients::new(&kafka, &settings.consumer_group_id, &settings.pipeline)?;
        let dead_letter_topic =
            DeadLetterTopic::new(&kafka, &settings.consumer_group_id, &settings.dlq_topic)?;
        // There are no other writes than redrives.
        let admin_token = settings.dead_letters.admin_token.clone();
        settings.service.http.api_token = admin_token.or(settings.service.http.api_token);
        Ok(Self { settings, kafka, clients, dead_letter_topic })
    }
}
