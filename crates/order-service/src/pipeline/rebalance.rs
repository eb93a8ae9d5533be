//! The consumer group gives partitions and takes them back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use order_events::ClientLog;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tracing::{info, warn};

/// What the group did, in the order in which it did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These partitions are ours now.
    Assigned(Vec<i32>),
    /// These are not ours any more.
    Revoked(Vec<i32>),
}

/// The callbacks of the group's consumer. They run inside its poll, on the pipeline's thread.
///
/// They assign at once, and do not leave that to the pipeline: a consumer that is closed waits for an answer to each change.
#[derive(Default)]
pub(super) struct GroupContext {
    log: ClientLog,
    fetch_from: Mutex<Vec<Option<i64>>>,
    /// The first offset that was fetched of each partition that the group has given; none for the begin of its log.
    fetched_from: Mutex<HashMap<i32, i64>>,
    changes: Mutex<Vec<Change>>,
}

impl GroupContext {
    /// From where each partition is to be fetched if the group gives it; `None` is the begin of its log.
    pub(super) fn set_fetch_from(&self, offsets: impl Iterator<Item = Option<i64>>) {
        let mut known = self.fetch_from.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        known.extend(offsets);
    }

    /// What happened since the last call.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first offset that was fetched of a partition; `None` if that is the begin of its log.
    pub(super) fn fetched_from(&self, number: i32) -> Option<i64> {
        self.fetched_from.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied()
    }

    /// A partition is fetched again, from this offset on.
    pub(super) fn fetches_from(&self, number: i32, offset: i64) {
        self.fetched_from.lock().unwrap_or_else(PoisonError::into_inner).insert(number, offset);
    }

    fn note(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Assigns partitions at the offsets of their progress, and never at the group's committed ones: librdkafka
    /// falls to `auto.offset.reset` when an assignment changes while it waits for those.
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<Vec<i32>, KafkaError> {
        let mut assignment = TopicPartitionList::with_capacity(partitions.count());
        let mut assigned = Vec::with_capacity(partitions.count());
        let fetch_from = self.fetch_from.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fetched_from = self.fetched_from.lock().unwrap_or_else(PoisonError::into_inner);
        fetched_from.clear();
        for element in partitions.elements() {
            let partition = element.partition();
            let known = usize::try_from(partition).ok().and_then(|index| *fetch_from.get(index)?);
            fetched_from.extend(known.map(|offset| (partition, offset)));
            let from = known.map_or(Offset::Beginning, Offset::Offset);
            assignment.add_partition_offset(element.topic(), partition, from)?;
            assigned.push(partition);
        }
        drop((fetch_from, fetched_from));
        consumer.assign(&assignment)?;
        Ok(assigned)
    }
}

impl ClientContext for GroupContext {
    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if consumer.closed() {
            // An event from before it left the group. librdkafka would never answer a call about it.
            return;
        }
        let numbers = || partitions.elements().iter().map(|element| element.partition()).collect::<Vec<_>>();
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.assign(consumer, partitions) {
                Ok(assigned) => {
                    info!(partitions = ?assigned, "partitions assigned");
                    self.note(Change::Assigned(assigned));
                }
                Err(error) => warn!(%error, "partitions could not be assigned"),
            }
        } else {
            let revoked = numbers();
            if let Err(error) = consumer.unassign() {
                warn!(%error, "partitions could not be given back");
            }
            info!(partitions = ?revoked, "partitions revoked");
            self.note(Change::Revoked(revoked));
        }
    }
}
