//! What an instance shows while things happen to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::checker::Changelog;

/// How many of the newest orders are looked at: those that change.
const NEWEST: usize = 60;

/// Order ids that a load has used, the newest last.
#[derive(Debug, Clone, Default)]
pub struct Ids(Arc<Mutex<Vec<String>>>);

impl Ids {
    /// Adds one.
    pub fn add(&self, id: String) {
        self.0.lock().unwrap().push(id);
    }

    fn choose(&self, chance: &mut ChaCha8Rng) -> Option<String> {
        let ids = self.0.lock().unwrap();
        ids[ids.len().saturating_sub(NEWEST)..].choose(chance).cloned()
    }
}

/// Reads one instance all the time.
pub struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Sightings>,
}

/// What one instance showed of each order, one after the other, without repeats; `None` is a 404.
#[derive(Debug, Default)]
pub struct Sightings {
    port: u16,
    shown: BTreeMap<String, Vec<Option<String>>>,
}

impl Watch {
    /// Begins to read the instance on this port.
    pub(crate) fn begin(port: u16, ids: Ids, chance: ChaCha8Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(read(port, ids, chance, stop.clone()));
        Self { stop, task }
    }

    /// What was shown. An instance that is gone shows nothing any more.
    pub async fn end(self) -> Sightings {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

async fn read(port: u16, ids: Ids, mut chance: ChaCha8Rng, stop: Arc<AtomicBool>) -> Sightings {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build().unwrap();
    let mut sightings = Sightings { port, shown: BTreeMap::new() };
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(chance.random_range(0..8))).await;
        let Some(id) = ids.choose(&mut chance) else { continue };
        let url = format!("http://127.0.0.1:{port}/order-details?orderId={id}");
        match http.get(url).send().await {
            Ok(answer) => sightings.note(id, answer).await,
            Err(error) if error.is_timeout() => {}
            Err(_) => break,
        }
    }
    sightings
}

impl Sightings {
    async fn note(&mut self, id: String, answer: reqwest::Response) {
        let status = match answer.status().as_u16() {
            200 => match answer.json::<Value>().await {
                Ok(order) => Some(order["status"].as_str().unwrap().to_owned()),
                Err(_) => return,
            },
            404 => None,
            // Not restored yet.
            503 => return,
            other => panic!("{other} for {id}"),
        };
        let shown = self.shown.entry(id).or_default();
        if shown.last() != Some(&status) {
            shown.push(status);
        }
    }

    /// Everything that was shown is committed, and nothing went back.
    pub fn check(&self, changelog: &Changelog) {
        for (id, shown) in &self.shown {
            let committed = changelog.statuses(id);
            let mut rest = committed.iter();
            for (index, status) in shown.iter().enumerate() {
                let is_right = match status {
                    None => index == 0,
                    Some(status) => rest.any(|committed| committed == status),
                };
                let port = self.port;
                assert!(is_right, "{port} showed {id} as {shown:?}; this was committed: {committed:?}");
            }
        }
    }

    /// How many states were seen.
    pub fn count(&self) -> usize {
        self.shown.values().map(Vec::len).sum()
    }
}
