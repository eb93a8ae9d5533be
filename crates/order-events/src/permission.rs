//! What Kafka's ACLs do not allow. It does not pass by waiting.

use rdkafka::error::RDKafkaErrorCode as Code;
use thiserror::Error;

/// An ACL is missing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Kafka does not let this service {operation} {resource}: grant it that (docs/kafka.md has the ACLs)")]
pub struct NotAllowed {
    /// What was tried, as "read".
    pub operation: &'static str,
    /// On what, as "the topic order-events".
    pub resource: String,
}

impl NotAllowed {
    /// Of a topic.
    pub fn topic(operation: &'static str, topic: &str) -> Self {
        Self { operation, resource: format!("the topic {topic}") }
    }
}

/// Whether it is a permission that is missing.
pub fn is_missing(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}
