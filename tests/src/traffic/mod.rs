//! A load with everything in it, drawn from a seed.

mod mix;
mod shop;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::task::{JoinHandle, block_in_place};

pub use self::mix::{Draft, EVERYTHING, Kind, Mix, WITH_STRANGERS, Weights};
use self::writer::Writer;
use crate::checker::Told;
use crate::load;
use crate::seed::chance;
use crate::watch::Ids;
use crate::world::World;

/// A load that runs.
pub struct Traffic {
    stop: Stop,
    writer: thread::JoinHandle<()>,
    shop: JoinHandle<Vec<Told>>,
    ids: Ids,
}

/// A load whose test has ended must not go on.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Traffic {
    /// Begins: a writer of its own, and clients of a cart-service.
    pub async fn begin(world: &World, seed: u64, weights: Weights, per_second: u32) -> Self {
        let (stop, ids) = (Arc::new(AtomicBool::new(false)), Ids::default());
        // It also makes the topics.
        let cart = world.cart().await;
        let mix = Mix::new(load::codec(world).await, weights, ids.clone(), chance(seed, 1));
        let writer = Writer::new(world.events());
        let writer = writer::spawn(writer, mix, per_second, chance(seed, 2), stop.clone());
        let shop = tokio::spawn(shop::run(cart, ids.clone(), chance(seed, 3), stop.clone()));
        Self { stop: Stop(stop), writer, shop, ids }
    }

    /// The ids of its orders.
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// Ends; gives what cart-service has confirmed. Everything is in the topic then.
    pub async fn end(self) -> Vec<Told> {
        drop(self.stop);
        let told = self.shop.await.unwrap();
        block_in_place(|| self.writer.join()).unwrap();
        told
    }
}
