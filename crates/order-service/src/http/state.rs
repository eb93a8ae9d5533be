//! What the handlers share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::FromRef;
use order_events::{EventCodec, OrderId, Place, SchemaRegistry};
use prometheus_client::registry::Registry;
use service_runtime::Problem;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::dead_letters::{Examiner, Index, Lookup, Redriver};
use crate::settings::OrderSettings;
use crate::view::processed::{Known, Processed};
use crate::view::status::Status;
use crate::view::{View, ViewCell};

/// The dead letters as clients meet them; cheap to clone.
#[derive(Clone)]
pub struct Letters {
    /// Those that are in memory.
    pub index: Index,
    /// Finds one of them, also if it is not in memory any more.
    pub lookup: Lookup,
    /// Sends them again.
    pub redriver: Redriver,
    /// Reads the events in them.
    pub events: Arc<EventCodec>,
    /// Has the schemas of those.
    pub registry: Arc<SchemaRegistry>,
    /// What became of those that were sent again.
    pub processed: Processed,
}

impl Letters {
    /// None is read yet. Must be called inside of a runtime.
    pub fn new(config: &Config, view: &View, events: Arc<EventCodec>, registry: Arc<SchemaRegistry>) -> Self {
        let index =
            Index::new(config.settings.dead_letters.dlq_index_max, &config.settings.topics.order_topic);
        let lookup = Lookup::new(index.clone(), config.dead_letter_topic.clone());
        let examiner = Examiner {
            events_topic: config.settings.topics.order_topic.clone(),
            codec: events.clone(),
            registry: registry.clone(),
            store: view.store.clone(),
            max_attempts: config.settings.dead_letters.redrive_max_attempts,
            runtime: Handle::current(),
        };
        let redriver = Redriver::new(config.clients.redriver.clone(), lookup.clone(), examiner);
        Self { index, lookup, redriver, events, registry, processed: view.processed.clone() }
    }
}

/// Where the [`Letters`] will be when the boot is over.
pub type LettersCell = Arc<OnceLock<Letters>>;

/// Cheap to clone: handles only.
#[derive(Clone)]
pub struct AppState {
    /// How orders are shown.
    pub orders: Arc<OrderSettings>,
    /// The topic whose orders these are.
    pub topic: Arc<str>,
    /// How the service is.
    pub status: Status,
    /// The topic of the dead letters.
    pub dead_letter_topic: Arc<str>,
    view: ViewCell,
    letters: LettersCell,
    metrics: Arc<Registry>,
    stop: CancellationToken,
}

impl AppState {
    /// Puts the parts together. `stop` ends what waits.
    pub fn new(
        config: &Config,
        view: ViewCell,
        letters: LettersCell,
        status: Status,
        metrics: Registry,
        stop: CancellationToken,
    ) -> Self {
        Self {
            orders: Arc::new(config.settings.orders.clone()),
            topic: config.settings.topics.order_topic.as_str().into(),
            status,
            dead_letter_topic: config.settings.dlq_topic.as_str().into(),
            view,
            letters,
            metrics: Arc::new(metrics),
            stop,
        }
    }

    /// What is shown, restored or not; only what [`restored`](Self::restored) says is to be read.
    ///
    /// # Errors
    /// A 503 while the service boots.
    pub fn view(&self) -> Result<&View, Problem> {
        self.view.get().ok_or_else(|| Problem::not_ready("the service is starting"))
    }

    /// What is shown, with everything that was there when the service started: what is missing does not exist.
    ///
    /// # Errors
    /// A 503 until then.
    pub fn restored_view(&self) -> Result<&View, Problem> {
        let view = self.view()?;
        if self.status.is_restored() {
            Ok(view)
        } else {
            Err(Problem::not_ready("the orders are being restored from Kafka"))
        }
    }

    /// That everything of a partition is shown that was there when the service started: nothing of it is older.
    ///
    /// # Errors
    /// A 503 until then.
    pub fn restored(&self, partition: usize) -> Result<(), Problem> {
        if self.status.is_partition_restored(partition) {
            Ok(())
        } else {
            Err(Problem::not_ready("the orders of this partition are being restored from Kafka"))
        }
    }

    /// The dead letters, all of them.
    ///
    /// # Errors
    /// A 503 until they are read.
    pub fn letters(&self) -> Result<&Letters, Problem> {
        let letters = self.letters.get().filter(|letters| letters.index.is_loaded());
        letters.ok_or_else(|| Problem::not_ready("the dead letters are being read"))
    }

    /// What is known of an event, after at most `patience` or when it is `enough`. `None` if there is no such
    /// partition.
    ///
    /// # Errors
    /// A 503 while the orders of its partition are being restored.
    pub async fn known(
        &self,
        Place { partition, offset }: Place,
        patience: Option<Duration>,
        enough: impl Fn(&Known) -> bool,
    ) -> Result<Option<Known>, Problem> {
        let View { store, processed } = self.view()?;
        let index = usize::try_from(partition).ok().filter(|_| store.has_partition(partition));
        let Some(partition) = index else { return Ok(None) };
        self.restored(partition)?;
        let wait = processed.wait(partition, offset, patience.unwrap_or_default(), enough);
        let known = self.stop.run_until_cancelled(wait).await;
        Ok(known.unwrap_or_else(|| processed.look(partition, offset)))
    }

    /// The order id that a client has typed.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn order_id(&self, typed: &str) -> Result<OrderId, String> {
        OrderId::parse(typed, &self.orders.order_id_prefix).map_err(|error| error.to_string())
    }

    /// How many orders are shown.
    pub fn order_count(&self) -> usize {
        self.view.get().map_or(0, |view| view.store.count())
    }
}

impl FromRef<AppState> for Arc<Registry> {
    fn from_ref(state: &AppState) -> Self {
        state.metrics.clone()
    }
}
