//! Many questions to an instance.

use reqwest::Method;
use serde_json::{Value, json};

use super::model::Model;
use crate::service::{Answer, Service};
use crate::wait::{PATIENCE, until};

/// How many questions are asked at the same time.
const AT_ONCE: usize = 32;

/// How many orders, or outcomes, an instance is asked for at the most.
const MOST: usize = 5_000;

/// Some of what could be asked for, from the beginning to the end. All of it is compared in the topics.
pub(super) fn some_of<T>(all: Vec<T>) -> Vec<T> {
    let step = all.len().div_ceil(MOST).max(1);
    all.into_iter().step_by(step).collect()
}

/// Gets all of them, many at a time; or gives why one was not answered.
pub(super) async fn ask(service: &Service, paths: Vec<String>) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::with_capacity(paths.len());
    for paths in paths.chunks(AT_ONCE) {
        let asked = paths.iter().map(|path| tokio::spawn(Answer::if_any(service.request(Method::GET, path))));
        for (asked, path) in asked.collect::<Vec<_>>().into_iter().zip(paths) {
            let answer = asked.await.unwrap();
            answers
                .push(answer.map_err(|error| format!("{} does not answer {path}: {error}", name(service)))?);
        }
    }
    Ok(answers)
}

/// Asks one question.
pub(super) async fn ask_one(service: &Service, path: &str) -> Result<Answer, String> {
    ask(service, vec![path.to_owned()]).await.map(|mut answers| answers.remove(0))
}

/// How findings name an instance: by its log.
pub(super) fn name(service: &Service) -> String {
    service.log_path().display().to_string()
}

/// Waits until an instance shows all events, be it that it processes them or follows another one. Behind twenty kills
/// it may have thousands to process in batches of ten, so the patience is for each step, and not for all of them. Or
/// gives where it stays.
pub(super) async fn caught_up(service: &Service, model: &Model) -> Result<(), String> {
    let ends: Vec<(Value, bool)> = model.ends.values().map(|end| (json!(end), true)).collect();
    let mut seen = progress(service, model).await;
    while seen.as_ref() != Ok(&ends) {
        let before = seen;
        let step = async || Some(progress(service, model).await).filter(|now| *now != before);
        let now = until(PATIENCE, step).await;
        let stays = || format!("{} stays at {before:?}; the log is at {:?}", name(service), model.ends);
        seen = now.ok_or_else(stays)?;
    }
    Ok(())
}

/// How far each partition is shown, and whether it may be read: at the end, that is so only once it is restored.
async fn progress(service: &Service, model: &Model) -> Result<Vec<(Value, bool)>, String> {
    let health = ask_one(service, "/health").await?.json;
    let partition = |number: &i32| {
        let partition = &health["partitions"][usize::try_from(*number).unwrap()];
        // Versions before this one do not tell it.
        (partition["position"].clone(), partition["restored"] != false)
    };
    Ok(model.ends.keys().map(partition).collect())
}
