//! Reads one instance.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

use super::Ids;
use super::places::{places, position};
use super::sightings::Sightings;

/// How far behind the newest event that an answer shows an event may be whose outcome is asked for, and how far before it.
const EVENTS: RangeInclusive<i64> = -5..=20;

pub(super) struct Reader {
    http: reqwest::Client,
    port: u16,
    topic: String,
    chance: ChaCha8Rng,
}

impl Reader {
    pub(super) fn new(port: u16, topic: &str, chance: ChaCha8Rng) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(1)).build().unwrap();
        Self { http, port, topic: topic.to_owned(), chance }
    }

    pub(super) async fn read(mut self, ids: Ids, stop: Arc<AtomicBool>) -> Sightings {
        let mut sightings = Sightings::default();
        // Where the last answer was.
        let mut reached = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(0..8))).await;
            let Some(id) = ids.choose(&mut self.chance) else { continue };
            match self.look_at(id, &mut reached, &mut sightings).await {
                Err(error) if !error.is_timeout() => break,
                _ => {}
            }
        }
        sightings
    }

    /// Looks at an order, and at an event of its partition.
    async fn look_at(
        &mut self,
        id: String,
        reached: &mut Vec<String>,
        sightings: &mut Sightings,
    ) -> reqwest::Result<()> {
        let url = format!("http://127.0.0.1:{}", self.port);
        let order = self.http.get(format!("{url}/order-details?orderId={id}")).send().await?;
        let position = position(&order);
        let newest =
            position.as_deref().and_then(|position| places(position).choose(&mut self.chance).copied());
        sightings.note_order(self.port, id, order).await?;
        if let Some(position) = position {
            sightings.note_position(self.port, &position, reached);
            // An order has a position in its partition alone: the last few are those of all.
            reached.push(position);
            reached.drain(..reached.len().saturating_sub(10));
        }
        let Some((partition, newest)) = newest else { return Ok(()) };
        let offset = (newest - self.chance.random_range(EVENTS)).max(0);
        let url = format!("{url}/events/{}/{partition}/{offset}", self.topic);
        let outcome = self.http.get(url).send().await?;
        sightings.note_outcome(self.port, (partition, offset), outcome).await
    }
}
