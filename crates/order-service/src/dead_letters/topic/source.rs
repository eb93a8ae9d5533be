//! Reads the dead letter topic by offset.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use order_events::ClientLog;
use order_events::config::{KafkaConfig, PropertyError};
use order_events::permission::NotAllowed;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, OwnedMessage};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use thiserror::Error;

use crate::dead_letters::PARTITION;
use crate::dead_letters::index::Index;

/// The longest time to read some letters, or what is new.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest time to search the topic. Together with the rest of a redrive it is less than the default of
/// `REQUEST_TIMEOUT`.
const SEARCH_PATIENCE: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(100);

/// Records between two letters that are read and skipped; over more than these, the consumer seeks.
const READ_THROUGH: i64 = 500;

/// Why the topic could not be read.
#[derive(Debug, Error)]
pub enum DeadLetterTopicError {
    /// A client cannot be made, or the brokers refuse.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// An ACL is missing.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The brokers do not answer, or not soon enough.
    #[error("the brokers did not give the records of {topic} in time")]
    TimedOut {
        /// The dead letter topic.
        topic: String,
    },
    /// The thread that read panicked.
    #[error("the reading ended without a word; the log has its panic")]
    Lost,
}

/// Reads the dead letter topic, each time with a new consumer; cheap to clone.
#[derive(Clone)]
pub struct DeadLetterTopic {
    config: ClientConfig,
    topic: String,
}

impl DeadLetterTopic {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// The user set a property that the guarantee depends on to another value.
    pub fn new(kafka: &KafkaConfig, group: &str, topic: &str) -> Result<Self, PropertyError> {
        let mut config = kafka.client(
            &[
                ("client.id", "order-service-dead-letters"),
                ("fetch.wait.max.ms", "100"),
                ("reconnect.backoff.max.ms", "500"),
                ("queued.max.messages.kbytes", "4096"),
            ],
            &[
                // librdkafka wants a name, although nothing is committed under it.
                ("group.id", group),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("enable.partition.eof", "true"),
                ("isolation.level", "read_committed"),
                // Retention may have deleted the first record.
                ("auto.offset.reset", "earliest"),
            ],
        )?;
        // Reads from the leader. The end of a replica that lags behind could hide a note, and its letter would be sent twice.
        config.set("client.rack", "");
        Ok(Self { config, topic: topic.to_owned() })
    }

    /// The name of the topic.
    pub fn name(&self) -> &str {
        &self.topic
    }

    /// A consumer of the topic from this offset on.
    pub(super) fn open(&self, from: i64) -> Result<BaseConsumer<ClientLog>, KafkaError> {
        let consumer: BaseConsumer<ClientLog> = self.config.create_with_context(ClientLog)?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, PARTITION, Offset::Offset(from))?;
        consumer.assign(&assignment)?;
        Ok(consumer)
    }

    /// The records at these offsets, which must ascend, as far as they exist.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn read(&self, offsets: &[i64]) -> Result<HashMap<i64, OwnedMessage>, DeadLetterTopicError> {
        let mut records = HashMap::with_capacity(offsets.len());
        let Some(mut next) = offsets.first().copied() else { return Ok(records) };
        let (consumer, deadline) = (self.open(next)?, Instant::now() + PATIENCE);
        for offset in offsets {
            if offset - next > READ_THROUGH {
                consumer.seek(&self.topic, PARTITION, Offset::Offset(*offset), PATIENCE)?;
                next = *offset;
            }
            while next <= *offset {
                match self.poll(&consumer, deadline)? {
                    Some(record) => {
                        next = record.offset() + 1;
                        if record.offset() == *offset {
                            records.insert(*offset, record.detach());
                        }
                    }
                    None => return Ok(records),
                }
            }
        }
        Ok(records)
    }

    /// Shows every record from `from` up to `end`.
    ///
    /// # Errors
    /// The brokers do not answer, or there are too many records.
    pub(super) fn search(
        &self,
        from: i64,
        end: i64,
        mut show: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), DeadLetterTopicError> {
        let (consumer, deadline) = (self.open(from)?, Instant::now() + SEARCH_PATIENCE);
        let mut next = from;
        while next < end {
            if Instant::now() > deadline {
                return Err(self.timed_out());
            }
            // An end of the partition does not end the search: it may be one that an earlier fetch has reported.
            if let Some(record) = self.poll(&consumer, deadline)? {
                next = record.offset() + 1;
                show(&record);
            }
        }
        Ok(())
    }

    /// Reads the topic up to its present end into the index, which then has every letter and every note that was
    /// committed before the call.
    ///
    /// # Errors
    /// The brokers do not answer, or an open transaction hides the end.
    pub(crate) fn catch_up(&self, index: &Index) -> Result<(), DeadLetterTopicError> {
        let deadline = Instant::now() + PATIENCE;
        let consumer = self.open(index.next_offset())?;
        let mut config = self.config.clone();
        let uncommitted: BaseConsumer<ClientLog> =
            config.set("isolation.level", "read_uncommitted").create_with_context(ClientLog)?;
        let (_, end) = uncommitted.fetch_watermarks(&self.topic, PARTITION, PATIENCE)?;
        // Up to `end`, every transaction must be closed: the last stable offset hides what is behind an open one.
        while consumer.fetch_watermarks(&self.topic, PARTITION, PATIENCE)?.1 < end {
            if Instant::now() > deadline {
                return Err(self.timed_out());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // A new consumer, since the old one may still report an earlier end.
        drop(consumer);
        let consumer = self.open(index.next_offset())?;
        // While letters keep coming, the partition may never report its end; `end` is enough.
        while let Some(record) = self.poll(&consumer, deadline)? {
            index.take(&record);
            if record.offset() >= end - 1 {
                break;
            }
        }
        index.set_loaded();
        Ok(())
    }

    /// The next record; `None` at the end.
    fn poll<'a>(
        &self,
        consumer: &'a BaseConsumer<ClientLog>,
        deadline: Instant,
    ) -> Result<Option<BorrowedMessage<'a>>, DeadLetterTopicError> {
        loop {
            match consumer.poll(POLL) {
                Some(Ok(record)) => return Ok(Some(record)),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                // librdkafka tries again by itself.
                Some(Err(_)) | None if Instant::now() < deadline => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(self.timed_out()),
            }
        }
    }

    fn timed_out(&self) -> DeadLetterTopicError {
        DeadLetterTopicError::TimedOut { topic: self.topic.clone() }
    }
}
