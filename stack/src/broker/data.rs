//! Whether brokers can use the data that they would be started on.

use std::fs;
use std::io::ErrorKind;

use crate::brokers::{Brokers, Node};
use crate::error::StackError;
use crate::layout::Layout;

/// Written by the storage tool when it formats a folder, and never again.
const BOOTSTRAP: &str = "bootstrap.checkpoint";
/// A `FeatureLevelRecord` (frame version 1, type 12, version 0) up to its level: the name is a compact string, whose
/// length is written plus one. The level follows in two bytes.
const METADATA_VERSION: &[u8] = b"\x01\x0c\x00\x11metadata.version";
/// The levels by which Kafka numbers its metadata.version (`MetadataVersion.java`): the newest of each release.
const NEWEST_LEVELS: [(&str, i16); 2] = [("4.2.", 29), ("4.3.", 30)];

/// Refuses a folder that was first used with another number of brokers: a cluster does not grow by itself.
pub(crate) fn check_brokers(layout: &Layout, brokers: Brokers) -> Result<(), StackError> {
    let are_there = |brokers: &Brokers| brokers.nodes().any(|node| layout.broker_data(node).exists());
    if are_there(&brokers) {
        return Ok(());
    }
    match [Brokers::One, Brokers::Three].into_iter().find(are_there) {
        None => Ok(()),
        Some(found) => Err(StackError::OtherBrokers {
            data_dir: layout.root().to_owned(),
            found: found.count(),
            asked: brokers.count(),
        }),
    }
}

/// Refuses data that a newer Kafka has formatted. Its broker would end at its first metadata record, with a stack trace
/// that names neither the cause nor a way on.
///
/// The level of the format is enough: Kafka only ever raises it, and refuses to go back from 4.3-IV0.
pub(crate) fn check_readable(layout: &Layout, node: Node, kafka: &str) -> Result<(), StackError> {
    let data = layout.broker_data(node);
    let path = data.join(BOOTSTRAP);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StackError::io("read", path)(error)),
    };
    let newest = NEWEST_LEVELS.iter().find(|(release, _)| kafka.starts_with(release));
    match (level(&bytes), newest) {
        (Some(found), Some(&(_, newest))) if found > newest => {
            Err(StackError::NewerData { kafka: kafka.to_owned(), data, found, newest })
        }
        _ => Ok(()),
    }
}

/// The metadata.version's level in a checkpoint.
fn level(checkpoint: &[u8]) -> Option<i16> {
    let at = checkpoint.windows(METADATA_VERSION.len()).position(|window| window == METADATA_VERSION)?;
    let level = checkpoint.get(at + METADATA_VERSION.len()..)?.first_chunk()?;
    Some(i16::from_be_bytes(*level))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Kafka 4.3.1: `kafka.tools.StorageTool format`.
    const BY_4_3_1: &[u8] = include_bytes!("../../tests/formatted-by-4.3.1/bootstrap.checkpoint");

    #[test]
    fn the_level_of_a_folder_that_kafka_has_formatted_is_read() {
        assert_eq!(level(BY_4_3_1), Some(30));
        assert_eq!(level(&BY_4_3_1[..100]), None);
        assert_eq!(level(b""), None);
    }

    fn first(brokers: Brokers) -> Node {
        brokers.nodes().next().unwrap()
    }

    #[test]
    fn only_a_kafka_that_is_older_than_the_data_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let node = first(Brokers::One);
        check_readable(&layout, node, "4.2.2").unwrap();
        fs::create_dir_all(layout.broker_data(node)).unwrap();
        fs::write(layout.broker_data(node).join(BOOTSTRAP), BY_4_3_1).unwrap();
        check_readable(&layout, node, "4.3.1").unwrap();
        let error = check_readable(&layout, node, "4.2.2").unwrap_err();
        assert!(matches!(error, StackError::NewerData { found: 30, newest: 29, .. }), "{error}");
    }

    #[test]
    fn a_folder_is_for_the_number_of_brokers_that_first_used_it() {
        for (used, other) in [(Brokers::One, Brokers::Three), (Brokers::Three, Brokers::One)] {
            let folder = tempfile::tempdir().unwrap();
            let layout = Layout::create(folder.path()).unwrap();
            check_brokers(&layout, used).unwrap();
            fs::create_dir_all(layout.broker_data(first(used))).unwrap();
            check_brokers(&layout, used).unwrap();
            let message = check_brokers(&layout, other).unwrap_err().to_string();
            let found = format!("--brokers {}", used.count());
            for part in [found.as_str(), "BROKERS=", "--data-dir", "clean-data"] {
                assert!(message.contains(part), "no {part:?} in: {message}");
            }
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
