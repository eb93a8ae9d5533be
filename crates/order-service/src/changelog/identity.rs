//! What tells a changelog from another one of the same name.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Written once, to partition 0, by the first instance that processes it. Readers compare it with what they know
/// before they believe that a changelog was deleted and made anew; at a start it shows whether the changelog goes with
/// `ORDER_TOPIC`. JSON and not Avro: an older version leaves it alone, and no schema has to change for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Random.
    pub id: String,
    /// The topic whose orders these are.
    pub source: String,
}

impl Identity {
    /// Of a new changelog.
    pub fn new(source: &str) -> Self {
        Self { id: Uuid::new_v4().to_string(), source: source.to_owned() }
    }

    /// The value of its record.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// Reads the value of a record; `None` if it is none.
    pub fn parse(value: Option<&[u8]>) -> Option<Self> {
        serde_json::from_slice(value?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_back_and_no_two_are_the_same() {
        let one = Identity::new("order-events");
        assert_eq!(Identity::parse(Some(&one.to_bytes())), Some(one.clone()));
        assert_ne!(one.id, Identity::new("order-events").id);
        assert_eq!(Identity::parse(Some(b"{}")), None);
        assert_eq!(Identity::parse(None), None);
    }
}
