//! The changelog, read with nothing but its schema.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_json::Value;

use crate::kafka::{Record, Topic};

/// Everything that was committed to a changelog, as JSON.
pub struct Changelog {
    /// Every state of each order id, with its partition, the oldest first; null where it was deleted.
    pub states: BTreeMap<String, Vec<(i32, Value)>>,
    /// The last progress record of each partition.
    pub progress: BTreeMap<i32, Value>,
    /// What identifies it.
    pub identities: Vec<Value>,
}

impl Changelog {
    /// Reads all of it.
    pub fn read(topic: &Topic) -> Self {
        let schema = include_str!("../../../schemas/changelog.avsc");
        let schema = Schema::parse_str(schema).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        let mut changelog =
            Self { states: BTreeMap::new(), progress: BTreeMap::new(), identities: Vec::new() };
        for record in topic.read() {
            if record.key.as_deref() == Some(b"\0id") {
                changelog.identities.push(serde_json::from_slice(&record.value.unwrap()).unwrap());
                continue;
            }
            let value = record.value.as_deref().map_or(Value::Null, |value| decoded(&reader, value));
            changelog.take(&record, value);
        }
        changelog
    }

    fn take(&mut self, record: &Record, value: Value) {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        if key == "\0progress" {
            self.progress.insert(record.partition, value);
        } else if !key.starts_with('\0') {
            self.states.entry(key).or_default().push((record.partition, value));
        }
    }

    /// The statuses that an order had, the oldest first.
    pub fn statuses(&self, order_id: &str) -> Vec<&str> {
        let states = self.states.get(order_id).map(Vec::as_slice).unwrap_or_default();
        states.iter().filter_map(|(_, state)| state["order"]["status"].as_str()).collect()
    }
}

/// The bytes behind the registry's frame, as JSON.
fn decoded(reader: &GenericDatumReader<'_>, value: &[u8]) -> Value {
    let mut body = &value[5..];
    let decoded = reader.read_value(&mut body).expect("the changelog decodes");
    assert!(body.is_empty(), "bytes behind the state");
    decoded.try_into().unwrap()
}
