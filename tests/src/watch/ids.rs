//! The orders that are looked at.

use std::sync::{Arc, Mutex};

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

/// How many of the newest orders are looked at, at least: those that change.
const NEWEST: usize = 60;
/// Of all orders, at least this part: a load that is large has many that change.
const PART: usize = 50;

/// Order ids that a load has used, the newest last.
#[derive(Debug, Clone, Default)]
pub struct Ids(Arc<Mutex<Vec<String>>>);

impl Ids {
    /// Adds one.
    pub fn add(&self, id: String) {
        self.0.lock().unwrap().push(id);
    }

    pub(super) fn choose(&self, chance: &mut ChaCha8Rng) -> Option<String> {
        let ids = self.0.lock().unwrap();
        let newest = NEWEST.max(ids.len() / PART);
        ids[ids.len().saturating_sub(newest)..].choose(chance).cloned()
    }
}
