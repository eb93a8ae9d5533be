//! Looks what is in a log, with clients of their own: these know nothing of earlier leaders.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use order_events::ClientLog;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::Pipeline;
use super::damaged;
use super::tail::is_passing;

/// How long the brokers may take for one question.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// How long the coordinator of the group may take to tell what was committed.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(3);

/// A client that looks.
pub(super) type Looker = BaseConsumer<ClientLog>;

/// The configuration of a client that looks.
pub(super) fn config(pipeline: &Pipeline) -> ClientConfig {
    let mut config = pipeline.clients.watch();
    // librdkafka wants the name of a group, although it joins none. What is not committed yet proves as well that a
    // log is not shorter.
    config
        .set("client.id", "order-service-look")
        .set("group.id", &pipeline.group)
        // It must leave the group's offsets alone.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_uncommitted")
        // Behind what is asked for may be control records only.
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // The leader's answer, and at once.
        .set("client.rack", "")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100");
    config
}

/// Makes a client.
pub(super) fn looker(config: &ClientConfig) -> Result<Looker, KafkaError> {
    config.create_with_context(ClientLog)
}

/// Whether each partition has a leader. librdkafka calls a partition without one unknown, as if it did not exist.
pub(super) fn leaders(client: &Looker, topic: &str) -> Result<Vec<bool>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
    let Some(topic) = metadata.topics().first() else { return Ok(Vec::new()) };
    match topic.error() {
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None => Ok(topic.partitions().iter().map(|partition| partition.leader() >= 0).collect()),
    }
}

/// The first record at each of these places or behind it, as `of` sees it; `None` where there is none up to the end of the
/// partition. A partition that did not answer in time is missing.
///
/// It can be asked once of a client: librdkafka bears no second assignment so soon.
pub(super) fn first_behind<T>(
    client: &Looker,
    topic: &str,
    places: &[(i32, i64)],
    of: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Result<HashMap<i32, Option<T>>, KafkaError> {
    let mut assignment = TopicPartitionList::with_capacity(places.len());
    for (partition, offset) in places {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    client.assign(&assignment)?;
    let mut found = HashMap::with_capacity(places.len());
    let deadline = Instant::now() + TIMEOUT;
    while found.len() < places.len() {
        match client.poll(deadline.saturating_duration_since(Instant::now())) {
            Some(Ok(record)) => {
                found.entry(record.partition()).or_insert_with(|| Some(of(&record)));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                found.entry(partition).or_insert(None);
            }
            // librdkafka does not say of which partition: of more than one, all that say nothing are not known.
            Some(Err(error)) if error.rdkafka_error_code() == Some(Code::AutoOffsetReset) => {
                if let [(partition, _)] = places {
                    found.entry(*partition).or_insert(None);
                }
            }
            // Damaged records, say, or a broker that nobody needs for this.
            Some(Err(error))
                if is_passing(&error) || error.rdkafka_error_code().is_some_and(damaged::is_damaged) => {}
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    Ok(found)
}

/// The offsets that the group has committed of these partitions, all at once; `None` where it has none.
///
/// # Errors
/// Its coordinator does not answer in time, or of one of them.
pub(super) fn committed(
    client: &Looker,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<(i32, Option<i64>)>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let committed = client.committed_offsets(list, COMMITTED_TIMEOUT)?;
    let of = |partition: &i32| {
        let found = committed.find_partition(topic, *partition).ok_or_else(timed_out)?;
        found.error()?;
        let offset = match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok((*partition, offset))
    };
    partitions.iter().map(of).collect()
}

/// No answer came in time.
pub(super) fn timed_out() -> KafkaError {
    KafkaError::MessageConsumption(Code::OperationTimedOut)
}
