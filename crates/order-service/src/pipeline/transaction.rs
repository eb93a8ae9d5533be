//! One transaction: what it holds, and in which order.
//!
//! 1. Of each partition, its dead letters, and the wait until they are delivered.
//! 2. Of each partition, the changelog: states, windows of outcomes, what identifies it, progress last.
//! 3. The wait for all deliveries, and a look at the offsets that they got.
//! 4. The consumed offsets, and the commit.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::encoded::EncodedBatch;
use super::partition::Partition;
use super::{PipelineError, index_of};
use crate::changelog::Key;
use crate::dead_letters::{self, DeadLetter};
use crate::mark::Mark;
use crate::settings::TopicNames;
use crate::writer::{Delivered, Failure, NewRecord, TransactionWriter};

/// Why nothing was committed.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The transaction failed.
    Failed(Failure),
    /// The dead letters could not be written, and so the transaction failed.
    LettersRefused(Failure),
    /// New records got offsets that the changelog had given before, for this reason, and so the transaction was aborted.
    OtherChangelog(String, Failure),
    /// The pipeline cannot go on.
    Error(PipelineError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: Into<PipelineError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// The number of the record that identifies the changelog; all others have their partition's.
const IDENTITY: usize = usize::MAX - 1;

/// A transaction that has begun.
pub(super) struct Transaction<'a, W> {
    writer: &'a W,
    topics: &'a TopicNames,
}

impl<'a, W: TransactionWriter> Transaction<'a, W> {
    /// Begins it.
    pub(super) fn begin(writer: &'a W, topics: &'a TopicNames) -> Result<Self, Stopped> {
        writer.begin()?;
        Ok(Self { writer, topics })
    }

    /// Gives it up after an error.
    pub(super) fn give_up(&self, error: KafkaError) -> Stopped {
        self.writer.give_up(error).into()
    }

    /// Writes what a batch makes of one partition.
    pub(super) fn write(&self, group: &str, encoded: &EncodedBatch) -> Result<(), Stopped> {
        let letters = self.send_letters(group, &encoded.batch.letters);
        letters.map_err(|error| Stopped::LettersRefused(self.writer.give_up(error)))?;
        self.send_changelog(encoded).map_err(|error| self.give_up(error))
    }

    /// Writes a barrier into these partitions.
    pub(super) fn write_barriers(&self, numbers: &[i32], barrier: &[u8]) -> Result<(), Stopped> {
        let key = Key::Barrier.as_text();
        for number in numbers {
            let sent = self.send(*number, &key, Some(barrier), Some(index_of(*number)));
            sent.map_err(|error| self.give_up(error))?;
        }
        Ok(())
    }

    /// Waits until the dead letters are there: then it is known whether they were refused, and without transactions nothing
    /// that comes behind them is found without them after a crash.
    fn send_letters(&self, group: &str, letters: &[DeadLetter]) -> Result<(), KafkaError> {
        if letters.is_empty() {
            return Ok(());
        }
        for letter in letters {
            self.writer.send(NewRecord {
                topic: &self.topics.dead_letters,
                partition: dead_letters::PARTITION,
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                headers: Some(letter.headers(&self.topics.events, group)),
                number: None,
            })?;
        }
        self.writer.drain()
    }

    /// Queues the records of one partition. The first one shows whether the log goes on where it ended.
    fn send_changelog(&self, encoded: &EncodedBatch) -> Result<(), KafkaError> {
        let number = encoded.batch.number;
        let mut first = Some(index_of(number));
        for (order_id, state) in &encoded.states {
            self.send(number, order_id, state.as_deref(), first.take())?;
        }
        for (from, window) in &encoded.windows {
            self.send(number, &Key::Outcomes(*from).as_text(), window.as_deref(), first.take())?;
        }
        if let Some(identity) = &encoded.identity {
            self.send(number, &Key::Identity.as_text(), Some(identity), Some(IDENTITY))?;
        }
        self.send(number, &Key::Progress.as_text(), Some(&encoded.progress), Some(index_of(number)))
    }

    /// Queues a record of the changelog.
    fn send(
        &self,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        number: Option<usize>,
    ) -> Result<(), KafkaError> {
        let (topic, key) = (self.topics.changelog.as_str(), Some(key.as_bytes()));
        self.writer.send(NewRecord { topic, partition, key, value, headers: None, number })
    }

    /// Commits it, with the consumed offsets if there are any. Gives what the changelog has of it now.
    pub(super) fn commit(
        self,
        partitions: &[Partition],
        consumed: Option<(TopicPartitionList, ConsumerGroupMetadata)>,
    ) -> Result<Written, Stopped> {
        let written = self.delivered(partitions)?;
        self.writer.commit(consumed)?;
        Ok(written)
    }

    /// Waits until the records are delivered, and gives the transaction up if they got offsets that the changelog had
    /// given before: without its progress record, the next start processes the events again. In `at_least_once` what was
    /// sent cannot be taken back, the progress included.
    fn delivered(&self, partitions: &[Partition]) -> Result<Written, Stopped> {
        let written = Written(self.writer.delivered().map_err(|error| self.give_up(error))?);
        match written.seems_another_changelog(partitions) {
            None => Ok(written),
            Some(reason) => {
                let failure = self.writer.give_up(KafkaError::MessageProduction(Code::NoOffset));
                Err(Stopped::OtherChangelog(reason, failure))
            }
        }
    }
}

/// Records of the changelog that were delivered.
pub(super) struct Written(Vec<Delivered>);

impl Written {
    /// The records of partitions, by their index; that which identifies the changelog is none of them.
    pub(super) fn marks(&self) -> impl Iterator<Item = (usize, Mark)> {
        self.0.iter().copied().filter(|(number, _)| *number != IDENTITY)
    }

    /// The record that identifies the changelog, if it was written.
    pub(super) fn identity(&self) -> Option<Mark> {
        self.0.iter().find(|(number, _)| *number == IDENTITY).map(|(_, mark)| *mark)
    }

    /// Why the changelog seems to be another one, if so: new records lie before older ones, and what those said is gone.
    fn seems_another_changelog(&self, partitions: &[Partition]) -> Option<String> {
        self.marks().find_map(|(index, Mark { offset, .. })| {
            let known = partitions.get(index)?.known();
            (offset <= known)
                .then(|| format!("partition {index} was known up to {known}, a new record got {offset}"))
        })
    }
}
