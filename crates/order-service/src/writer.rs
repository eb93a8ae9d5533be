//! The transactional producer: all of a batch, or nothing of it.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use order_events::ClientLog;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext, Message, TopicPartitionList};
use tracing::warn;

use crate::changelog::{Key, Mark};

/// How long each step of a transaction may take. The brokers abort one that takes longer than
/// `transaction.timeout.ms` in all.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(3);
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
const ABORT_TIMEOUT: Duration = Duration::from_secs(3);
const INIT_TIMEOUT: Duration = Duration::from_secs(3);

/// So much later than its time-out, a call of librdkafka is taken to never come back.
const OVERTIME: Duration = Duration::from_millis(500);

/// Between two looks at what is still in flight: `poll` with a time-out spins, and `flush` sleeps for 100 ms.
const DRAIN_INTERVAL: Duration = Duration::from_micros(100);

/// The next transaction comes so long after a commit: the broker answers a commit before it has written the markers,
/// and refuses a transaction that comes meanwhile, on which librdkafka waits 20 ms.
const MARKERS_TIME: Duration = Duration::from_millis(2);

/// The number of a record, and the record where it is now.
pub(crate) type Delivered = (usize, Mark);

/// Of a record that nobody asks for.
const NO_NUMBER: usize = usize::MAX;

/// The property that makes a producer transactional.
pub(crate) const TRANSACTIONAL_ID: &str = "transactional.id";

/// Why a transaction did not go through.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of it will ever be seen; the same can be tried again.
    Aborted(KafkaError),
    /// It may have been committed, or another producer has taken over: a new producer and a barrier tell.
    Unknown(KafkaError),
    /// The same, and librdkafka does not come back from a call: threads and queues of the producer stay.
    LeftBehind(KafkaError),
}

impl Failure {
    fn into_error(self) -> KafkaError {
        match self {
            Self::Aborted(error) | Self::Unknown(error) | Self::LeftBehind(error) => error,
        }
    }
}

/// A record of a transaction.
pub(crate) struct NewRecord<'a> {
    /// Where it goes.
    pub(crate) topic: &'a str,
    /// Its partition there.
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Option<OwnedHeaders>,
    /// If it has a number, its place will be told under it.
    pub(crate) number: Option<usize>,
}

/// What a transaction needs of a producer.
pub(crate) trait TransactionWriter {
    /// Begins a transaction.
    fn begin(&self) -> Result<(), Failure>;

    /// Queues one record of it.
    fn send(&self, record: NewRecord<'_>) -> Result<(), KafkaError>;

    /// Waits until every record is delivered. Before the offsets are sent: a record must not land behind a
    /// successor's barrier.
    fn drain(&self) -> Result<(), KafkaError>;

    /// Waits as well; gives the numbered records.
    fn delivered(&self) -> Result<Vec<Delivered>, KafkaError>;

    /// Commits what was sent since [`begin`](Self::begin), with the consumed offsets if there are any. Without
    /// transactions, the records are delivered when it returns, and the consumed offsets are the caller's business.
    fn commit(&self, offsets: Option<(TopicPartitionList, ConsumerGroupMetadata)>) -> Result<(), Failure>;

    /// Aborts the transaction after `error`.
    fn give_up(&self, error: KafkaError) -> Failure;
}

/// A producer with a transactional id; or, for `at_least_once`, an idempotent one without transactions.
pub(crate) struct Writer {
    producer: Arc<BaseProducer<Deliveries>>,
    transactional: bool,
    committed_at: Cell<Option<Instant>>,
}

impl Writer {
    /// Makes the producer and initialises its id, if it has one: that aborts what an earlier producer of the
    /// same id left open, and fences it.
    pub(crate) fn init(config: &ClientConfig) -> Result<Self, KafkaError> {
        let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries::default())?;
        let transactional = config.get(TRANSACTIONAL_ID).is_some();
        if transactional {
            producer.init_transactions(INIT_TIMEOUT)?;
        }
        Ok(Self { producer: Arc::new(producer), transactional, committed_at: Cell::new(None) })
    }

    /// Whether the broker is done with the last transaction, as far as can be told.
    pub(crate) fn is_idle(&self) -> bool {
        self.committed_at.get().is_none_or(|at| at.elapsed() >= MARKERS_TIME)
    }

    /// Whether what is given up is taken back.
    pub(crate) fn is_transactional(&self) -> bool {
        self.transactional
    }

