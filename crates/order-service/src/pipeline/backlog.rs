//! Records that were polled and are not processed yet, by partition.

use std::collections::VecDeque;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, OwnedMessage};

/// The records of one consumer.
pub(super) struct Backlog<R> {
    partitions: Vec<Waiting<R>>,
    len: usize,
}

/// The records of one partition, the oldest first.
struct Waiting<R> {
    /// Those that were copied, which come before the others.
    copied: VecDeque<OwnedMessage>,
    /// These stay in librdkafka's memory until they are dropped; with each of them all that came in the same buffer: an
    /// uncompressed answer of a broker, or a compressed batch.
    fetched: VecDeque<R>,
    /// Of keys and values, see [`size`].
    bytes: usize,
    /// Those below this offset were dropped.
    dropped_below: i64,
}

/// The next records of a partition, the oldest first. Behind those that were copied there may be others.
pub(super) enum Next<'a, R> {
    Copied(&'a VecDeque<OwnedMessage>),
    Fetched(&'a VecDeque<R>),
}

impl<R: Message> Backlog<R> {
    pub(super) fn new(partitions: usize) -> Self {
        let waiting =
            |_| Waiting { copied: VecDeque::new(), fetched: VecDeque::new(), bytes: 0, dropped_below: 0 };
        Self { partitions: (0..partitions).map(waiting).collect(), len: 0 }
    }

    pub(super) fn push(&mut self, partition: usize, record: R) {
        let waiting = &mut self.partitions[partition];
        waiting.bytes += size(&record);
        waiting.fetched.push_back(record);
        self.len += 1;
    }

    /// How many there are in all.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many there are of one partition.
    pub(super) fn len_of(&self, partition: usize) -> usize {
        let Waiting { copied, fetched, .. } = &self.partitions[partition];
        copied.len() + fetched.len()
    }

    /// How many bytes of one partition wait.
    pub(super) fn bytes_of(&self, partition: usize) -> usize {
        self.partitions[partition].bytes
    }

    /// The next records of one partition.
    pub(super) fn next_of(&self, partition: usize) -> Next<'_, R> {
        let Waiting { copied, fetched, .. } = &self.partitions[partition];
        if copied.is_empty() { Next::Fetched(fetched) } else { Next::Copied(copied) }
    }

    /// Drops the records of a partition that are below `offset`.
    pub(super) fn drop_below(&mut self, partition: usize, offset: i64) {
        let Waiting { copied, fetched, bytes, dropped_below } = &mut self.partitions[partition];
        self.len -= drop_from(copied, bytes, offset) + drop_from(fetched, bytes, offset);
        *dropped_below = offset.max(*dropped_below);
    }

    /// Whether records of a partition from this offset on were dropped.
    pub(super) fn has_dropped(&self, partition: usize, offset: i64) -> bool {
        offset < self.partitions[partition].dropped_below
    }

    /// Drops all records of a partition, which is fetched anew.
    pub(super) fn clear(&mut self, partition: usize) {
        self.drop_below(partition, i64::MAX);
        self.partitions[partition].dropped_below = 0;
    }
}

impl Backlog<BorrowedMessage<'_>> {
    /// Copies the records of a partition that cannot be processed just now. Each of them may hold a buffer back that is
    /// much larger, while the records of other partitions that came in it are processed.
    pub(super) fn copy(&mut self, partition: usize) {
        let Waiting { copied, fetched, .. } = &mut self.partitions[partition];
        copied.extend(fetched.drain(..).map(|record| record.detach()));
    }
}

/// Drops the records below `offset`. Returns how many.
fn drop_from<R: Message>(records: &mut VecDeque<R>, bytes: &mut usize, offset: i64) -> usize {
    let before = records.len();
    while let Some(record) = records.pop_front_if(|record| record.offset() < offset) {
        *bytes -= size(&record);
    }
    before - records.len()
}

/// How many bytes the key and the value of a record have. Its headers do not count: librdkafka parses them only for who
/// looks at them, and does not count them for its own queue either.
pub(super) fn size(record: &impl Message) -> usize {
    let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    bytes(record.key()) + bytes(record.payload())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::raw_record;

    #[test]
    fn the_bytes_of_each_partition_are_known_as_its_records_come_and_go() {
        let mut backlog = Backlog::new(2);
        for offset in 0..4 {
            backlog.push(1, raw_record(offset, "KEY", vec![0; 100]));
        }
        assert_eq!((backlog.len(), backlog.len_of(1), backlog.bytes_of(1)), (4, 4, 412));
        backlog.drop_below(1, 1);
        assert_eq!((backlog.len(), backlog.bytes_of(0), backlog.bytes_of(1)), (3, 0, 309));
        backlog.clear(1);
        assert_eq!((backlog.len(), backlog.len_of(1), backlog.bytes_of(1)), (0, 0, 0));
    }

    #[test]
    fn what_was_dropped_is_known_until_it_is_fetched_anew() {
        let mut backlog = Backlog::new(1);
        backlog.push(0, raw_record(5, "KEY", Vec::new()));
        assert!(!backlog.has_dropped(0, 5));
        backlog.drop_below(0, 6);
        backlog.drop_below(0, 2);
        assert!(backlog.has_dropped(0, 5) && !backlog.has_dropped(0, 6));
        backlog.clear(0);
        assert!(!backlog.has_dropped(0, 5));
    }

    #[test]
    fn records_that_were_copied_come_first() {
        let mut backlog = Backlog::new(1);
        backlog.partitions[0].copied.push_back(raw_record(0, "KEY", Vec::new()));
        (backlog.partitions[0].bytes, backlog.len) = (3, 1);
        backlog.push(0, raw_record(1, "KEY", Vec::new()));
        assert!(matches!(backlog.next_of(0), Next::Copied(records) if records.len() == 1));
        backlog.drop_below(0, 1);
        assert!(matches!(backlog.next_of(0), Next::Fetched(records) if records.len() == 1));
        assert_eq!((backlog.len(), backlog.bytes_of(0)), (1, 3));
    }
}
