//! The consumer of the events, in its group.

use std::collections::VecDeque;
use std::time::Duration;

use order_events::permission::NotAllowed;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use tracing::{debug, info};

use super::backlog::Backlog;
use super::clock::Now;
use super::partition::{Partition, Watermarks};
use super::rebalance::{Change, GroupContext};
use super::{Pipeline, PipelineError};

/// The consumer of the events.
pub(super) type GroupConsumer = BaseConsumer<GroupContext>;

/// Joins the group.
pub(super) fn join(pipeline: &Pipeline) -> Result<GroupConsumer, PipelineError> {
    let consumer: GroupConsumer = pipeline.clients.group.create_with_context(GroupContext::default())?;
    consumer.subscribe(&[&pipeline.topics.events])?;
    info!(topic = pipeline.topics.events, "joining the consumer group");
    Ok(consumer)
}

/// What a poll gives.
pub(super) enum Polled<'c> {
    /// Nothing more has come.
    Nothing,
    /// The group gives partitions, or takes them.
    Change(Change),
    /// An event.
    Record(BorrowedMessage<'c>),
    /// An error of the client or of a partition.
    Failed(KafkaError),
}

/// What one consumer of the group has fetched, for as long as it can go on.
pub(super) struct Group<'c> {
    consumer: &'c GroupConsumer,
    topic: &'c str,
    /// What happened in the last poll and was not told yet.
    changes: VecDeque<Change>,
    /// What the last poll gave behind these.
    next: Option<Result<BorrowedMessage<'c>, KafkaError>>,
    /// What is not processed yet.
    pub(super) backlog: Backlog<'c>,
    /// Which partitions are not fetched, since more than enough of them is there. The consumer keeps that for as long as it
    /// lives, also when the group takes the partition away and gives it again.
    paused: Vec<bool>,
}

impl<'c> Group<'c> {
    /// Nothing is fetched yet.
    pub(super) fn new(consumer: &'c GroupConsumer, topic: &'c str, partitions: usize) -> Self {
        Self {
            consumer,
            topic,
            changes: VecDeque::new(),
            next: None,
            backlog: Backlog::new(partitions),
            paused: vec![false; partitions],
        }
    }

    /// From here on partitions that the group gives are fetched from where they are processed.
    pub(super) fn set_fetch_from(&self, partitions: &[Partition]) {
        self.consumer.context().set_fetch_from(partitions.iter().map(Partition::fetch_from));
    }

    /// The next thing that has come; waits `patience` for it. The group's changes come inside the poll, before the record
    /// that it gives.
    pub(super) fn poll(&mut self, patience: Duration) -> Polled<'c> {
        if self.changes.is_empty() && self.next.is_none() {
            self.next = self.consumer.poll(patience);
            self.changes.extend(self.consumer.context().take_changes());
        }
        match self.changes.pop_front() {
            Some(change) => Polled::Change(change),
            None => match self.next.take() {
                None => Polled::Nothing,
                Some(Ok(record)) => Polled::Record(record),
                Some(Err(error)) => Polled::Failed(error),
            },
        }
    }

    /// Where a partition begins and ends.
    pub(super) fn watermarks(&self, number: i32, timeout: Duration) -> Result<Watermarks, KafkaError> {
        let (start, end) = self.consumer.fetch_watermarks(self.topic, number, timeout)?;
        Ok(Watermarks { start, end })
    }

    /// What fences an instance that has lost its partitions: fresh for every transaction, as the generation changes with
    /// each rebalance, and the broker refuses an old one.
    ///
    /// # Errors
    /// It is no member. One that has lost all of its partitions may have no generation, which the broker does not check
    /// (KAFKA-9365).
    pub(super) fn metadata(&self) -> Result<ConsumerGroupMetadata, KafkaError> {
        let metadata = self.consumer.group_metadata().filter(|_| !self.consumer.assignment_lost());
        metadata.ok_or(KafkaError::ConsumerCommit(Code::UnknownMemberId))
    }

    /// Commits offsets outside of any transaction. Not for this service, which begins at its progress record, but for tools
    /// that show the lag of a group.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) {
        if let Err(error) = self.consumer.commit(offsets, CommitMode::Async) {
            debug!(%error, "the group's offsets were not committed");
        }
    }

    /// How many records wait that cannot be processed just now.
    pub(super) fn blocked(&self, partitions: &[Partition], now: Now) -> usize {
        let blocked =
            partitions.iter().enumerate().filter(|(_, partition)| partition.is_blocked(now.instant));
        blocked.map(|(index, _)| self.backlog.of(index).len()).sum()
    }

    /// Stops to fetch what must not fill the memory: a partition that cannot be processed just now; all of them while
    /// nothing `can_write`. What is only behind is fetched on: a consumer whose only partition is paused sleeps in librdkafka
    /// for up to a second after it goes on. `most` is the size of a batch.
    pub(super) fn pause_and_resume(
        &mut self,
        partitions: &[Partition],
        most: usize,
        can_write: bool,
    ) -> Result<(), KafkaError> {
        let now = Now::read();
        let is_full = self.backlog.len() - self.blocked(partitions, now) >= most;
        for (index, partition) in partitions.iter().enumerate() {
            let is_blocked = partition.is_blocked(now.instant);
            let waiting = self.backlog.of(index).len();
            let is_paused = match self.paused[index] {
                false if is_blocked => waiting > most / 2,
                false => is_full && !can_write && waiting > 0,
                true => is_blocked || is_full,
            };
            if is_paused != self.paused[index] {
                let mut list = TopicPartitionList::new();
                list.add_partition(self.topic, partition.number());
                if is_paused {
                    self.consumer.pause(&list)?
                } else {
                    self.consumer.resume(&list)?
                }
                self.paused[index] = is_paused;
            }
        }
        Ok(())
    }
}

/// The brokers do not let this service consume the events.
pub(super) fn not_allowed(pipeline: &Pipeline, code: Code) -> NotAllowed {
    match code {
        Code::GroupAuthorizationFailed => {
            let resource = format!("the consumer group {}", pipeline.group);
            NotAllowed { operation: "join", resource }
        }
        _ => NotAllowed::topic("read", &pipeline.topics.events),
    }
}