    /// Adds the consumed offsets to the transaction. librdkafka forgets the time-out of this call while it looks for
    /// the group's coordinator (librdkafka#5456), and looks for ever if that one was missing in the metadata for a
    /// moment (librdkafka#5511). So the call has a thread of its own. If it does not come back, the thread is left
    /// behind, and the producer with it; the next one with its id fences it.
    fn send_offsets(&self, offsets: TopicPartitionList, group: ConsumerGroupMetadata) -> Result<(), Failure> {
        let (sender, sent) = mpsc::sync_channel(1);
        let producer = self.producer.clone();
        let call = move || {
            let result = producer.send_offsets_to_transaction(&offsets, &group, OFFSETS_TIMEOUT);
            // The caller's is the last one then, unless it has given up.
            drop(producer);
            let _ = sender.send(result);
        };
        if let Err(error) = thread::Builder::new().name("offsets".to_owned()).spawn(call) {
            warn!(%error, "no thread for the consumed offsets");
            return Err(self.give_up(KafkaError::ConsumerCommit(Code::Fail)));
        }
        match sent.recv_timeout(OFFSETS_TIMEOUT + OVERTIME) {
            Ok(result) => result.map_err(|error| self.give_up(error)),
            Err(_) => {
                warn!("librdkafka does not come back from sending offsets; its producer is left behind");
                Err(Failure::LeftBehind(KafkaError::ConsumerCommit(Code::OperationTimedOut)))
            }
        }
    }

    /// Aborts the transaction, as far as the brokers answer; else the next producer with its id does.
    pub(crate) fn abort(&self) {
        let _ = self.give_up(KafkaError::Canceled);
    }

    /// Aborts a transaction that has a record in each of these partitions. Its control records end everything that this id
    /// has open there, also what the coordinator takes for complete.
    pub(crate) fn abort_in(&self, topic: &str, partitions: &[i32]) -> Result<(), KafkaError> {
        self.begin().map_err(Failure::into_error)?;
        let key = Key::Barrier.as_text();
        for partition in partitions {
            let record = NewRecord {
                topic,
                partition: *partition,
                key: Some(key.as_bytes()),
                value: None,
                headers: None,
                number: None,
            };
            self.send(record)?;
        }
        self.drain()?;
        self.producer.abort_transaction(ABORT_TIMEOUT)
    }

    /// Forgets what is not delivered. An abort waits for it, and only a poll takes it off the books.
    fn purge(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::ZERO);
        }
    }

    fn deliveries(&self) -> &Deliveries {
        self.producer.context()
    }
}

impl TransactionWriter for Writer {
    fn begin(&self) -> Result<(), Failure> {
        self.deliveries().reset();
        if !self.transactional {
            return Ok(());
        }
        self.producer.begin_transaction().map_err(|error| self.give_up(error))
    }

    fn send(&self, new: NewRecord<'_>) -> Result<(), KafkaError> {
        let opaque = new.number.unwrap_or(NO_NUMBER);
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(new.topic, opaque);
        (record.partition, record.headers) = (Some(new.partition), new.headers);
        (record.key, record.payload) = (new.key, new.value);
        let mut full_since = None;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back))
                    if full_since.get_or_insert_with(Instant::now).elapsed() < DRAIN_TIMEOUT =>
                {
                    record = back;
                    self.producer.poll(Duration::ZERO);
                    thread::sleep(DRAIN_INTERVAL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn drain(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::ZERO);
            if self.deliveries().failed() || Instant::now() > deadline {
                break;
            }
            if self.producer.in_flight_count() > 0 {
                thread::sleep(DRAIN_INTERVAL);
            }
        }
        match self.deliveries().take_error() {
            Some(error) => Err(error),
            None if self.producer.in_flight_count() > 0 => {
                Err(KafkaError::MessageProduction(Code::MessageTimedOut))
            }
            None => Ok(()),
        }
    }

    fn delivered(&self) -> Result<Vec<Delivered>, KafkaError> {
        self.drain()?;
        Ok(self.deliveries().take())
    }

    fn commit(&self, offsets: Option<(TopicPartitionList, ConsumerGroupMetadata)>) -> Result<(), Failure> {
        self.drain().map_err(|error| self.give_up(error))?;
        if !self.transactional {
            return Ok(());
        }
        if let Some((offsets, group)) = offsets {
            self.send_offsets(offsets, group)?;
        }
        match self.producer.commit_transaction(COMMIT_TIMEOUT) {
            Ok(()) => {
                self.committed_at.set(Some(Instant::now()));
                Ok(())
            }
            // Also a commit that timed out may come through yet, even into the next transaction of this producer
            // (librdkafka#5423).
            Err(error) => Err(Failure::Unknown(error)),
        }
    }

    fn give_up(&self, error: KafkaError) -> Failure {
        if is_fatal(&error) {
            return Failure::Unknown(error);
        }
        self.purge();
        if !self.transactional {
            return Failure::Aborted(error);
        }
        match self.producer.abort_transaction(ABORT_TIMEOUT) {
            Ok(()) => Failure::Aborted(error),
            Err(_) => Failure::Unknown(error),
        }
    }
}

