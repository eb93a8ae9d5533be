//! Why an event has no delivery report that says it is in the log.

use order_events::Position;
use order_events::codec::EncodeError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;

/// Where an event is in the log, or why it has no place there.
pub(crate) type DeliveryReport = Result<Position, PublishError>;

/// See the module.
#[derive(Debug, Error)]
pub(crate) enum PublishError {
    /// The topic or the schema is not there yet. Nothing was sent.
    #[error("not ready to publish: {0}")]
    NotReady(String),
    /// The event was not even queued: too many others wait for the broker. Nothing was sent.
    #[error("too many events wait for the broker")]
    QueueFull,
    /// The broker said no, or the event cannot be sent at all. It is not in the log.
    #[error("the event was not taken: {0}")]
    Rejected(KafkaError),
    /// The event is larger than the broker takes. It is not in the log.
    #[error("the event is larger than the broker takes")]
    TooLarge,
    /// The event may be in the log or not, for this reason.
    #[error("whether the event arrived is not known: {0}")]
    Unknown(String),
    /// The event does not fit its schema.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl PublishError {
    /// Classifies an event that was not queued. It was not sent, whatever the reason.
    pub(super) fn not_queued(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(Code::QueueFull) => Self::QueueFull,
            Some(Code::MessageSizeTooLarge) => Self::TooLarge,
            _ => Self::Rejected(error),
        }
    }

    /// Classifies a failed delivery. Only with the errors that are named here is the event surely not in the log: the
    /// broker refused it for what it is. With any other error it was sent, perhaps more than once, and one of the times
    /// it may have arrived (librdkafka's `RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED`).
    pub(super) fn not_delivered(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(Code::MessageSizeTooLarge) => Self::TooLarge,
            Some(
                Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::InvalidRecord
                | Code::PolicyViolation,
            ) => Self::Rejected(error),
            _ => Self::Unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_arrive_is_told_so() {
        let told = |code| PublishError::not_delivered(KafkaError::MessageProduction(code));
        for code in [Code::TopicAuthorizationFailed, Code::InvalidRecord] {
            assert!(matches!(told(code), PublishError::Rejected(_)), "{code}");
        }
        for code in [
            Code::MessageTimedOut,
            Code::BrokerTransportFailure,
            Code::OutOfOrderSequenceNumber,
            Code::NotEnoughReplicasAfterAppend,
            Code::PurgeInflight,
            // Also of an event that waits to be sent once more.
            Code::PurgeQueue,
            Code::Fatal,
        ] {
            assert!(matches!(told(code), PublishError::Unknown(_)), "{code}");
        }
        assert!(matches!(told(Code::MessageSizeTooLarge), PublishError::TooLarge));
    }
}
