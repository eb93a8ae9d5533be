//! The client that reads the changelog: what other instances have committed.

use std::time::Duration;

use order_events::ClientLog;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::{Pipeline, PipelineError};
use crate::view::status::Obstacle;

/// How many records are taken before the pipeline looks at something else.
const AT_ONCE: usize = 10_000;

/// Between two attempts to make a tail while the brokers are away.
const RETRY: Duration = Duration::from_millis(500);

/// What the tail has to tell.
pub(super) enum News<'a> {
    /// A committed record.
    Record(BorrowedMessage<'a>),
    /// This partition is read to its end.
    End(i32),
}

/// How long a change of position may take; until it is done, what is read is only known already.
const SEEK_TIMEOUT: Duration = Duration::from_millis(500);

/// Begins to read from these offsets of the changelog on, one for each partition; waits for brokers that are away. `None`
/// if it was told to stop meanwhile.
pub(super) fn begin(pipeline: &Pipeline, from: &[i64]) -> Result<Option<Tail>, PipelineError> {
    while !pipeline.stop.is_cancelled() {
        pipeline.status.beat();
        match Tail::begin(&pipeline.clients.tail, &pipeline.topics.changelog, from) {
            Ok(tail) => {
                pipeline.status.clear(Obstacle::Brokers);
                return Ok(Some(tail));
            }
            Err(error @ KafkaError::ClientConfig(..)) => return Err(error.into()),
            Err(error) => {
                warn!(%error, "the changelog cannot be read yet");
                pipeline.status.set(Obstacle::Brokers, format!("the brokers do not answer ({error})"));
                pipeline.pause(RETRY);
            }
        }
    }
    Ok(None)
}

/// Reads the partitions of the changelog, but for those that this instance writes itself.
pub(super) struct Tail {
    consumer: BaseConsumer<ClientLog>,
    topic: String,
}

impl Tail {
    /// Begins at the given offsets, one for each partition. Assigns once and for ever: several assignments
    /// in quick succession abort the process inside librdkafka.
    fn begin(config: &ClientConfig, topic: &str, from: &[i64]) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer<ClientLog> = config.create_with_context(ClientLog)?;
        // Knowing the partitions' leaders first makes the first fetch come at once.
        consumer.fetch_metadata(Some(topic), Duration::from_secs(5))?;
        let mut assignment = TopicPartitionList::with_capacity(from.len());
        for (partition, from) in (0..).zip(from) {
            assignment.add_partition_offset(topic, partition, offset(*from))?;
        }
        consumer.assign(&assignment)?;
        Ok(Self { consumer, topic: topic.to_owned() })
    }

    /// Reads nothing more of a partition: this instance writes it, and knows what it wrote.
    pub(super) fn leave(&self, partition: i32) -> Result<(), KafkaError> {
        self.consumer.pause(&self.list(partition))
    }

    /// Reads a partition again, from this offset on.
    pub(super) fn return_to(&self, partition: i32, offset: i64) -> Result<(), KafkaError> {
        self.consumer.resume(&self.list(partition))?;
        if let Err(error) = self.consumer.seek(&self.topic, partition, self::offset(offset), SEEK_TIMEOUT) {
            debug!(partition, %error, "reading on from where the partition was left");
        }
        Ok(())
    }

    fn list(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }

    /// Gives what has come, until there is nothing more or it is enough for now; waits `patience` for the
    /// first. Returns how much came.
    ///
    /// # Errors
    /// What librdkafka does not get over by itself.
    pub(super) fn read<E: From<KafkaError>>(
        &self,
        mut patience: Duration,
        mut take: impl FnMut(News<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        for count in 0..AT_ONCE {
            match self.consumer.poll(patience) {
                None => return Ok(count),
                Some(Ok(record)) => take(News::Record(record))?,
                Some(Err(KafkaError::PartitionEOF(partition))) => take(News::End(partition))?,
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error.into()),
            }
            patience = Duration::ZERO;
        }
        Ok(AT_ONCE)
    }
}

/// Compaction and people may have removed the first records.
fn offset(from: i64) -> Offset {
    if from == 0 { Offset::Beginning } else { Offset::Offset(from) }
}

/// librdkafka tries again by itself.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    !matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::OffsetOutOfRange
                | Code::AutoOffsetReset
                | Code::TopicAuthorizationFailed
                | Code::BadMessage
                | Code::BadCompression
                | Code::InvalidMessage
        )
    )
}