/// The producer cannot go on: it was fenced, or lost its place in the log.
fn is_fatal(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_fatal(),
        error => matches!(error.rdkafka_error_code(), Some(Code::Fatal | Code::Fenced)),
    }
}

/// The delivery reports of one transaction. They come inside the producer's poll.
#[derive(Default)]
struct Deliveries {
    log: ClientLog,
    reports: Mutex<Reports>,
}

#[derive(Default)]
struct Reports {
    numbered: Vec<Delivered>,
    error: Option<KafkaError>,
}

impl Reports {
    /// A broker that had a record already, when it was sent once more, may not tell its offset
    /// (`DUPLICATE_SEQUENCE_NUMBER`). What lies at an offset that nobody knows cannot be built upon: the transaction is
    /// tried again.
    fn note(&mut self, number: usize, record: &impl Message) {
        if record.offset() < 0 {
            self.error.get_or_insert(KafkaError::MessageProduction(Code::NoOffset));
        } else {
            self.numbered.push((number, Mark::of(record)));
        }
    }
}

impl Deliveries {
    fn with<T>(&self, look: impl FnOnce(&mut Reports) -> T) -> T {
        look(&mut self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reset(&self) {
        self.with(|reports| *reports = Reports::default());
    }

    fn failed(&self) -> bool {
        self.with(|reports| reports.error.is_some())
    }

    fn take_error(&self) -> Option<KafkaError> {
        self.with(|reports| reports.error.take())
    }

    fn take(&self) -> Vec<Delivered> {
        self.with(|reports| std::mem::take(&mut reports.numbered))
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, report: &DeliveryResult<'_>, opaque: usize) {
        match report {
            Ok(_) if opaque == NO_NUMBER => {}
            Ok(record) => self.with(|reports| reports.note(opaque, record)),
            Err((error, _)) => self.with(|reports| {
                reports.error.get_or_insert_with(|| error.clone());
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Offset;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::{OwnedMessage, Timestamp};
    use rdkafka::mocking::{MockCluster, MockCoordinator};

    use super::*;

    const LEADER: i32 = 1;
    const COORDINATOR: i32 = 2;

    /// One transaction with offsets.
    fn transaction(writer: &Writer, group: ConsumerGroupMetadata) -> Result<(), Failure> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("events", 0, Offset::Offset(1)).unwrap();
        writer.begin()?;
        let (topic, key) = ("changelog", Some(b"key".as_slice()));
        let record = NewRecord { topic, partition: 0, key, value: None, headers: None, number: None };
        writer.send(record).unwrap();
        writer.commit(Some((offsets, group)))
    }

    #[test]
    fn a_record_whose_offset_is_not_told_fails_its_transaction() {
        let mut reports = Reports::default();
        let at = |offset| {
            OwnedMessage::new(None, None, "topic".to_owned(), Timestamp::NotAvailable, 0, offset, None)
        };
        reports.note(0, &at(7));
        assert!(reports.error.is_none());
        reports.note(1, &at(Offset::Invalid.to_raw().unwrap()));
        let code = reports.error.unwrap().rdkafka_error_code();
        assert_eq!((code, reports.numbered), (Some(Code::NoOffset), vec![(0, Mark::of(&at(7)))]));
    }

    /// With one broker, as in the other tests, the coordinator of a group cannot be away alone.
    #[test]
    fn a_call_that_waits_for_the_groups_coordinator_for_ever_is_left_behind() {
        let cluster = MockCluster::new(2).unwrap();
        for topic in ["events", "changelog"] {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        cluster.partition_leader("changelog", 0, Some(LEADER)).unwrap();
        cluster.coordinator(MockCoordinator::Transaction("writer".to_owned()), LEADER).unwrap();
        cluster.coordinator(MockCoordinator::Group("group".to_owned()), COORDINATOR).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        config.set("transactional.id", "writer").set("transaction.timeout.ms", "15000");
        let consumer: BaseConsumer =
            config.clone().remove("transactional.id").set("group.id", "group").create().unwrap();
        let group = || consumer.group_metadata().unwrap();

        let writer = Writer::init(&config).unwrap();
        transaction(&writer, group()).unwrap();
        cluster.broker_down(COORDINATOR).unwrap();
        let began = Instant::now();
        let failure = transaction(&writer, group()).unwrap_err();
        assert!(matches!(failure, Failure::LeftBehind(_)), "{failure:?}");
        assert!(began.elapsed() < 3 * OFFSETS_TIMEOUT, "{:?}", began.elapsed());

        cluster.broker_up(COORDINATOR).unwrap();
        drop(writer);
        transaction(&Writer::init(&config).unwrap(), group()).unwrap();
    }
}
