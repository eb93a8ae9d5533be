//! A copy of a record, for its dead letter.

use serde::{Deserialize, Serialize};

/// A record as it came, but for its place and its key, which is the order id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecord {
    /// The bytes.
    #[serde(with = "apache_avro::serde::bytes")]
    pub value: Vec<u8>,
    /// Milliseconds since 1970, -1 if it had none.
    pub timestamp: i64,
    /// In their order.
    pub headers: Vec<OriginalHeader>,
}

impl OriginalRecord {
    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.value.len() + self.headers.iter().map(OriginalHeader::size).sum::<usize>()
    }
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalHeader {
    /// May come more than once.
    pub name: String,
    /// The bytes, if it has any.
    #[serde(with = "apache_avro::serde::bytes_opt")]
    pub value: Option<Vec<u8>>,
}

impl OriginalHeader {
    /// The most bytes that it takes: those of its name, of its value, and of their lengths, five each in Kafka's format.
    pub fn size(&self) -> usize {
        self.name.len() + self.value.as_ref().map_or(0, Vec::len) + 10
    }
}
