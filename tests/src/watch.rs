//! What an instance shows while things happen to it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::checker::{Changelog, Place};

/// How many of the newest orders are looked at: those that change.
const NEWEST: usize = 60;

/// How far behind the newest event that an answer shows an event may be whose outcome is asked for, and how far before it.
const EVENTS: RangeInclusive<i64> = -5..=20;

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

/// What one instance showed, one after the other, without repeats.
#[derive(Debug, Default)]
pub struct Sightings {
    port: u16,
    /// The statuses of each order; `None` is a 404.
    shown: BTreeMap<String, Vec<Option<String>>>,
    /// What became of each event.
    outcomes: BTreeMap<Place, Vec<String>>,
}

impl Watch {
    /// Begins to read the instance on this port.
    pub(crate) fn begin(port: u16, topic: &str, ids: Ids, chance: ChaCha8Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build().unwrap();
        let reader =
            Reader { http, url: format!("http://127.0.0.1:{port}"), topic: topic.to_owned(), chance };
        let task = tokio::spawn(reader.read(port, ids, stop.clone()));
        Self { stop, task }
    }

    /// What was shown. An instance that is gone shows nothing any more.
    pub async fn end(self) -> Sightings {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

struct Reader {
    http: reqwest::Client,
    url: String,
    topic: String,
    chance: ChaCha8Rng,
}

impl Reader {
    async fn read(mut self, port: u16, ids: Ids, stop: Arc<AtomicBool>) -> Sightings {
        let mut sightings = Sightings { port, ..Sightings::default() };
        while !stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(0..8))).await;
            let Some(id) = ids.choose(&mut self.chance) else { continue };
            match self.look_at(id, &mut sightings).await {
                Err(error) if !error.is_timeout() => break,
                _ => {}
            }
        }
        sightings
    }

    /// Looks at an order, and at an event of its partition.
    async fn look_at(&mut self, id: String, sightings: &mut Sightings) -> reqwest::Result<()> {
        let order = self.http.get(format!("{}/order-details?orderId={id}", self.url)).send().await?;
        let position = order.headers().get("order-position").and_then(|value| value.to_str().ok());
        let newest = position.and_then(|position| places(position).choose(&mut self.chance).copied());
        sightings.note_order(id, order).await?;
        let Some((partition, newest)) = newest else { return Ok(()) };
        let offset = (newest - self.chance.random_range(EVENTS)).max(0);
        let url = format!("{}/events/{}/{partition}/{offset}", self.url, self.topic);
        sightings.note_outcome((partition, offset), self.http.get(url).send().await?).await
    }
}

/// The places in an `Order-Position`.
fn places(position: &str) -> Vec<Place> {
    let place = |place: &str| {
        let (partition, offset) = place.split_once(':').expect("partition:offset");
        (partition.parse().unwrap(), offset.parse().unwrap())
    };
    position.split(',').map(|one| place(one.trim())).collect()
}

impl Sightings {
    async fn note_order(&mut self, id: String, answer: reqwest::Response) -> reqwest::Result<()> {
        let status = match answer.status().as_u16() {
            200 => Some(answer.json::<Value>().await?["status"].as_str().unwrap().to_owned()),
            404 => None,
            // Not restored yet.
            503 => return Ok(()),
            other => panic!("{other} for {id}"),
        };
        note(self.shown.entry(id).or_default(), status);
        Ok(())
    }

    async fn note_outcome(&mut self, place: Place, answer: reqwest::Response) -> reqwest::Result<()> {
        match answer.status().as_u16() {
            200 => {
                let outcome = answer.json::<Value>().await?["outcome"].as_str().unwrap().to_owned();
                note(self.outcomes.entry(place).or_default(), outcome);
            }
            503 => {}
            other => panic!("{other} for {place:?}"),
        }
        Ok(())
    }

    /// Everything that was shown is committed, and nothing went back.
    pub fn check(&self, changelog: &Changelog) {
        self.check_outcomes(changelog);
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

    /// An event has an outcome once its transaction is committed. Only what waits gets another one.
    fn check_outcomes(&self, changelog: &Changelog) {
        let port = self.port;
        for (place, outcomes) in &self.outcomes {
            let waits = |outcome: &String| outcome == "pending" || outcome == "held";
            let (last, before) = outcomes.split_last().expect("one was noted");
            assert!(before.iter().all(waits), "{port} showed {place:?} as {outcomes:?}");
            assert!(last != "pending" || before.is_empty(), "{port} showed {place:?} as {outcomes:?}");
            let processed = changelog.progress.get(&place.0).map_or(0, |p| p["nextOffset"].as_i64().unwrap());
            assert!(
                last == "pending" || place.1 < processed,
                "{port} showed {place:?} as {outcomes:?}; committed are those before {processed}"
            );
        }
    }

    /// How many outcomes of events were seen.
    pub fn outcomes(&self) -> usize {
        self.outcomes.values().flatten().filter(|outcome| *outcome != "pending").count()
    }

    /// How many states were seen.
    pub fn count(&self) -> usize {
        self.shown.values().map(Vec::len).sum()
    }
}

fn note<T: PartialEq>(shown: &mut Vec<T>, now: T) {
    if shown.last() != Some(&now) {
        shown.push(now);
    }
}
