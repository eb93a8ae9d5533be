//! The changelog, read with nothing but its schemas.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_json::Value;

use super::model::Place;
use crate::kafka::{Record, Topic};

/// That of today, and that of versions before progress had checkpoints.
const SCHEMAS: [&str; 2] = [
    include_str!("../../../schemas/changelog.avsc"),
    include_str!("../../../crates/order-service/tests/golden/2/changelog.avsc"),
];

/// Everything that was committed to a changelog, as JSON.
#[derive(Default)]
pub struct Changelog {
    /// Every state of each order id, the oldest first.
    pub states: BTreeMap<String, Vec<State>>,
    /// The progress records of each partition, the oldest first.
    pub progress: BTreeMap<i32, Vec<Progress>>,
    /// What identifies it.
    pub identities: Vec<Value>,
    /// The last windows of outcomes, by partition and first offset.
    windows: BTreeMap<Place, Value>,
    /// What became of each event that was not simply applied.
    named: BTreeMap<Place, String>,
}

/// A state of an order.
pub struct State {
    /// The partition of the changelog that it is in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The state; null where it was deleted.
    pub value: Value,
}

/// A progress record.
pub struct Progress {
    /// Its offset in the changelog.
    pub offset: i64,
    /// The first event that is not processed.
    pub next_offset: i64,
    /// The first event whose outcome is kept.
    pub outcomes_from: i64,
}

impl Changelog {
    /// Reads all of it; or gives why it cannot be read.
    pub fn read(topic: &Topic) -> Result<Self, String> {
        topic.try_read().map(Self::of)
    }

    /// What these records hold.
    pub(crate) fn of(records: Vec<Record>) -> Self {
        let schemas = SCHEMAS.map(|schema| Schema::parse_str(schema).unwrap());
        let readers = [0, 1].map(|at: usize| GenericDatumReader::builder(&schemas[at]).build().unwrap());
        let mut changelog = Self::default();
        for record in records {
            if record.key.as_deref() == Some(b"\0id") {
                changelog.identities.push(serde_json::from_slice(&record.value.unwrap()).unwrap());
                continue;
            }
            let value = record.value.as_deref().map_or(Value::Null, |value| decoded(&readers, value));
            changelog.take(&record, value);
        }
        changelog.named =
            changelog.windows.iter().flat_map(|(place, window)| outcomes(place.0, window)).collect();
        changelog
    }

    fn take(&mut self, record: &Record, value: Value) {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        let (partition, offset) = (record.partition, record.offset);
        if key == "\0progress" {
            let (next_offset, outcomes_from) = (number(&value, "nextOffset"), number(&value, "outcomesFrom"));
            let progress = Progress { offset, next_offset, outcomes_from };
            self.progress.entry(partition).or_default().push(progress);
        } else if let Some(first) = key.strip_prefix("\0outcomes/") {
            self.windows.insert((partition, first.parse().unwrap()), value);
        } else if !key.starts_with('\0') {
            self.states.entry(key).or_default().push(State { partition, offset, value });
        }
    }

    /// The statuses that an order had, the oldest first.
    pub fn statuses(&self, order_id: &str) -> Vec<&str> {
        let states = self.states.get(order_id).map(Vec::as_slice).unwrap_or_default();
        states.iter().filter_map(|state| state.value["order"]["status"].as_str()).collect()
    }

    /// Whether an order exists.
    pub(super) fn has(&self, order_id: &str) -> bool {
        let last = self.states.get(order_id).and_then(|states| states.last());
        last.is_some_and(|state| state.value["order"].is_object())
    }

    /// The first event of a partition that is not processed.
    pub fn processed(&self, partition: i32) -> i64 {
        self.last_progress(partition).map_or(0, |progress| progress.next_offset)
    }

    fn last_progress(&self, partition: i32) -> Option<&Progress> {
        self.progress.get(&partition)?.last()
    }

    /// What became of an event, by the name that it has here. `None` if it is not processed, or not kept so long.
    pub fn outcome(&self, place: Place) -> Option<&str> {
        let progress = self.last_progress(place.0)?;
        let is_known = (progress.outcomes_from..progress.next_offset).contains(&place.1);
        is_known.then(|| self.named.get(&place).map_or("applied", String::as_str))
    }

    /// Every event of which it is said that it is a dead letter, and why.
    pub(super) fn letters(&self) -> BTreeMap<Place, &str> {
        const OTHERS: [&str; 4] = ["applied", "duplicate", "held", "no_event"];
        let is_reason = |name: &str| !OTHERS.contains(&name) && !name.starts_with("duplicate_of:");
        let named = self.named.iter().map(|(place, name)| (*place, name.as_str()));
        named.filter(|(_, name)| is_reason(name)).collect()
    }
}

/// The offsets of events that are named in a state.
pub(super) fn offsets(state: &Value) -> (Vec<i64>, Vec<i64>) {
    let offsets = |field: &str, offset: &str| -> Vec<i64> {
        let events = state[field].as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().map(|event| event.pointer(offset).unwrap().as_i64().unwrap()).collect()
    };
    (offsets("applied", "/offset"), offsets("held", "/event/offset"))
}

/// All offsets of events that are named in a state.
pub(super) fn all_offsets(state: &Value) -> BTreeSet<i64> {
    let (applied, held) = offsets(state);
    applied.into_iter().chain(held).collect()
}

fn outcomes(partition: i32, window: &Value) -> Vec<(Place, String)> {
    let runs = window["runs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let places = |run: &Value| {
        let (first, name) = (number(run, "first"), run["outcome"].as_str().unwrap().to_owned());
        (first..first + number(run, "count")).map(move |offset| ((partition, offset), name.clone()))
    };
    runs.iter().flat_map(places).collect()
}

fn number(record: &Value, field: &str) -> i64 {
    record[field].as_i64().unwrap_or_else(|| panic!("{field} is a number: {record}"))
}

/// The bytes behind the registry's frame, as JSON.
fn decoded(readers: &[GenericDatumReader<'_>], value: &[u8]) -> Value {
    let decode = |reader: &GenericDatumReader<'_>| {
        let mut body = &value[5..];
        let decoded = reader.read_value(&mut body).ok()?;
        // No record of one version is one of another and some bytes.
        body.is_empty().then_some(decoded)
    };
    let decoded = readers.iter().find_map(decode).expect("the changelog decodes");
    decoded.try_into().unwrap()
}
