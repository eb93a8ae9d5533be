//! What librdkafka has to say, in the log of the service.

use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::{debug, warn};

/// The context of every Kafka client here. librdkafka reports each failed attempt to connect and each end of a
/// partition as an error; the services tell once that the brokers are away, and so these go to the debug log.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClientLog;

impl ClientContext for ClientLog {
    fn error(&self, error: KafkaError, reason: &str) {
        let is_expected = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::PartitionEOF
                    | Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::Resolve
                    | Code::OperationTimedOut
            )
        );
        if is_expected || matches!(error, KafkaError::PartitionEOF(_)) {
            debug!(%error, reason, "librdkafka");
        } else {
            warn!(%error, reason, "librdkafka");
        }
    }
}

impl ConsumerContext for ClientLog {}
