//! What ends the pipeline, and with it the process.

use order_events::codec::{EncodeError, Undecodable};
use order_events::config::PropertyError;
use order_events::permission::NotAllowed;
use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::view::store::CorruptState;

/// Why the pipeline cannot go on.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// A setting that the guarantee needs otherwise.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// librdkafka refuses, for good.
    #[error("Kafka refuses, and waiting would not help: {0}")]
    Kafka(#[from] KafkaError),
    /// What is in the changelog cannot be read.
    #[error("record {offset} of partition {partition} of the changelog {topic} cannot be read: {reason}")]
    Changelog {
        /// The changelog.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// What is wrong with it.
        reason: Undecodable,
    },
    /// The changelog goes with another topic.
    #[error(
        "the changelog {topic} has the orders of the topic {source_topic}, but ORDER_TOPIC={events}: its events would \
         be taken for processed ones. Set ORDER_TOPIC={source_topic}, or use another CONSUMER_GROUP_ID, which begins a \
         new view"
    )]
    OtherSource {
        /// The changelog.
        topic: String,
        /// The topic that it goes with.
        source_topic: String,
        /// The topic that was asked for.
        events: String,
    },
    /// An ACL is missing.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Another instance has the same name, and they throw each other out of the group.
    #[error("another instance runs with INSTANCE_ID={instance_id} in the same group; give each its own")]
    InstanceIdTaken {
        /// The name.
        instance_id: String,
    },
    /// A defect of librdkafka (librdkafka#5511) came up again and again.
    #[error(
        "librdkafka did not come back from {producers} transactions; only a restart gives their memory back"
    )]
    LeftBehind {
        /// How many producers it has kept.
        producers: usize,
    },
    /// A state that this program made cannot be encoded.
    #[error("a defect: {0}")]
    Encode(#[from] EncodeError),
    /// Memory is corrupt.
    #[error("a defect: {0}")]
    CorruptState(#[from] CorruptState),
}
