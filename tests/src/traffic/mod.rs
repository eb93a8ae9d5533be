//! A load with everything in it, drawn from a seed.

mod mix;
mod shop;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::task::{JoinSet, block_in_place};

pub use self::mix::{Draft, EVERYTHING, Kind, Mix, WITH_STRANGERS, Weights};
use self::shop::Shop;
use self::writer::{MIXED, Writer};
use crate::checker::Told;
use crate::load;
use crate::seed::chance;
use crate::service::Service;
use crate::watch::Ids;
use crate::world::World;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// So many records a second, straight into the topic.
    pub per_second: u32,
    /// So many clients of cart-service, each with some 30 requests a second.
    pub shops: u32,
}

impl Rate {
    /// A small load: every event can be followed in the logs.
    pub const SMALL: Self = Self { per_second: 150, shops: 1 };
}

/// A load that runs.
pub struct Traffic {
    stop: Stop,
    writers: Vec<thread::JoinHandle<()>>,
    shops: JoinSet<Vec<Told>>,
    cart: Arc<Service>,
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
    /// Begins: writers of its own, and clients of a cart-service.
    pub async fn begin(world: &World, seed: u64, weights: Weights, rate: Rate) -> Self {
        let (stop, ids) = (Arc::new(AtomicBool::new(false)), Ids::default());
        // It also makes the topics.
        let cart = Arc::new(world.cart().await);
        let codec = Arc::new(load::codec(world).await);
        let write = |name, writer, per_second, draws| {
            let mix = Mix::new(name, codec.clone(), weights, per_second, ids.clone(), chance(seed, draws));
            writer::spawn(writer, mix, per_second, chance(seed, draws + 1), stop.clone())
        };
        let mixed = rate.per_second.min(MIXED);
        let mut writers = vec![write("", Writer::mixed(world.events()), mixed, 1)];
        if rate.per_second > mixed {
            writers.push(write("P", Writer::plain(world.events()), rate.per_second - mixed, 10));
        }
        let shop = |number| Shop::new(number, cart.clone(), ids.clone(), chance(seed, 1000 + number));
        let shops = (0..rate.shops).map(|number| shop(number.into()).run(stop.clone())).collect();
        Self { stop: Stop(stop), writers, shops, cart, ids }
    }

    /// The ids of its orders.
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// Ends; gives what cart-service has confirmed. Everything is in the topic then.
    pub async fn end(self) -> Vec<Told> {
        drop(self.stop);
        let told = self.shops.join_all().await.concat();
        Arc::into_inner(self.cart).expect("its clients are done").stop().await;
        block_in_place(|| self.writers.into_iter().try_for_each(thread::JoinHandle::join)).unwrap();
        told
    }
}
