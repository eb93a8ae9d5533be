//! The last states in the changelog against the model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::anomaly::{Class, Findings};
use super::changelog::{Changelog, offsets};
use super::model::{Model, Order, Outcome, Place};
use crate::kafka::Record;

/// Every order that is known must be there, in the partition of its events; and no other.
pub(super) fn find(changelog: &Changelog, model: &Model, events: &[Record]) -> Findings {
    let mut findings = Findings::default();
    let partitions: BTreeMap<&[u8], i32> =
        events.iter().filter_map(|record| Some((record.key.as_deref()?, record.partition))).collect();
    for (id, states) in &changelog.states {
        let state = states.last().expect("an order has a state");
        let is_there = partitions.get(id.as_bytes()) == Some(&state.partition);
        let what = || format!("{id} is in partition {} of the changelog", state.partition);
        findings.expect(is_there, Class::Wrong, what);
        findings.extend(compare(id, state.partition, &state.value, model));
    }
    let known = model.orders.iter().filter(|(_, order)| !order.is_unknown());
    for (id, _) in known.filter(|(id, _)| !changelog.states.contains_key(*id)) {
        findings.add(Class::LostWrite, format!("{id} is not in the changelog"));
    }
    findings
}

/// How a state in the changelog differs from what the model says.
pub(super) fn compare(id: &str, partition: i32, state: &Value, model: &Model) -> Findings {
    let mut findings = Findings::default();
    let Some(expected) = model.orders.get(id).filter(|order| !order.is_unknown()) else {
        let what = || format!("nothing must be known of {id}; its state is {state}");
        findings.expect(state.is_null(), Class::Wrong, what);
        return findings;
    };
    if state.is_null() {
        findings.add(Class::LostWrite, format!("the state of {id} was deleted"));
        return findings;
    }
    findings.extend(compare_events((id, partition), state, expected, model));
    if findings.is_empty() {
        let held: Vec<i64> = expected.held.iter().map(|(offset, _)| *offset).collect();
        let what = || format!("{id} has other events than {:?} and {held:?}: {state}", expected.applied);
        findings.expect(offsets(state) == (expected.applied.clone(), held.clone()), Class::Wrong, what);
        let content = expected.content.clone().unwrap_or_default();
        let what = || format!("{id} is {}; it must be {content}", state["order"]);
        findings.expect(state["order"] == content, Class::Wrong, what);
    }
    findings
}

/// Each event that takes effect is named in the state, once, and no other is.
fn compare_events((id, partition): (&str, i32), state: &Value, expected: &Order, model: &Model) -> Findings {
    let mut findings = Findings::default();
    let (applied, held) = offsets(state);
    let held_as_expected = expected.held.iter().map(|(offset, _)| *offset);
    let wanted: BTreeSet<i64> = expected.applied.iter().copied().chain(held_as_expected).collect();
    let mut there = BTreeSet::new();
    for offset in applied.into_iter().chain(held) {
        if !there.insert(offset) {
            findings.add(Class::Duplicate, format!("{id} has the event at {partition}:{offset} twice"));
        } else if !wanted.contains(&offset) {
            let outcome = model.outcomes.get(&(partition, offset));
            let what = format!("{id} has the event at {partition}:{offset}, which must be {outcome:?}");
            findings.add(class_of_surplus(model, (partition, offset)), what);
        }
    }
    for offset in wanted.difference(&there) {
        findings.add(Class::LostWrite, format!("{id} lacks the event at {partition}:{offset}"));
    }
    findings
}

/// What it is when an event took effect that must not.
fn class_of_surplus(model: &Model, place: Place) -> Class {
    match model.outcomes.get(&place) {
        Some(Outcome::Duplicate | Outcome::CopyOf(_)) => Class::Duplicate,
        _ => Class::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn classes(applied: &[i64], status: &str) -> Vec<Class> {
        let mut model = Model::default();
        let order = model.orders.entry("ORDER".to_owned()).or_default();
        (order.content, order.applied) = (Some(json!({ "status": "shipped" })), vec![3, 5]);
        model.outcomes.insert((0, 6), Outcome::Duplicate);
        let events: Vec<_> = applied.iter().map(|offset| json!({ "offset": offset })).collect();
        let state = json!({ "order": { "status": status }, "applied": events, "held": [] });
        let findings = compare("ORDER", 0, &state, &model);
        findings.anomalies().iter().map(|anomaly| anomaly.class).collect()
    }

    #[test]
    fn each_event_takes_effect_once() {
        assert_eq!(classes(&[3, 5], "shipped"), []);
        assert_eq!(classes(&[3], "shipped"), [Class::LostWrite]);
        assert_eq!(classes(&[3, 5, 5], "shipped"), [Class::Duplicate]);
        assert_eq!(classes(&[3, 5, 6], "shipped"), [Class::Duplicate], "a copy");
        assert_eq!(classes(&[3, 5, 7], "shipped"), [Class::Wrong]);
        assert_eq!(classes(&[5, 3], "shipped"), [Class::Wrong]);
        assert_eq!(classes(&[3, 5], "new"), [Class::Wrong]);
    }
}
