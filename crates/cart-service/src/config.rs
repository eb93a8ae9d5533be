//! What the service runs with: its settings, checked, and the configuration of its Kafka client.

use std::time::Duration;

use order_events::config::{KafkaConfig, PropertyError};
use rdkafka::ClientConfig;
use service_runtime::limits::HttpArgs;
use service_runtime::prefer::MAX_WAIT;
use thiserror::Error;

use crate::clients::producer;
use crate::settings::{Settings, WAIT_ALLOWANCE};

/// Why settings that are good one by one are no good together.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A librdkafka property.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// A write would be given up while it may still succeed.
    #[error(
        "REQUEST_TIMEOUT={request:?}: more than {least:?} is needed, that is READ_TIMEOUT ({read:?}), \
         DELIVERY_TIMEOUT ({delivery:?}) and the {MAX_WAIT}s that a client may wait, together, and {WAIT_ALLOWANCE:?}"
    )]
    RequestTimeout {
        /// `REQUEST_TIMEOUT`
        request: Duration,
        /// What it must be more than.
        least: Duration,
        /// `READ_TIMEOUT`
        read: Duration,
        /// `DELIVERY_TIMEOUT`
        delivery: Duration,
    },
}

/// See the module.
pub struct Config {
    /// What the user set.
    pub settings: Settings,
    /// The brokers and the user's librdkafka properties, from the settings and the environment.
    pub kafka: KafkaConfig,
    /// The configuration of the producer of events.
    pub producer: ClientConfig,
}

impl Config {
    /// Checks what clap cannot: the librdkafka properties among the environment variables, and what settings
    /// mean together.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(
        settings: Settings,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let kafka = KafkaConfig::new(&settings.kafka, environment)?;
        let HttpArgs { request_timeout: request, read_timeout: read, .. } = settings.service.http;
        let delivery = settings.orders.delivery_timeout;
        let least = read + delivery + Duration::from_secs(MAX_WAIT) + WAIT_ALLOWANCE;
        if request <= least {
            return Err(ConfigError::RequestTimeout { request, least, read, delivery });
        }
        let producer = producer(&kafka, &settings.orders)?;
        Ok(Self { settings, kafka, producer })
    }
}
