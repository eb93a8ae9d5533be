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
use crate::changelog::{Key, Mark};
use crate::dead_letters::{self, DeadLetter};
use crate::settings::TopicNames;
use crate::writer::{Delivered, Failure, NewRecord, TransactionWriter};

/// Why nothing was committed.
#[derive(Debug)]
pub(super) enum NotCommitted {
    /// The transaction failed.
    Failed(Failure),
    /// The dead letters could not be written, and so the transaction failed.
    LettersRefused(Failure),
    /// New records got offsets that the changelog had given before, for this reason, and so the transaction was aborted.
    OtherChangelog(String, Failure),
    /// The pipeline cannot go on.
    Error(PipelineError),
}

impl From<Failure> for NotCommitted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: Into<PipelineError>> From<E> for NotCommitted {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// The number of the record that identifies the changelog; all others have their partition's.
const IDENTITY: usize = usize::MAX - 1;

/// A transaction that has begun. It ends with [`commit`](Self::commit) or [`give_up`](Self::give_up); after an error that ends
/// the process, the next producer with its id ends it.
pub(super) struct Transaction<'a, W> {
    writer: &'a W,
    topics: &'a TopicNames,
}

impl<'a, W: TransactionWriter> Transaction<'a, W> {
    /// Begins it.
    pub(super) fn begin(writer: &'a W, topics: &'a TopicNames) -> Result<Self, NotCommitted> {
        writer.begin()?;
        Ok(Self { writer, topics })
    }

    /// Gives it up after an error.
    pub(super) fn give_up(&self, error: KafkaError) -> NotCommitted {
        self.writer.give_up(error).into()
    }

    /// Writes what a batch makes of one partition.
    pub(super) fn write(&self, group: &str, encoded: &EncodedBatch) -> Result<(), NotCommitted> {
        let letters = self.send_letters(group, &encoded.batch.letters);
        letters.map_err(|error| NotCommitted::LettersRefused(self.writer.give_up(error)))?;
        self.send_changelog(encoded).map_err(|error| self.give_up(error))
    }

    /// Writes a barrier into these partitions.
    pub(super) fn write_barriers(&self, numbers: &[i32], barrier: &[u8]) -> Result<(), NotCommitted> {
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
    ) -> Result<Written, NotCommitted> {
        let written = self.delivered(partitions)?;
        self.writer.commit(consumed)?;
        Ok(written)
    }

