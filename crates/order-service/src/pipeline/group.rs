//! The consumer of the events, in its group.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use order_events::permission::NotAllowed;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use tracing::{debug, info};

use super::backlog::Backlog;
use super::batch_limit::Size;
use super::partition::{Partition, Watermarks};
use super::rebalance::{Change, GroupContext};
use super::{Pipeline, PipelineError, index_of, number};

/// The consumer of the events.
pub(super) type GroupConsumer = BaseConsumer<GroupContext>;

/// How long a change of position may take.
const SEEK_TIMEOUT: Duration = Duration::from_secs(2);

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
    pub(super) backlog: Backlog<BorrowedMessage<'c>>,
    /// Which partitions are not fetched, since more than enough of them is there. The consumer keeps that for as long as it
    /// lives, also when the group takes the partition away and gives it again.
    paused: Vec<bool>,
    /// The positions of partitions that are fetched again from an earlier offset, and of which no record has come since: the
    /// consumer keeps them until then.
    left_at: HashMap<i32, i64>,
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
            left_at: HashMap::new(),
        }
    }

    /// From here on partitions that the group gives are fetched from where they are processed.
    pub(super) fn set_fetch_from(&self, partitions: &[Partition]) {
        self.consumer.context().set_fetch_from(partitions.iter().map(Partition::fetch_from));
    }

    /// The next thing that has come; waits `patience` for it. The group's changes come inside the poll, before the record
    /// that it gives.
    pub(super) fn poll(&mut self, patience: Duration) -> Polled<'c> {
        if !self.has_more() {
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

    /// Keeps a record until it is processed.
    pub(super) fn keep(&mut self, record: BorrowedMessage<'c>) {
        self.left_at.remove(&record.partition());
        self.backlog.push(index_of(record.partition()), record);
    }

    /// Whether the last poll gave something that was not taken yet.
    pub(super) fn has_more(&self) -> bool {
        !self.changes.is_empty() || self.next.is_some()
    }

    /// The partition is processed from this offset on. What was fetched may begin behind it, if its progress was further
    /// when the group gave it; or what is behind it may have been processed already.
    pub(super) fn fetch_from(&mut self, index: usize, offset: i64) -> Result<(), KafkaError> {
        let number = number(index);
        let was_fetched = self.consumer.context().fetched_from(number).is_none_or(|from| from <= offset);
        if was_fetched && !self.backlog.has_dropped(index, offset) {
            return Ok(());
        }
        self.left_at.extend(self.position(number).map(|position| (number, position)));
        self.consumer.seek(self.topic, number, Offset::Offset(offset), SEEK_TIMEOUT)?;
        self.consumer.context().fetches_from(number, offset);
        self.backlog.clear(index);
        Ok(())
    }

    /// Where a partition begins and ends.
    pub(super) fn watermarks(&self, number: i32, timeout: Duration) -> Result<Watermarks, KafkaError> {
        let (start, end) = self.consumer.fetch_watermarks(self.topic, number, timeout)?;
        Ok(Watermarks { start, end })
    }

    /// Up to where the consumer has given a partition, the control records included that it shows nobody. librdkafka knows
    /// it and asks no broker. `None` if nothing has come yet.
    pub(super) fn position(&self, number: i32) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        match positions.find_partition(self.topic, number)?.offset() {
            Offset::Offset(position) => Some(position).filter(|at| self.left_at.get(&number) != Some(at)),
            _ => None,
        }
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
    pub(super) fn blocked(&self, partitions: &[Partition], now: Instant) -> usize {
        let blocked = partitions.iter().enumerate().filter(|(_, partition)| partition.is_blocked(now));
        blocked.map(|(index, _)| self.backlog.len_of(index)).sum()
    }

    /// Whether a poll may give records of a partition of which `share` bytes wait already.
    pub(super) fn is_overfed(&self, share: usize) -> bool {
        let mut partitions = self.paused.iter().enumerate();
        partitions.any(|(index, is_paused)| !is_paused && self.backlog.bytes_of(index) >= share)
    }

    /// Stops to fetch what must not fill the memory: a partition that cannot be processed just now; all of them while
    /// nothing `can_write`. What is only behind is fetched on: a consumer whose only partition is paused sleeps in librdkafka
    /// for up to a second after it goes on. `most` are the events of a batch, and the bytes that may wait of a partition.
    pub(super) fn pause_and_resume(
        &mut self,
        partitions: &[Partition],
        most: Size,
        can_write: bool,
    ) -> Result<(), KafkaError> {
        let now = Instant::now();
        let is_full = self.backlog.len() - self.blocked(partitions, now) >= most.events;
        for (index, partition) in partitions.iter().enumerate() {
            let is_blocked = partition.is_blocked(now);
            if is_blocked {
                self.backlog.copy(index);
            }
            let waiting = Size { events: self.backlog.len_of(index), bytes: self.backlog.bytes_of(index) };
            let is_paused =
                should_be_paused(self.paused[index], Load { is_blocked, is_full, can_write, waiting, most });
            if is_paused != self.paused[index] {
                let mut list = TopicPartitionList::new();
                list.add_partition(self.topic, partition.number());
                if is_paused {
                    self.consumer.pause(&list)?;
                } else {
                    self.consumer.resume(&list)?;
                }
                self.paused[index] = is_paused;
            }
        }
        Ok(())
    }
}

