//! What an instance says of each event, against the model.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::anomaly::{Class, Findings};
use super::ask::{ask, name, some_of};
use super::model::{Model, Outcome, Place};
use crate::service::Service;

/// What became of the events, but for some.
pub(super) async fn find(
    service: &Service,
    topic: &str,
    model: &Model,
    but_for: &BTreeSet<Place>,
) -> Result<Findings, String> {
    let mut findings = Findings::default();
    let places = model.ends.iter().flat_map(|(partition, end)| (0..*end).map(|offset| (*partition, offset)));
    let places: Vec<Place> = some_of(places.filter(|place| !but_for.contains(place)).collect());
    let paths = places.iter().map(|(partition, offset)| format!("/events/{topic}/{partition}/{offset}"));
    let answers = ask(service, paths.collect()).await?;
    for (place, answer) in places.iter().zip(answers) {
        let expected = report(topic, *place, model.fate(*place));
        let what = || format!("{} says {}; it must be {expected}", name(service), answer.text);
        findings.expect(answer.json == expected, class_of(&answer.json, &expected), what);
    }
    Ok(findings)
}

/// What it is that an outcome is told otherwise than it must be.
fn class_of(said: &Value, expected: &Value) -> Class {
    match (said["outcome"].as_str(), expected["outcome"].as_str()) {
        (Some("pending" | "forgotten"), _) => Class::Unseen,
        (Some("applied"), Some("duplicate")) => Class::Duplicate,
        _ => Class::Wrong,
    }
}

/// The outcome and the reason, as clients are told.
pub(super) fn told(outcome: Option<Outcome>) -> (&'static str, Option<&'static str>) {
    match outcome {
        Some(Outcome::Applied) => ("applied", None),
        Some(Outcome::Duplicate | Outcome::CopyOf(_)) => ("duplicate", None),
        Some(Outcome::Held) => ("held", None),
        Some(Outcome::Letter(reason)) => ("dead_lettered", Some(reason)),
        // An aborted event, or a control record.
        None => ("no_event", None),
    }
}

fn report(topic: &str, place: Place, outcome: Option<Outcome>) -> Value {
    let (partition, offset) = place;
    let (outcome, reason) = told(outcome);
    let mut report = json!({ "topic": topic, "partition": partition, "offset": offset,
        "position": format!("{partition}:{offset}"), "outcome": outcome });
    if let Some(reason) = reason {
        report["reason"] = json!(reason);
    }
    report
}
