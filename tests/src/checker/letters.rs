//! The dead letter topic against the events that it must hold.

use std::collections::BTreeMap;

use super::model::{Model, Place};
use crate::kafka::{Record, Topic};

/// How often each dead letter may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Once and no more.
    Once,
    /// Once or more often.
    AtLeastOnce,
}

/// What a dead letter says of itself.
struct Origin {
    topic: String,
    place: Place,
    reason: String,
}

fn origin(letter: &Record) -> Origin {
    let header = |name: &str| letter.header(name).unwrap_or_else(|| panic!("no {name}: {letter:?}"));
    let place = (header("__connect.errors.partition"), header("__connect.errors.offset"));
    Origin {
        topic: header("__connect.errors.topic"),
        place: (place.0.parse().unwrap(), place.1.parse().unwrap()),
        reason: header("dlq-reason"),
    }
}

/// The dead letters are those of the model, with the bytes of their events.
pub(super) fn check(letters: &Topic, model: &Model, events: &[Record], topic: &str, times: Times) {
    let records: BTreeMap<Place, &Record> =
        events.iter().map(|record| ((record.partition, record.offset), record)).collect();
    let mut missing = model.letters();
    let mut seen: BTreeMap<Place, usize> = BTreeMap::new();
    let all = model.letters();
    let is_note_of_redrive = |record: &Record| record.header("dlq-redrive-of").is_some();
    for letter in letters.read().into_iter().filter(|record| !is_note_of_redrive(record)) {
        let Origin { topic: of, place, reason } = origin(&letter);
        assert_eq!(of, topic);
        *seen.entry(place).or_default() += 1;
        if times == Times::Once {
            assert_eq!(seen[&place], 1, "the dead letter of {place:?} is there twice: {reason}");
        }
        let wanted = all.get(&place).copied();
        assert_eq!(wanted, Some(reason.as_str()), "a dead letter of {place:?}: {:?}", records.get(&place));
        missing.remove(&place);
        let original = records[&place];
        assert_eq!(letter.key, original.key, "the key of {place:?}");
        assert_eq!(letter.value, original.value, "the value of {place:?}");
        assert!(letter.headers.starts_with(&original.headers), "the headers of {place:?}");
    }
    assert!(missing.is_empty(), "dead letters are missing: {missing:?}");
}
