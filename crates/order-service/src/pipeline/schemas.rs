//! Schemas that records need and nobody has fetched yet. They are fetched beside the pipeline, so that only
//! the partition that needs one waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use order_events::codec::{AvroRecord, Codec, SchemaId, Undecodable};
use order_events::registry::{FetchError, RegistryUnavailable, outage_backoff};
use order_events::{EventCodec, SchemaRegistry};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::view::status::{Obstacle, Status};

/// A registry's final "no" is asked for again after this long: a flood of records with one bad id asks once,
/// and an id that was registered late is found all the same.
const NO_LASTS: Duration = Duration::from_secs(5);

/// For this long an id counts as one that no node knows: who asks for it again is told at once.
const NO_IS_REMEMBERED: Duration = Duration::from_secs(60);

/// A registry of several nodes: one of them may know a schema so much later than another.
const NODES_LAG: Duration = Duration::from_secs(5);

/// So often a registry is asked meanwhile.
const NODES_PAUSE: Duration = Duration::from_millis(500);

/// Whether a registry's "I do not know it" may be the answer of a node that is behind.
#[derive(Default)]
struct NodesLag(Option<Instant>);

impl NodesLag {
    /// Whether to ask again.
    fn may_explain(&mut self, reason: &Undecodable) -> bool {
        let Undecodable::UnknownSchema { id } = reason else { return false };
        if self.0.is_none() {
            info!(
                schema_id = id,
                "the registry does not know this schema; asking again, in case a node is behind"
            );
        }
        self.0.get_or_insert_with(Instant::now).elapsed() < NODES_LAG
    }
}

/// Fetches schemas, however long the registry is away, and tells of that.
#[derive(Clone)]
pub(crate) struct Fetcher {
    registry: Arc<SchemaRegistry>,
    status: Status,
    stop: CancellationToken,
    /// How many fetches wait for a registry that is away.
    waiting: Arc<Mutex<usize>>,
}

/// A fetch that waits for the registry, which is an obstacle as long as there is one.
struct Waiting<'a>(&'a Fetcher);

impl<'a> Waiting<'a> {
    fn begin(fetcher: &'a Fetcher) -> Self {
        *fetcher.waiting.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(fetcher)
    }

    fn tell(&self, outage: &RegistryUnavailable) {
        self.0.status.set(Obstacle::Registry, outage.to_string());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting -= 1;
        if *waiting == 0 {
            self.0.status.clear(Obstacle::Registry);
        }
    }
}

impl Fetcher {
    pub(crate) fn new(registry: Arc<SchemaRegistry>, status: Status, stop: CancellationToken) -> Self {
        Self { registry, status, stop, waiting: Arc::default() }
    }

    /// Teaches `codec` the schema with this id; calls `waiting` before it waits for a registry that is away. An unknown
    /// id is asked for again if it `may_lag`. `None` if it was told to stop in a wait.
    pub(super) async fn teach<T: AvroRecord>(
        &self,
        codec: &Codec<T>,
        id: SchemaId,
        may_lag: bool,
        waiting: impl Fn(),
    ) -> Option<Result<(), Undecodable>> {
        let (mut backoff, mut lag, mut is_away) = (outage_backoff(), NodesLag::default(), None);
        loop {
            let wait = match self.registry.teach(codec, id).await {
                Ok(()) => return Some(Ok(())),
                Err(FetchError::Permanent(reason)) if may_lag && lag.may_explain(&reason) => NODES_PAUSE,
                Err(FetchError::Permanent(reason)) => return Some(Err(reason)),
                Err(FetchError::Unavailable(outage)) => {
                    let wait = backoff.next().unwrap_or_default();
                    warn!(schema_id = id, %outage, ?wait, "waiting for the schema registry");
                    is_away.get_or_insert_with(|| Waiting::begin(self)).tell(&outage);
                    waiting();
                    wait
                }
            };
            self.stop.run_until_cancelled(tokio::time::sleep(wait)).await?;
        }
    }
}

/// Fetches the schemas of events in the background.
#[derive(Clone)]
pub(super) struct Schemas {
    fetcher: Fetcher,
    codec: Arc<EventCodec>,
    runtime: Handle,
    wanted: Arc<Mutex<HashMap<SchemaId, Answer>>>,
}

enum Answer {
    /// Being fetched.
    Pending,
    /// The registry knows no such schema, or it is of no use.
    No(Undecodable, Instant),
}

impl Schemas {
    pub(super) fn new(fetcher: Fetcher, codec: Arc<EventCodec>, runtime: Handle) -> Self {
        Self { fetcher, codec, runtime, wanted: Arc::default() }
    }

    /// Asks for a schema that the codec lacks. `Some` if it will never be had; `None` if it is being fetched.
    pub(super) fn want(&self, id: SchemaId) -> Option<Undecodable> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = match wanted.get(&id) {
            Some(Answer::Pending) => return None,
            Some(Answer::No(reason, since)) if since.elapsed() < NO_LASTS => return Some(reason.clone()),
            known => known.is_none(),
        };
        wanted.insert(id, Answer::Pending);
        self.runtime.spawn(self.clone().fetch(id, is_new));
        None
    }

    async fn fetch(self, id: SchemaId, is_new: bool) {
        let Some(taught) = self.fetcher.teach(&self.codec, id, is_new, || {}).await else { return };
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.remove(&id);
        wanted.retain(
            |_, answer| !matches!(answer, Answer::No(_, since) if since.elapsed() >= NO_IS_REMEMBERED),
        );
        if let Err(reason) = taught {
            wanted.insert(id, Answer::No(reason, Instant::now()));
        }
    }
}
