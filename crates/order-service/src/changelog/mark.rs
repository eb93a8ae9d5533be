//! What tells a record from another one that got the same offset.

use rdkafka::Message;
use twox_hash::XxHash3_64;

/// A record that is known to be in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where it is.
    pub(crate) offset: i64,
    /// Of its key and its value. Its time is not in it: where a broker had a batch already, as after a retry, the delivery
    /// report has another one than the log.
    fingerprint: u64,
}

impl Mark {
    /// Of a record that was read, or whose delivery was reported.
    pub(crate) fn of(record: &impl Message) -> Self {
        let fingerprint = hash(record.payload(), hash(record.key(), 0));
        Self { offset: record.offset(), fingerprint }
    }

    /// Of its key and its value.
    pub(super) fn fingerprint(self) -> u64 {
        self.fingerprint
    }

    /// Of a record at this offset whose content does not matter.
    #[cfg(test)]
    pub(crate) fn at(offset: i64) -> Self {
        Self { offset, fingerprint: 0 }
    }

    /// The same, but of another record.
    #[cfg(test)]
    pub(crate) fn of_another(offset: i64) -> Self {
        Self { offset, fingerprint: 1 }
    }

    /// Whether both are of records with the same key and value.
    pub(crate) fn says_the_same(self, other: Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// Null is not the empty text.
fn hash(bytes: Option<&[u8]>, seed: u64) -> u64 {
    bytes.map_or(!seed, |bytes| XxHash3_64::oneshot_with_seed(seed, bytes))
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn record(key: Option<&[u8]>, value: Option<&[u8]>, time: Timestamp) -> Mark {
        let [key, value] = [key, value].map(|bytes| bytes.map(<[u8]>::to_vec));
        Mark::of(&OwnedMessage::new(value, key, "changelog".to_owned(), time, 0, 7, None))
    }

    /// Where a broker had the batch already, the report has the time of its newest record.
    #[test]
    fn a_record_is_known_again_whatever_time_its_delivery_report_had() {
        let read = record(Some(b"O-1"), Some(b"state"), Timestamp::CreateTime(1_000));
        let reported = record(Some(b"O-1"), Some(b"state"), Timestamp::LogAppendTime(1_007));
        assert_eq!(read, reported);
    }

    #[test]
    fn other_keys_and_values_are_other_records() {
        let time = Timestamp::CreateTime(1_000);
        let records = [
            record(Some(b"O-1"), Some(b"state"), time),
            record(Some(b"O-1"), Some(b""), time),
            record(Some(b"O-1"), None, time),
            record(Some(b"O-1state"), Some(b""), time),
            record(None, None, time),
            record(Some(b""), None, time),
        ];
        for (index, one) in records.iter().enumerate() {
            assert!(!records[..index].contains(one), "{index}");
        }
    }
}
