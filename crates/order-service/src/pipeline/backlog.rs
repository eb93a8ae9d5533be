//! Records that were polled and are not processed yet, by partition.

use std::collections::VecDeque;

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

/// The records of one consumer. They stay in librdkafka's memory until they are dropped.
pub(super) struct Backlog<'c> {
    partitions: Vec<VecDeque<BorrowedMessage<'c>>>,
    len: usize,
}

impl<'c> Backlog<'c> {
    pub(super) fn new(partitions: usize) -> Self {
        Self { partitions: (0..partitions).map(|_| VecDeque::new()).collect(), len: 0 }
    }

    pub(super) fn push(&mut self, partition: usize, record: BorrowedMessage<'c>) {
        self.partitions[partition].push_back(record);
        self.len += 1;
    }

    /// How many there are in all.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The records of one partition, the oldest first.
    pub(super) fn of(&self, partition: usize) -> &VecDeque<BorrowedMessage<'c>> {
        &self.partitions[partition]
    }

    /// Drops the records of a partition that are below `offset`.
    pub(super) fn drop_below(&mut self, partition: usize, offset: i64) {
        let records = &mut self.partitions[partition];
        while records.front().is_some_and(|record| record.offset() < offset) {
            records.pop_front();
            self.len -= 1;
        }
    }

    /// Drops all records of a partition.
    pub(super) fn clear(&mut self, partition: usize) {
        self.len -= self.partitions[partition].len();
        self.partitions[partition].clear();
    }
}
