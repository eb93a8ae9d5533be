//! The orders that an instance shows, against the model.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::anomaly::{Class, Findings};
use super::ask::{ask, ask_one, name, some_of};
use super::changelog::Changelog;
use super::model::Model;
use super::states;
use crate::service::{Answer, Service};

/// The changelog, read once something differs.
pub(super) type Committed = LazyLock<Changelog, Box<dyn FnOnce() -> Changelog + Send>>;

/// The orders, and all ids. The changelog says who is at fault when something differs.
pub(super) async fn find(
    service: &Service,
    topic: &str,
    model: &Model,
    changelog: &Committed,
) -> Result<Findings, String> {
    let answer = ask_one(service, &format!("/getAllOrderIdsFromTopic?topic={topic}")).await?;
    let mut findings = compare_ids(service, &answer, model, changelog);
    let orders: Vec<_> = some_of(model.orders.iter().collect());
    let paths = orders.iter().map(|(id, _)| format!("/order-details?orderId={id}"));
    let answers = ask(service, paths.collect()).await?;
    for ((id, order), answer) in orders.into_iter().zip(answers) {
        if !is_right(id, order.content.as_ref(), &answer) {
            let class = class_of(id, &answer, model, changelog);
            let (name, expected) = (name(service), &order.content);
            let what = format!("{name} shows {id} as {}; it must be {expected:?}", answer.text);
            findings.add(class, what);
        }
    }
    Ok(findings)
}

/// The ids are those of the orders that exist, sorted.
fn compare_ids(service: &Service, answer: &Answer, model: &Model, changelog: &Committed) -> Findings {
    let mut findings = Findings::default();
    let expected: Vec<&str> = model.existing().map(|(id, _)| id.as_str()).collect();
    let listed = answer.json["orderIds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let listed: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
    let (there, wanted): (BTreeSet<_>, BTreeSet<_>) = (listed.iter().collect(), expected.iter().collect());
    for id in wanted.difference(&there) {
        let class = if changelog.has(id) { Class::Unseen } else { Class::LostWrite };
        findings.add(class, format!("{} does not list {id}", name(service)));
    }
    for id in there.difference(&wanted) {
        let class = if changelog.has(id) { Class::Wrong } else { Class::AbortedRead };
        findings.add(class, format!("{} lists {id}, which does not exist", name(service)));
    }
    let what = || format!("{} lists ids twice, or not sorted: {}", name(service), answer.text);
    findings.expect(there != wanted || listed == expected, Class::Wrong, what);
    findings
}

fn is_right(id: &str, expected: Option<&Value>, answer: &Answer) -> bool {
    let Some(expected) = expected else { return answer.status == 404 };
    let has = |(field, value): (&String, &Value)| {
        answer.json[field] == *value && answer.json["order"][field] == *value
    };
    answer.status == 200 && answer.json["orderId"] == id && expected.as_object().unwrap().iter().all(has)
}

/// What it is that an order is shown otherwise than it must be.
fn class_of(id: &str, answer: &Answer, model: &Model, changelog: &Changelog) -> Class {
    let committed = changelog.statuses(id);
    let shown = answer.json["status"].as_str().filter(|_| answer.status == 200);
    let is_known = answer.status == 200 || answer.status == 404;
    match (shown, committed.last()) {
        _ if !is_known => Class::Wrong,
        (None, None) => Class::LostWrite,
        (None, Some(_)) => Class::Unseen,
        (Some(shown), Some(last)) if shown == *last => class_of_committed(id, model, changelog),
        (Some(shown), _) if committed.contains(&shown) => Class::Unseen,
        _ => Class::AbortedRead,
    }
}

/// What is shown is what was committed, and that is at fault.
fn class_of_committed(id: &str, model: &Model, changelog: &Changelog) -> Class {
    let state = changelog.states.get(id).and_then(|states| states.last());
    let findings = state.map(|state| states::compare(id, state.partition, &state.value, model));
    let first = findings.as_ref().and_then(|findings| findings.anomalies().first());
    first.map_or(Class::Wrong, |anomaly| anomaly.class)
}
