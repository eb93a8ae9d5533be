//! Dead letters: records that could not be processed, with why, and with everything that is needed to send
//! them again.

use rdkafka::Message;
use rdkafka::message::{Header, OwnedHeaders};

use crate::fold::{HeldUpdate, OriginalHeader};
use crate::outcome::Rejection;
use crate::record;

/// A record that could not be processed.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The partition of the events topic that it was in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970; -1 if it had none.
    pub timestamp: i64,
    /// Its key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// Its value, byte for byte; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub original_headers: Vec<OriginalHeader>,
    /// Why.
    pub rejection: Rejection,
}

impl DeadLetter {
    /// Of a record as it was polled.
    pub fn of_record<M: Message>(record: &M, rejection: Rejection) -> Self {
        let original = record::original(record);
        Self {
            partition: record.partition(),
            offset: record.offset(),
            timestamp: original.timestamp,
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            original_headers: original.headers,
            rejection,
        }
    }

    /// Of an update that was held.
    pub fn of_held(partition: i32, order_id: &str, held: HeldUpdate, rejection: Rejection) -> Self {
        Self {
            partition,
            offset: held.event.offset,
            timestamp: held.original.timestamp,
            key: Some(order_id.as_bytes().to_vec()),
            value: Some(held.original.value),
            original_headers: held.original.headers,
            rejection,
        }
    }

    /// The headers of the letter: the record's own, and what is known of its failure.
    pub fn headers(&self, topic: &str) -> OwnedHeaders {
        let own = self.original_headers.iter().fold(OwnedHeaders::new(), |all, header| {
            all.insert(Header { key: &header.name, value: header.value.as_deref() })
        });
        [
            ("dlq-original-topic", topic),
            ("dlq-original-partition", &self.partition.to_string()),
            ("dlq-original-offset", &self.offset.to_string()),
            ("dlq-reason", self.rejection.reason.as_str()),
            ("dlq-detail", &self.rejection.detail),
        ]
        .into_iter()
        .fold(own, |all, (key, value)| all.insert(Header { key, value: Some(value) }))
    }
}
