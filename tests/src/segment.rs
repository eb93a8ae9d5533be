//! A log as it lies on the broker's disk.

use std::fs;
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

    /// Whether it is a control record: the end of a transaction.
    pub fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }
}

/// Makes the end of a committed transaction that of an aborted one.
pub fn make_aborted(segment: &mut [u8], control: &Batch) {
    // A record: its length, attributes, two differences, its key's length, each a byte here; then the key: a version and a
    // type, of two bytes each.
    let commit = control.records() + 5..control.records() + 9;
    assert_eq!(segment[commit.clone()], [0, 0, 0, 1], "it is no commit");
    segment[commit.end - 1] = 0;
    // At byte 17, of everything behind it.
    let checksum = crc32c(&segment[control.bytes.start + 21..control.bytes.end]);
    segment[control.bytes.start + 17..control.bytes.start + 21].copy_from_slice(&checksum.to_be_bytes());
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), shift)
    })
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

    /// Changes the first segment of partition 0 of a topic while the broker is stopped. The broker makes anew what goes with
    /// it: indexes, and what it knows of producers.
    pub fn change_segment(&self, topic: &Topic, change: impl FnOnce(&mut Vec<u8>)) {
        self.while_stopped(|| {
            let segment = self.segment(topic);
            let mut bytes = fs::read(&segment).unwrap();
            change(&mut bytes);
            for file in fs::read_dir(self.partition_folder(topic)).unwrap() {
                let path = file.unwrap().path();
                let made_anew = ["index", "timeindex", "txnindex", "snapshot"];
                if path.extension().is_some_and(|extension| made_anew.iter().any(|made| extension == *made)) {
                    fs::remove_file(path).unwrap();
                }
            }
            fs::write(segment, bytes).unwrap();
        });
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
