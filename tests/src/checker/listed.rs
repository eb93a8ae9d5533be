//! `/dlq/messages` of an instance against the dead letter topic.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::anomaly::{Class, Findings};
use super::ask::{ask_one, name};
use super::letters::{Origin, is_note_of_redrive};
use super::model::{Model, Outcome, Place};
use super::outcomes::told;
use crate::kafka::Record;
use crate::service::Service;
use crate::wait::{PATIENCE, until};

/// The most that a page has.
const PAGE: usize = 1000;

/// What is in the topic.
struct Letters<'a> {
    model: &'a Model,
    /// By offset.
    letters: BTreeMap<i64, Origin>,
    /// The last letter of each event.
    by_place: BTreeMap<Place, i64>,
    /// The last note that a letter was sent again.
    notes: BTreeMap<i64, Value>,
}

impl<'a> Letters<'a> {
    fn new(topic: &[Record], model: &'a Model) -> Self {
        let (notes, letters): (Vec<&Record>, Vec<&Record>) =
            topic.iter().partition(|record| is_note_of_redrive(record));
        let letters: BTreeMap<i64, Origin> =
            letters.iter().map(|letter| (letter.offset, Origin::of(letter))).collect();
        let by_place = letters.iter().map(|(offset, origin)| (origin.place, *offset)).collect();
        let note =
            |note: &&Record| -> Value { serde_json::from_slice(note.value.as_ref().unwrap()).unwrap() };
        let notes = notes.iter().map(note).map(|note| (note["dlqOffset"].as_i64().unwrap(), note)).collect();
        Self { model, letters, by_place, notes }
    }

    /// What an instance lists of a letter, as far as it can be said beforehand. Null is a letter that is not there.
    fn expected(&self, offset: i64) -> Value {
        let Some(origin) = self.letters.get(&offset) else { return Value::Null };
        json!({
            "dlq_offset": offset,
            "original_topic": origin.topic,
            "original_partition": origin.place.0,
            "original_offset": origin.place.1,
            "reason": origin.reason,
            "redrive": self.notes.get(&offset).map(|note| self.redrive(note)),
        })
    }

    fn redrive(&self, note: &Value) -> Value {
        let number = |field: &str| note[field].as_i64().unwrap();
        let place = (i32::try_from(number("partition")).unwrap(), number("offset"));
        let (outcome, reason) = told(self.model.fate(place));
        json!({
            "attempt": note["attempt"],
            "position": format!("{}:{}", place.0, place.1),
            "outcome": outcome,
            "reason": reason,
            "dead_again": self.by_place.get(&place),
        })
    }

    /// Whether the event that a letter was made again is a copy, of which older versions tell something else.
    fn is_copy(&self, position: &str) -> bool {
        let place = position.split_once(':').expect("partition:offset");
        let place = (place.0.parse().unwrap(), place.1.parse().unwrap());
        matches!(self.model.outcomes.get(&place), Some(Outcome::CopyOf(_)))
    }
}

/// Each letter is listed once, with what became of it, and no other is.
pub(super) async fn find(service: &Service, topic: &[Record], model: &Model) -> Result<Findings, String> {
    let letters = Letters::new(topic, model);
    // A list that stays too short is found out below.
    until(PATIENCE, async || {
        let stats = ask_one(service, "/dlq/stats").await.ok()?.json;
        (stats["total_messages"].as_u64()? >= letters.letters.len() as u64).then_some(())
    })
    .await;
    let mut findings = Findings::default();
    let mut listed: BTreeMap<i64, usize> = BTreeMap::new();
    for message in all(service).await? {
        let offset = message["dlq_offset"].as_i64().unwrap();
        *listed.entry(offset).or_default() += 1;
        let what = || format!("{} lists letter {offset} twice", name(service));
        findings.expect(listed[&offset] == 1, Class::Duplicate, what);
        let expected = letters.expected(offset);
        let class = if expected.is_null() { Class::AbortedRead } else { Class::Wrong };
        let what = || format!("{} lists {message}; it must be {expected}", name(service));
        findings.expect(is_listed_as(&message, &expected, &letters), class, what);
    }
    for offset in letters.letters.keys().filter(|offset| !listed.contains_key(offset)) {
        findings.add(Class::Unseen, format!("{} does not list letter {offset}", name(service)));
    }
    Ok(findings)
}

/// All pages.
async fn all(service: &Service) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    loop {
        let path = format!("/dlq/messages?limit={PAGE}&offset={}", all.len());
        let page = ask_one(service, &path).await?;
        let messages = page.json["messages"].as_array();
        let messages =
            messages.ok_or_else(|| format!("{} answers {path} with {}", name(service), page.text))?;
        all.extend(messages.iter().cloned());
        if messages.len() < PAGE {
            return Ok(all);
        }
    }
}

fn is_listed_as(message: &Value, expected: &Value, letters: &Letters<'_>) -> bool {
    let Some(fields) = expected.as_object() else { return false };
    let differs = |(field, value): (&String, &Value)| message[field] != *value;
    let others = fields.iter().filter(|(field, _)| *field != "redrive").any(differs);
    let (redrive, expected) = (&message["redrive"], &expected["redrive"]);
    !others && is_sent_again_as(redrive, expected, letters)
}

fn is_sent_again_as(redrive: &Value, expected: &Value, letters: &Letters<'_>) -> bool {
    let Some(fields) = expected.as_object() else { return redrive.is_null() };
    let is_copy = expected["position"].as_str().is_some_and(|position| letters.is_copy(position));
    let is_told = |field: &str| !is_copy || (field != "outcome" && field != "reason");
    fields.iter().filter(|(field, _)| is_told(field)).all(|(field, value)| redrive[field] == *value)
}