    /// Waits until the records are delivered, and gives the transaction up if they got offsets that the changelog had
    /// given before: without its progress record, the next start processes the events again. In `at_least_once` what was
    /// sent cannot be taken back, the progress included.
    fn delivered(&self, partitions: &[Partition]) -> Result<Written, NotCommitted> {
        let written = Written(self.writer.delivered().map_err(|error| self.give_up(error))?);
        match written.seems_another_changelog(partitions) {
            None => Ok(written),
            Some(reason) => {
                let failure = self.writer.give_up(KafkaError::MessageProduction(Code::NoOffset));
                Err(NotCommitted::OtherChangelog(reason, failure))
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use order_events::Reason;
    use rdkafka::message::{OwnedMessage, Timestamp};

    use super::*;
    use crate::changelog::Progress;
    use crate::event::outcome::Rejection;
    use crate::pipeline::batch::PartitionBatch;

    /// Notes what it is asked to do. What it is told to refuse fails.
    struct FakeWriter {
        calls: RefCell<Vec<String>>,
        numbered: RefCell<Vec<Delivered>>,
        /// The offset of the next record in the changelog.
        next_offset: RefCell<i64>,
        refuses: Option<&'static str>,
    }

    impl FakeWriter {
        fn new(next_offset: i64, refuses: Option<&'static str>) -> Self {
            let (calls, numbered) = Default::default();
            Self { calls, numbered, next_offset: RefCell::new(next_offset), refuses }
        }

        fn call(&self, call: String) -> Result<(), KafkaError> {
            let is_refused = self.refuses.is_some_and(|refused| call.starts_with(refused));
            self.calls.borrow_mut().push(call);
            if is_refused { Err(KafkaError::Canceled) } else { Ok(()) }
        }
    }

    impl TransactionWriter for FakeWriter {
        fn begin(&self) -> Result<(), Failure> {
            self.call("begin".to_owned()).map_err(Failure::Aborted)
        }

        fn send(&self, record: NewRecord<'_>) -> Result<(), KafkaError> {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            let what = if record.value.is_some() { "" } else { " deleted" };
            self.call(format!("{}/{} {key}{what}", record.topic, record.partition))?;
            if record.topic == "changelog" {
                let offset = self.next_offset.replace_with(|offset| *offset + 1);
                self.numbered.borrow_mut().extend(record.number.map(|number| (number, Mark::at(offset))));
            }
            Ok(())
        }

        fn drain(&self) -> Result<(), KafkaError> {
            self.call("drain".to_owned())
        }

        fn delivered(&self) -> Result<Vec<Delivered>, KafkaError> {
            self.call("delivered".to_owned())?;
            Ok(self.numbered.take())
        }

        fn commit(
            &self,
            offsets: Option<(TopicPartitionList, ConsumerGroupMetadata)>,
        ) -> Result<(), Failure> {
            assert!(offsets.is_none());
            self.call("commit".to_owned()).map_err(Failure::Unknown)
        }

        fn give_up(&self, error: KafkaError) -> Failure {
            self.calls.borrow_mut().push("abort".to_owned());
            Failure::Aborted(error)
        }
    }

    fn topics() -> TopicNames {
        TopicNames {
            events: "events".to_owned(),
            changelog: "changelog".to_owned(),
            dead_letters: "dead-letters".to_owned(),
        }
    }

    fn batch(number: i32) -> PartitionBatch {
        let partition = Partition::new(number, "off".parse().unwrap());
        PartitionBatch::new(&partition, Progress { next_offset: 5, ..Progress::default() }, 0)
    }

    /// Of partition 0: a letter, a state, a window that goes, the identity and the progress.
    fn full_batch() -> EncodedBatch {
        let (value, key) = (Some(b"no event".to_vec()), Some(b"letter".to_vec()));
        let record = OwnedMessage::new(value, key, "events".to_owned(), Timestamp::NotAvailable, 0, 5, None);
        let mut batch = batch(0);
        batch.reject(&record, Rejection::new(Reason::Undecodable, "it is no event"));
        let states = vec![("ORD-1".into(), Some(Box::from(*b"state")))];
        let (windows, progress, identity) = (vec![(4096, None)], vec![1], Some(vec![2]));
        EncodedBatch { batch, states, windows, progress, identity }
    }

    /// Of partition 1: only the progress.
    fn small_batch() -> EncodedBatch {
        let (states, windows) = Default::default();
        EncodedBatch { batch: batch(1), states, windows, progress: vec![1], identity: None }
    }

    /// Partitions of which the changelog is known up to this offset.
    fn known(offset: i64) -> [Partition; 2] {
        [0, 1].map(|number| {
            let mut partition = Partition::new(number, "off".parse().unwrap());
            partition.stored(Mark::at(offset));
            partition
        })
    }

    /// Both batches in one transaction.
    fn run(writer: &FakeWriter, known_up_to: i64) -> Result<Written, NotCommitted> {
        let topics = topics();
        let transaction = Transaction::begin(writer, &topics)?;
        transaction.write("group", &full_batch())?;
        transaction.write("group", &small_batch())?;
        transaction.commit(&known(known_up_to), None)
    }

    const BEGUN_WITH_LETTERS: [&str; 3] = ["begin", "dead-letters/0 letter", "drain"];

    #[test]
    fn letters_come_first_and_the_progress_last_and_the_commit_after_all_deliveries() {
        let writer = FakeWriter::new(10, None);
        let written = run(&writer, 9).unwrap();
        let of_changelog =
            [("ORD-1", ""), (&Key::Outcomes(4096).as_text(), " deleted"), (&Key::Identity.as_text(), "")]
                .map(|(key, what)| format!("changelog/0 {key}{what}"));
        let progress = [0, 1].map(|number| format!("changelog/{number} {}", Key::Progress.as_text()));
        let expected = BEGUN_WITH_LETTERS.map(str::to_owned).into_iter().chain(of_changelog).chain(progress);
        let expected: Vec<String> = expected.chain(["delivered", "commit"].map(str::to_owned)).collect();
        assert_eq!(*writer.calls.borrow(), expected);
        // The first record and the progress of each partition, and the identity.
        let marks = [(0, 10), (0, 13), (1, 14)].map(|(index, offset)| (index, Mark::at(offset)));
        assert_eq!(written.marks().collect::<Vec<_>>(), marks);
        assert_eq!(written.identity(), Some(Mark::at(12)));
    }

    #[test]
    fn where_letters_are_refused_nothing_else_is_written() {
        for refused in ["dead-letters", "drain"] {
            let writer = FakeWriter::new(10, Some(refused));
            assert!(matches!(run(&writer, 9), Err(NotCommitted::LettersRefused(_))), "{refused}");
            let calls = writer.calls.borrow();
            assert!(!calls.iter().any(|call| call.starts_with("changelog") || call == "commit"), "{calls:?}");
            assert_eq!(calls.last().map(String::as_str), Some("abort"));
        }
    }

    #[test]
    fn what_is_not_delivered_is_not_committed() {
        for refused in ["changelog/0 ORD-1", "changelog/1", "delivered"] {
            let writer = FakeWriter::new(10, Some(refused));
            assert!(matches!(run(&writer, 9), Err(NotCommitted::Failed(Failure::Aborted(_)))), "{refused}");
            let calls = writer.calls.borrow();
            assert_eq!(calls.last().map(String::as_str), Some("abort"), "{refused}");
            assert!(!calls.contains(&"commit".to_owned()), "{refused}");
        }
    }

    #[test]
    fn a_record_at_an_offset_that_was_given_before_is_taken_back() {
        let writer = FakeWriter::new(10, None);
        let Err(NotCommitted::OtherChangelog(reason, _)) = run(&writer, 10) else {
            panic!("it was committed")
        };
        assert_eq!(reason, "partition 0 was known up to 10, a new record got 10");
        assert_eq!(writer.calls.borrow().last().map(String::as_str), Some("abort"));
    }

    #[test]
    fn a_commit_that_fails_is_not_aborted() {
        let writer = FakeWriter::new(10, Some("commit"));
        assert!(matches!(run(&writer, 9), Err(NotCommitted::Failed(Failure::Unknown(_)))));
        assert!(!writer.calls.borrow().contains(&"abort".to_owned()));
    }

    #[test]
    fn barriers_go_into_each_partition() {
        let (writer, topics) = (FakeWriter::new(10, None), topics());
        let transaction = Transaction::begin(&writer, &topics).unwrap();
        transaction.write_barriers(&[0, 1], b"barrier").unwrap();
        let written = transaction.commit(&known(9), None).unwrap();
        assert_eq!(written.marks().collect::<Vec<_>>(), [(0, Mark::at(10)), (1, Mark::at(11))]);
        let key = Key::Barrier.as_text();
        let sent = [format!("changelog/0 {key}"), format!("changelog/1 {key}")];
        assert_eq!(writer.calls.borrow()[1..3], sent);
    }
}
