//! The service's producer, and a new one when it cannot go on.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use order_events::ClientLog;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tracing::error;

use super::LOG;

/// No producer can be made: librdkafka refuses the settings as a whole.
#[derive(Debug, Error)]
#[error("no Kafka producer can be made: {0}")]
pub struct PublisherError(#[from] KafkaError);

/// See the module.
pub(super) struct Producer {
    config: ClientConfig,
    current: RwLock<FutureProducer<ClientLog>>,
}

impl Producer {
    /// # Errors
    /// See [`PublisherError`].
    pub(super) fn new(config: ClientConfig) -> Result<Self, PublisherError> {
        let current = RwLock::new(config.create_with_context(ClientLog)?);
        Ok(Self { config, current })
    }

    /// Queues a record; its delivery report comes later.
    ///
    /// # Errors
    /// The record was not queued.
    pub(super) fn send(&self, record: FutureRecord<'_, str, Vec<u8>>) -> Result<DeliveryFuture, KafkaError> {
        let queued = self.current.read().unwrap_or_else(PoisonError::into_inner).send_result(record);
        queued.map_err(|(error, _)| {
            if error.rdkafka_error_code() == Some(Code::Fatal) {
                self.replace();
            }
            error
        })
    }

    /// An idempotent producer that lost its place in the log (KIP-98, KIP-360) cannot go on, a new one can.
    fn replace(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let Some((code, reason)) = current.client().fatal_error() else {
            // Somebody else was quicker.
            return;
        };
        match self.config.create_with_context(ClientLog) {
            Ok(new) => {
                error!(target: LOG, %code, reason, "the producer failed for good; a new one takes its place");
                let old = std::mem::replace(&mut *current, new);
                // Its end waits for its threads; nobody else has to.
                spawn_blocking(move || drop(old));
            }
            Err(error) => error!(target: LOG, %error, "no new producer can be made"),
        }
    }

    /// Waits until everything queued is delivered or has failed, for at most `patience`; blocks.
    ///
    /// # Errors
    /// Events are still unconfirmed.
    pub(super) fn flush(&self, patience: Duration) -> Result<(), KafkaError> {
        self.current().flush(patience)
    }

    /// The leader of each partition of `topic`, below 0 where there is none; blocks. None if there is no such topic.
    ///
    /// # Errors
    /// The brokers do not answer within `patience`.
    pub(super) fn leaders(&self, topic: &str, patience: Duration) -> Result<Vec<i32>, String> {
        let metadata = self.current().client().fetch_metadata(Some(topic), patience).map_err(|error| {
            let servers = self.config.get("bootstrap.servers").unwrap_or_default();
            format!("the brokers at {servers} do not answer: {error}")
        })?;
        let partitions = metadata.topics().iter().take(1).flat_map(|topic| topic.partitions());
        Ok(partitions.map(|partition| partition.leader()).collect())
    }

    /// Not locked while it is used: what waits for a broker keeps nobody from replacing it.
    fn current(&self) -> FutureProducer<ClientLog> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