/// What there is to do for a partition.
#[derive(Clone, Copy)]
struct Load {
    /// Its records cannot be processed just now.
    is_blocked: bool,
    /// A batch of other records is there.
    is_full: bool,
    can_write: bool,
    /// What waits of it.
    waiting: Size,
    /// The events of a batch, and the bytes that may wait of a partition.
    most: Size,
}

fn should_be_paused(is_paused: bool, Load { is_blocked, is_full, can_write, waiting, most }: Load) -> bool {
    let has_share = waiting.bytes >= most.bytes;
    match is_paused {
        true => is_blocked || is_full || has_share,
        false if is_blocked => waiting.events > most.events / 2 || has_share,
        false => (is_full || has_share) && !can_write && waiting.events > 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Size = Size { events: 100, bytes: 1000 };

    const IDLE: Load =
        Load { is_blocked: false, is_full: false, can_write: true, waiting: events(0), most: MOST };

    const fn events(events: usize) -> Size {
        Size { events, bytes: events }
    }

    #[test]
    fn a_blocked_partition_is_paused_when_half_a_batch_of_it_waits_and_until_it_goes_on() {
        let blocked = |waiting| Load { is_blocked: true, waiting: events(waiting), ..IDLE };
        assert!(!should_be_paused(false, blocked(50)));
        assert!(should_be_paused(false, blocked(51)));
        assert!(should_be_paused(true, blocked(0)));
        assert!(!should_be_paused(true, IDLE));
    }

    #[test]
    fn what_is_only_behind_is_fetched_on() {
        let behind = Load { is_full: true, waiting: events(100), ..IDLE };
        assert!(!should_be_paused(false, behind));
        assert!(should_be_paused(true, behind), "it goes on when less than a batch is there");
    }

    #[test]
    fn while_nothing_can_be_written_a_full_batch_is_enough() {
        let stuck = Load { is_full: true, can_write: false, waiting: events(1), ..IDLE };
        assert!(should_be_paused(false, stuck));
        assert!(!should_be_paused(false, Load { waiting: events(0), ..stuck }), "nothing of it waits");
        assert!(!should_be_paused(false, Load { is_full: false, ..stuck }));
    }

    #[test]
    fn a_partition_that_has_its_share_of_the_bytes_is_paused_unless_it_is_processed() {
        let large = Load { waiting: Size { events: 1, bytes: 1000 }, ..IDLE };
        assert!(!should_be_paused(false, large));
        assert!(should_be_paused(true, large), "it goes on when less is there");
        assert!(should_be_paused(false, Load { is_blocked: true, ..large }));
        assert!(should_be_paused(false, Load { can_write: false, ..large }));
        let smaller = Size { events: 1, bytes: 999 };
        assert!(!should_be_paused(false, Load { can_write: false, waiting: smaller, ..large }));
        assert!(!should_be_paused(true, Load { waiting: smaller, ..large }));
    }
}
