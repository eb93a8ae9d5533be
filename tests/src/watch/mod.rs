//! What instances show while things happen to them.

mod ids;
mod places;
mod reader;
mod relay;
mod shown;
mod sightings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::ChaCha8Rng;
use tokio::task::JoinHandle;

pub(crate) use self::ids::Ids;
use self::reader::Reader;
pub use self::relay::Relay;
pub use self::sightings::Sightings;

/// A task that reads until it is told to stop.
struct Reading {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Sightings>,
}

impl Reading {
    async fn end(self) -> Sightings {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap()
    }
}

/// Reads one instance all the time.
pub struct Watch(Reading);

impl Watch {
    /// Begins to read the instance on this port.
    pub(crate) fn begin(port: u16, topic: &str, ids: Ids, chance: ChaCha8Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader::new(port, topic, chance);
        let task = tokio::spawn(reader.read(ids, stop.clone()));
        Self(Reading { stop, task })
    }

    /// What was shown. An instance that is gone shows nothing any more.
    pub async fn end(self) -> Sightings {
        self.0.end().await
    }
}
