//! Reads several instances in turn, and tells each how far the one before it was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use reqwest::Response;

use super::places::position;
use super::sightings::Sightings;
use super::{Ids, Reading};
use crate::service::Service;
use crate::wait::eventually;

/// How long an instance may wait until it is as far as the one before it.
const PREFER: &str = "wait=1";

/// Longer than that, and short enough to go on soon when one hangs.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the instances that take part, one after the other. For each order, the `Order-Position` of an answer becomes
/// the `position` of the next question, which goes to another instance: that must not show anything older.
pub struct Relay {
    reading: Reading,
    members: Members,
    /// How often an instance was asked after another one.
    turns: Arc<AtomicUsize>,
}

/// The ports of the instances that take part.
#[derive(Clone, Default)]
struct Members(Arc<Mutex<Vec<u16>>>);

impl Members {
    /// One of them, another than this one if there is one.
    fn choose(&self, but: Option<u16>, chance: &mut ChaCha8Rng) -> Option<u16> {
        let members = self.0.lock().unwrap();
        let others: Vec<u16> = members.iter().copied().filter(|port| Some(*port) != but).collect();
        others.choose(chance).or_else(|| members.first()).copied()
    }

    fn remove(&self, port: u16) {
        self.0.lock().unwrap().retain(|other| *other != port);
    }
}

impl Relay {
    pub(crate) fn begin(ids: Ids, chance: ChaCha8Rng) -> Self {
        let (stop, members) = (Arc::new(AtomicBool::new(false)), Members::default());
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
        let turns = Arc::new(AtomicUsize::new(0));
        let runner =
            Runner { http, members: members.clone(), turns: turns.clone(), chance, last: BTreeMap::new() };
        let task = tokio::spawn(runner.run(ids, stop.clone()));
        Self { reading: Reading { stop, task }, members, turns }
    }

    /// An instance takes part from now on.
    pub fn join(&self, service: &Service) {
        self.members.0.lock().unwrap().push(service.port());
    }

    /// An instance takes no part any more: it is about to end, and its port may become another program's.
    pub fn leave(&self, service: &Service) {
        self.members.remove(service.port());
    }

    /// Waits until instances were asked after one another so often.
    pub async fn has_turned(&self, times: usize) {
        let what = format!("instances were asked after one another {times} times");
        eventually(&what, async || (self.turns.load(Ordering::SeqCst) >= times).then_some(())).await;
    }

    /// What was shown, in the order in which it was.
    pub async fn end(self) -> Sightings {
        self.reading.end().await
    }
}

struct Runner {
    http: reqwest::Client,
    members: Members,
    turns: Arc<AtomicUsize>,
    chance: ChaCha8Rng,
    /// Who has answered last for each order, and with which position.
    last: BTreeMap<String, (u16, Option<String>)>,
}

impl Runner {
    async fn run(mut self, ids: Ids, stop: Arc<AtomicBool>) -> Sightings {
        let mut sightings = Sightings::default();
        while !stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(0..8))).await;
            let Some(id) = ids.choose(&mut self.chance) else { continue };
            let before = self.last.get(&id).map(|(port, _)| *port);
            let Some(port) = self.members.choose(before, &mut self.chance) else { continue };
            match self.look_at(id, port, &mut sightings).await {
                // It ends, or has ended.
                Err(error) if !error.is_timeout() => self.members.remove(port),
                _ => {}
            }
        }
        sightings
    }

    /// Looks at an order as it is at one instance, not older than it was at the last one.
    async fn look_at(&mut self, id: String, port: u16, sightings: &mut Sightings) -> reqwest::Result<()> {
        let (before, asked) = self.last.get(&id).cloned().unzip();
        let asked = asked.flatten();
        let answer = self.ask(&id, port, asked.as_deref()).await?;
        let reached = position(&answer);
        if !sightings.note_order(port, id.clone(), answer).await? {
            return Ok(());
        }
        if let Some(reached) = &reached {
            sightings.note_position(port, reached, asked.as_slice());
        }
        let is_turn = asked.is_some() && before != Some(port);
        sightings.note_turn(is_turn);
        self.turns.fetch_add(is_turn.into(), Ordering::SeqCst);
        self.last.insert(id, (port, reached.or(asked)));
        Ok(())
    }

    async fn ask(&self, id: &str, port: u16, position: Option<&str>) -> reqwest::Result<Response> {
        let position = position.map(|position| format!("&position={position}")).unwrap_or_default();
        let url = format!("http://127.0.0.1:{port}/order-details?orderId={id}{position}");
        self.http.get(url).header("Prefer", PREFER).send().await
    }
}
