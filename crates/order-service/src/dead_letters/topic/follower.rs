//! Keeps the index current: reads the dead letter topic from its beginning, and then whatever is added.

use std::time::Duration;

use order_events::permission::NotAllowed;
use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::source::{DeadLetterTopic, DeadLetterTopicError};
use crate::dead_letters::index::Index;

/// The longest time until a stop is noticed.
const POLL: Duration = Duration::from_millis(200);

/// Follows the topic until `stop`; blocks. Waits for brokers that do not answer.
///
/// # Errors
/// librdkafka refuses the settings, or Kafka does not let this service read the topic.
pub(crate) fn follow(
    topic: &DeadLetterTopic,
    index: &Index,
    stop: &CancellationToken,
) -> Result<(), DeadLetterTopicError> {
    let consumer = topic.open(0)?;
    let mut last = -1;
    while !stop.is_cancelled() {
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                if record.offset() <= last {
                    warn!(topic = topic.name(), "the dead letter topic was recreated");
                    index.clear();
                }
                last = record.offset();
                index.take(&record);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                if !index.is_loaded() {
                    info!(topic = topic.name(), letters = index.stats().total, "dead letters read");
                }
                index.set_loaded();
            }
            Some(Err(error)) if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) => {
                return Err(NotAllowed::topic("read", topic.name()).into());
            }
            Some(Err(error)) => debug!(%error, "the dead letters cannot be read; librdkafka tries again"),
            None => {}
        }
    }
    Ok(())
}
