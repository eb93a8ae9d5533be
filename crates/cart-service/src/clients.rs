//! Every librdkafka setting of the service.

use std::time::Duration;

use order_events::config::{KafkaConfig, PropertyError};
use rdkafka::ClientConfig;

use crate::settings::OrderSettings;

/// librdkafka notices a message's time-out this late at most: it looks once a second.
const TIMEOUT_SCAN: Duration = Duration::from_millis(1200);

/// The configuration of the producer of events. What the promises rest on is fixed: every replica confirms, retries neither
/// double nor swap events, and a key's partition is the one that Java and Python producers choose.
///
/// # Errors
/// The user set one of the fixed ones otherwise.
pub(crate) fn producer(kafka: &KafkaConfig, orders: &OrderSettings) -> Result<ClientConfig, PropertyError> {
    // librdkafka gives up in time for its answer to come before ours is due.
    let message_timeout = orders.delivery_timeout.saturating_sub(TIMEOUT_SCAN).as_millis().to_string();
    kafka.client(
        &[
            ("client.id", "cart-service"),
            // A request waits for its event; holding events back to fill batches costs more than it gains.
            ("linger.ms", "0"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.messages", "100000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("reconnect.backoff.max.ms", "1000"),
        ],
        &[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("message.timeout.ms", &message_timeout),
        ],
    )
}
