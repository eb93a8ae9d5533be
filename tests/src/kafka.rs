//! Kafka, looked at with a client of the test's own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::task::block_in_place;

use crate::wait::{PATIENCE, until};

/// How long brokers may take to say who leads a partition.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);

/// How long the control records of a commit may take.
const CONTROL_RECORDS_PATIENCE: Duration = Duration::from_secs(1);

/// A topic on a broker.
#[derive(Clone)]
pub struct Topic {
    servers: String,
    name: String,
}

/// A record, with all that a test may ask of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub partition: i32,
    /// Where it is.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    pub(crate) fn of<M: Message>(message: &M) -> Self {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    /// The value of the last header of this name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().rfind(|(key, _)| key == name)?;
        value.clone().map(|value| String::from_utf8(value).unwrap())
    }
}

impl Topic {
    pub(crate) fn new(servers: String, name: &str) -> Self {
        Self { servers, name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings of a client of its broker.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    /// Everything in it, by partition and offset; committed records only, and none behind a transaction that is open.
    pub fn read(&self) -> Vec<Record> {
        self.try_read().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`read`](Self::read); or why it cannot be read.
    pub(crate) fn try_read(&self) -> Result<Vec<Record>, String> {
        self.wait_for_control_records();
        let consumer =
            self.committed_from_the_beginning().map_err(|error| format!("{}: {error}", self.name))?;
        let mut open = consumer.assignment().unwrap().count();
        let deadline = Instant::now() + PATIENCE;
        let mut records = Vec::new();
        while open > 0 {
            if Instant::now() >= deadline {
                return Err(format!("{} cannot be read to its end", self.name));
            }
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(Record::of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => return Err(format!("{}: {error}", self.name)),
                None => {}
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Waits until what was committed before can be read: a broker answers a commit before it has written the control
    /// records. Not for long: a test may leave a transaction open.
    fn wait_for_control_records(&self) {
        let [committed, all] = ["read_committed", "read_uncommitted"].map(|level| self.reader(level));
        let end = |consumer: &BaseConsumer, partition| {
            let watermarks = consumer.fetch_watermarks(&self.name, partition, LEADER_PATIENCE);
            watermarks.map_or(0, |(_, end)| end)
        };
        let deadline = Instant::now() + CONTROL_RECORDS_PATIENCE;
        for partition in self.partitions(&all) {
            let written = end(&all, partition);
            while end(&committed, partition) < written && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// A consumer of all that is committed in it.
    pub(crate) fn committed_from_the_beginning(&self) -> Result<BaseConsumer, KafkaError> {
        let consumer = self.reader("read_committed");
        let mut assignment = TopicPartitionList::new();
        for partition in self.try_partitions(&consumer)? {
            assignment.add_partition_offset(&self.name, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        Ok(consumer)
    }

    fn reader(&self, isolation_level: &str) -> BaseConsumer {
        self.client()
            .set("group.id", "end-to-end-tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // The end is known after this long.
            .set("fetch.wait.max.ms", "10")
            .set("isolation.level", isolation_level)
            .set("auto.offset.reset", "error")
            .create()
            .unwrap()
    }

    /// The node id of a partition's leader, as any broker says. `None` if it has none, or no broker answers.
    pub fn leader(&self, partition: i32) -> Option<i32> {
        let client: BaseConsumer = self.client().create().unwrap();
        let metadata = client.fetch_metadata(Some(&self.name), LEADER_PATIENCE).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        let leader = partitions.iter().find(|found| found.id() == partition)?.leader();
        (leader >= 0).then_some(leader)
    }

    /// Whether every replica of every partition of these brokers' topics is in sync, as any broker says.
    pub(crate) fn all_in_sync(&self) -> bool {
        let client: BaseConsumer = self.client().create().unwrap();
        let Ok(metadata) = client.fetch_metadata(None, LEADER_PATIENCE) else { return false };
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.all(|partition| partition.isr().len() == partition.replicas().len())
    }

    /// Another topic on the same brokers.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self::new(self.servers.clone(), name)
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> i32 {
        let client: BaseConsumer = self.client().create().unwrap();
        i32::try_from(self.partitions(&client).len()).unwrap()
    }

    fn partitions(&self, consumer: &BaseConsumer) -> Vec<i32> {
        self.try_partitions(consumer).unwrap()
    }

    fn try_partitions(&self, consumer: &BaseConsumer) -> Result<Vec<i32>, KafkaError> {
        let metadata = consumer.fetch_metadata(Some(&self.name), PATIENCE)?;
        Ok(metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect())
    }

    /// The offsets that a consumer group has committed, by partition; none where it has committed nothing.
    pub fn committed_by(&self, group: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        for partition in self.partitions(&consumer) {
            asked.add_partition(&self.name, partition);
        }
        let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
        let committed = committed.elements().into_iter();
        committed
            .filter_map(|element| {
                Some((element.partition(), element.offset().to_raw().filter(|offset| *offset > 0)?))
            })
            .collect()
    }

    /// Waits until everything that is in it now can be read. A transaction of an instance that was killed is open for a
    /// while, and hides what was committed behind it. Or gives that one stays open.
    pub(crate) async fn settled(&self) -> Result<(), String> {
        let [all, committed] = ["read_uncommitted", "read_committed"].map(|level| self.reader(level));
        let end = |consumer: &BaseConsumer, partition| {
            block_in_place(|| consumer.fetch_watermarks(&self.name, partition, PATIENCE)).unwrap().1
        };
        for partition in block_in_place(|| self.partitions(&all)) {
            let end_now = end(&all, partition);
            let is_settled = async || (end(&committed, partition) >= end_now).then_some(());
            let settled = until(PATIENCE, is_settled).await;
            settled
                .ok_or_else(|| format!("a transaction stays open in {}, partition {partition}", self.name))?;
        }
        Ok(())
    }

    /// Puts a record into it; gives its partition and offset.
    pub async fn write(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) -> (i32, i64) {
        self.write_compressed(key, value, headers, "none").await
    }

    /// Puts a record into it in a transaction: the log of its partition ends with the mark of that. Gives its partition and
    /// offset.
    pub fn write_in_transaction(&self, key: &[u8], value: &[u8]) -> (i32, i64) {
        let producer: BaseProducer = self
            .client()
            .set("partitioner", "murmur2_random")
            .set("transactional.id", format!("writes-{}", self.name))
            .create()
            .unwrap();
        block_in_place(|| {
            producer.init_transactions(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
            producer
                .send(BaseRecord::to(&self.name).key(key).payload(value))
                .map_err(|(error, _)| error)
                .unwrap();
            producer.flush(PATIENCE).unwrap();
            producer.commit_transaction(PATIENCE).unwrap();
        });
        let record = self.read().into_iter().rfind(|record| record.key.as_deref() == Some(key)).unwrap();
        (record.partition, record.offset)
    }

    /// The same as [`write`](Self::write), by a client that compresses: the broker takes what is small then.
    pub async fn write_compressed(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
        compression: &str,
    ) -> (i32, i64) {
        let producer: FutureProducer = self
            .client()
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "20000000")
            .set("compression.type", compression)
            .create()
            .unwrap();
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.name).headers(headers);
        record.key = key;
        record.payload = value;
        let delivery = producer.send(record, PATIENCE).await.unwrap();
        (delivery.partition, delivery.offset)
    }
}
