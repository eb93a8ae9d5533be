//! A record's place in the log.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Topic, partition and offset of one record; written `topic/partition/offset`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic's name.
    pub topic: String,
    /// The place there.
    pub place: Place,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { partition, offset } = self.place;
        write!(f, "{}/{partition}/{offset}", self.topic)
    }
}

/// A record's place in a topic; written `partition:offset`, as clients send and get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 0.
    pub partition: i32,
    /// From 0; the broker's number of the record in its partition.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// A text that is no [`Place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be <partition>:<offset>, for example 0:42")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (partition, offset) = text.split_once(':').ok_or(NoPlace)?;
        let are_numbers =
            [partition, offset].iter().all(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match (partition.parse(), offset.parse()) {
            (Ok(partition), Ok(offset)) if are_numbers => Ok(Self { partition, offset }),
            _ => Err(NoPlace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        let place = Place { partition: 2, offset: 17 };
        assert_eq!((place.to_string().as_str(), "2:17".parse()), ("2:17", Ok(place)));
        for bad in ["", "2", "2:", ":17", "2:-1", "-1:2", "a:b", "2:1:7", "+2:1", "2:9223372036854775808"] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad}");
        }
    }
}
