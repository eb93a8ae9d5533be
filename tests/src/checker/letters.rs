//! The dead letter topic against the events that it must hold.

use std::collections::BTreeMap;

use super::anomaly::{Class, Findings};
use super::model::{Model, Place};
use crate::kafka::Record;

/// How often each dead letter may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once and no more.
    Once,
    /// Once or more often.
    AtLeastOnce,
}

/// What a dead letter says of itself.
pub(super) struct Origin {
    pub(super) topic: String,
    pub(super) place: Place,
    pub(super) reason: String,
}

impl Origin {
    pub(super) fn of(letter: &Record) -> Self {
        let header = |name: &str| letter.header(name).unwrap_or_else(|| panic!("no {name}: {letter:?}"));
        let place = (header("__connect.errors.partition"), header("__connect.errors.offset"));
        Self {
            topic: header("__connect.errors.topic"),
            place: (place.0.parse().unwrap(), place.1.parse().unwrap()),
            reason: header("dlq-reason"),
        }
    }
}

/// A note that a letter was sent again, and no letter.
pub(super) fn is_note_of_redrive(record: &Record) -> bool {
    record.header("dlq-redrive-of").is_some()
}

/// The dead letters are those of the model, with the bytes of their events.
pub(super) fn find(
    letters: &[Record],
    model: &Model,
    events: &[Record],
    topic: &str,
    times: Times,
) -> Findings {
    let mut findings = Findings::default();
    let records: BTreeMap<Place, &Record> =
        events.iter().map(|record| ((record.partition, record.offset), record)).collect();
    let wanted = model.letters();
    let mut seen: BTreeMap<Place, usize> = BTreeMap::new();
    for letter in letters.iter().filter(|record| !is_note_of_redrive(record)) {
        let origin = Origin::of(letter);
        let count = seen.entry(origin.place).or_default();
        *count += 1;
        let is_new = *count == 1 || times == Times::AtLeastOnce;
        let what = || format!("the letter of {:?} is there {count} times: {}", origin.place, origin.reason);
        findings.expect(is_new, Class::Duplicate, what);
        findings.expect(origin.topic == topic, Class::Wrong, || format!("a letter of {}", origin.topic));
        let reason = wanted.get(&origin.place).copied();
        let original = records.get(&origin.place);
        let what = || format!("a letter of {:?}, {}; it must be {reason:?}", origin.place, origin.reason);
        findings.expect(reason == Some(origin.reason.as_str()), Class::Wrong, what);
        let what = || format!("the letter of {:?} has other bytes than its event", origin.place);
        findings.expect(original.is_some_and(|original| is_made_of(letter, original)), Class::Wrong, what);
    }
    for (place, reason) in wanted.iter().filter(|(place, _)| !seen.contains_key(place)) {
        findings.add(Class::LostWrite, format!("the letter of {place:?} is missing: {reason}"));
    }
    findings
}

fn is_made_of(letter: &Record, original: &Record) -> bool {
    letter.key == original.key
        && letter.value == original.value
        && letter.headers.starts_with(&original.headers)
}
