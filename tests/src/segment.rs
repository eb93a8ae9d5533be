//! A log as it lies on the broker's disk.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::block_in_place;

use crate::kafka::Topic;
use crate::world::World;

/// A batch of records in the bytes of a segment.
pub struct Batch {
    /// Where it is.
    pub bytes: Range<usize>,
    /// Who wrote it, as the broker counts producers.
    pub producer: [u8; 8],
    attributes: u8,
}

impl Batch {
    /// Where its records begin.
    pub fn records(&self) -> usize {
        self.bytes.start + 61
    }

    /// Whether its records are compressed.
    pub fn is_compressed(&self) -> bool {
        self.attributes & 7 != 0
    }
}

/// The batches of a segment.
pub fn batches(segment: &[u8]) -> Vec<Batch> {
    let (mut batches, mut start) = (Vec::new(), 0);
    // A batch: its first offset (8 bytes), its length behind that (4), ..., at byte 21 its attributes (2), ..., at byte
    // 43 its producer's id (8).
    while let Some(length) = segment.get(start + 8..start + 12) {
        let length = u32::from_be_bytes(length.try_into().unwrap());
        let end = start + 12 + usize::try_from(length).unwrap();
        let producer = segment[start + 43..start + 51].try_into().unwrap();
        batches.push(Batch { bytes: start..end, producer, attributes: segment[start + 22] });
        start = end;
    }
    batches
}

impl World {
    /// The folder of partition 0 of a topic.
    pub fn partition_folder(&self, topic: &Topic) -> PathBuf {
        self.stack().broker_data().join(format!("{}-0", topic.name()))
    }

    /// The first segment of partition 0 of a topic.
    pub fn segment(&self, topic: &Topic) -> PathBuf {
        self.partition_folder(topic).join("00000000000000000000.log")
    }

    /// Does something to the broker's files while it is stopped.
    pub fn while_stopped(&self, change: impl FnOnce()) {
        block_in_place(|| {
            self.stack().broker().stop().unwrap();
            change();
            self.stack().broker().start().unwrap();
            self.stack().broker().wait_ready(Duration::from_secs(60)).unwrap();
        });
    }
}
