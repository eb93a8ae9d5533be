//! A record's place in the log.

use std::fmt;

/// Topic, partition and offset of one record; written `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic's name.
    pub topic: String,
    /// From 0.
    pub partition: i32,
    /// From 0; the broker's number of the record in its partition.
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}
