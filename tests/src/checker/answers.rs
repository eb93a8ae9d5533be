//! What an instance answers, against the model.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::model::{Model, Outcome, Place};
use crate::service::{Answer, Service};
use crate::wait::eventually;

/// How many questions are asked at the same time.
const AT_ONCE: usize = 32;

/// Waits until an instance shows all events, be it that it processes them or follows another one. Behind twenty kills
/// it may have thousands to process in batches of ten, so the patience is for each step, and not for all of them.
pub(super) async fn caught_up(service: &Service, model: &Model) {
    let what = format!("it has caught up with {:?}: {}", model.ends, service.log_path().display());
    // A partition that is at the end may be read only once it is restored.
    let progress = async || -> Vec<(Value, bool)> {
        let health = service.get("/health").await.json;
        let partition = |number: &i32| {
            let partition = &health["partitions"][usize::try_from(*number).unwrap()];
            // Versions before this one do not tell it.
            (partition["position"].clone(), partition["restored"] != false)
        };
        model.ends.keys().map(partition).collect()
    };
    let ends: Vec<(Value, bool)> = model.ends.values().map(|end| (json!(end), true)).collect();
    let mut seen = progress().await;
    while seen != ends {
        let before = seen;
        seen = eventually(&what, async || {
            let now = progress().await;
            (now != before).then_some(now)
        })
        .await;
    }
}

/// Every order, and all ids.
pub(super) async fn check_orders(service: &Service, topic: &str, model: &Model) {
    let ids: Vec<&String> = model.existing().map(|(id, _)| id).collect();
    let answer = service.get(&format!("/getAllOrderIdsFromTopic?topic={topic}")).await;
    assert_eq!(answer.json["orderIds"], json!(ids), "{}", answer.text);
    let paths = model.orders.keys().map(|id| format!("/order-details?orderId={id}"));
    let answers = ask(service, paths.collect()).await;
    for ((id, order), answer) in model.orders.iter().zip(answers) {
        check_order(id, order.content.as_ref(), &answer, service);
    }
}

fn check_order(id: &str, expected: Option<&Value>, answer: &Answer, service: &Service) {
    let log = service.log_path().display();
    let Some(expected) = expected else {
        assert_eq!(answer.status, 404, "{id} does not exist: {} {log}", answer.text);
        return;
    };
    assert_eq!(answer.status, 200, "{id}: {} {log}", answer.text);
    assert_eq!(answer.json["orderId"], id);
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(answer.json[field], *value, "{field} of {id}: {log}");
        assert_eq!(answer.json["order"][field], *value, "{field} of {id}: {log}");
    }
}

/// What became of each event, but for some.
pub(super) async fn check_outcomes(service: &Service, topic: &str, model: &Model, but_for: &BTreeSet<Place>) {
    let places = model.ends.iter().flat_map(|(partition, end)| (0..*end).map(|offset| (*partition, offset)));
    let places: Vec<Place> = places.filter(|place| !but_for.contains(place)).collect();
    let paths = places.iter().map(|(partition, offset)| format!("/events/{topic}/{partition}/{offset}"));
    let answers = ask(service, paths.collect()).await;
    for (place, answer) in places.iter().zip(answers) {
        let expected = report(topic, *place, model.fate(*place));
        assert_eq!(answer.json, expected, "{} {}", answer.text, service.log_path().display());
    }
}

/// Gets all of them, many at a time.
async fn ask(service: &Service, paths: Vec<String>) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(paths.len());
    for paths in paths.chunks(AT_ONCE) {
        let asked = paths.iter().map(|path| tokio::spawn(Answer::to(service.request(Method::GET, path))));
        for asked in asked.collect::<Vec<_>>() {
            answers.push(asked.await.unwrap());
        }
    }
    answers
}

fn report(topic: &str, place: Place, outcome: Option<Outcome>) -> Value {
    let (partition, offset) = place;
    let (outcome, reason) = match outcome {
        Some(Outcome::Applied) => ("applied", None),
        Some(Outcome::Duplicate | Outcome::CopyOf(_)) => ("duplicate", None),
        Some(Outcome::Held) => ("held", None),
        Some(Outcome::Letter(reason)) => ("dead_lettered", Some(reason)),
        // An aborted event, or the mark of a transaction.
        None => ("no_event", None),
    };
    let mut report = json!({ "topic": topic, "partition": partition, "offset": offset,
        "position": format!("{partition}:{offset}"), "outcome": outcome });
    if let Some(reason) = reason {
        report["reason"] = json!(reason);
    }
    report
}
