//! What tells a record from another one that got the same offset.

use rdkafka::Message;
use twox_hash::XxHash3_64;

/// A record that is known to be in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where it is.
    pub(crate) offset: i64,
    /// Of its key, its value and its time: what is written again later has another time.
    fingerprint: u64,
}

impl Mark {
    /// Of a record that was read, or whose delivery was reported.
    pub(crate) fn of(record: &impl Message) -> Self {
        let key = XxHash3_64::oneshot(record.key().unwrap_or_default());
        let value = XxHash3_64::oneshot_with_seed(key, record.payload().unwrap_or_default());
        let time = record.timestamp().to_millis().unwrap_or_default();
        let fingerprint = XxHash3_64::oneshot_with_seed(value, &time.to_le_bytes());
        Self { offset: record.offset(), fingerprint }
    }
}
