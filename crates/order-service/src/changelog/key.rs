//! Keys of the changelog: order ids, and others that no order id can be.

use std::borrow::Cow;

/// What a record of the changelog is about. An order id has no control characters, so a key that begins with
/// one is the service's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// The state of an order.
    Order(&'a str),
    /// How far the partition is processed.
    Progress,
    /// What became of the events from this offset on, a window of them.
    Outcomes(i64),
    /// Somebody took the partition over.
    Barrier,
    /// Which changelog this is.
    Identity,
}

const PROGRESS: &str = "\0progress";
const BARRIER: &str = "\0barrier";
const IDENTITY: &str = "\0id";
const OUTCOMES: &str = "\0outcomes/";

impl<'a> Key<'a> {
    /// The key as it is in the record.
    pub fn as_text(&self) -> Cow<'a, str> {
        match self {
            Self::Order(id) => Cow::Borrowed(id),
            Self::Progress => Cow::Borrowed(PROGRESS),
            Self::Barrier => Cow::Borrowed(BARRIER),
            Self::Identity => Cow::Borrowed(IDENTITY),
            Self::Outcomes(first) => Cow::Owned(format!("{OUTCOMES}{first}")),
        }
    }

    /// Reads a record's key; `None` if it is not one of ours.
    pub fn parse(key: Option<&'a [u8]>) -> Option<Self> {
        match str::from_utf8(key?).ok()? {
            PROGRESS => Some(Self::Progress),
            BARRIER => Some(Self::Barrier),
            IDENTITY => Some(Self::Identity),
            key => match key.strip_prefix(OUTCOMES) {
                Some(first) => first.parse().ok().map(Self::Outcomes),
                None if key.starts_with('\0') => None,
                None => Some(Self::Order(key)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_as_they_went_in() {
        for key in [Key::Order("ORD-1"), Key::Progress, Key::Barrier, Key::Identity, Key::Outcomes(8192)] {
            assert_eq!(Key::parse(Some(key.as_text().as_bytes())), Some(key));
        }
        for foreign in [None, Some(&b"\0other"[..]), Some(b"\0outcomes/x"), Some(b"\xff")] {
            assert_eq!(Key::parse(foreign), None);
        }
    }
}
