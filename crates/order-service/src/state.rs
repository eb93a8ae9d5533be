//! What the handlers share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::FromRef;
use order_events::{EventCodec, OrderId, Place};
use prometheus_client::registry::Registry;
use service_runtime::Problem;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, OrderSettings};
use crate::dead_letters::{Index, Lookup, Redriver};
use crate::processed::{Known, Processed};
use crate::status::Status;
use crate::store::Store;

/// What is shown; it is there when the boot is over.
#[derive(Clone)]
pub struct View {
    /// The orders.
    pub store: Store,
    /// How far the events are processed, and what became of them.
    pub processed: Processed,
    /// Reads events.
    pub events: Arc<EventCodec>,
    /// The dead letters.
    pub letters: Index,
    /// Finds one of them, also if it is not in memory any more.
    pub lookup: Lookup,
    /// Sends them again.
    pub redriver: Redriver,
}

impl View {
    /// Of an empty store. Must be called inside of a runtime.
    pub fn new(config: &Config, store: Store, partitions: usize, events: Arc<EventCodec>) -> Self {
        let letters =
            Index::new(config.settings.dead_letters.dlq_index_max, &config.settings.topics.order_topic);
        let lookup = Lookup::new(letters.clone(), config.dead_letter_source.clone());
        let redriver = Redriver::new(
            config.clients.redriver.clone(),
            lookup.clone(),
            config.settings.topics.order_topic.clone(),
            events.clone(),
            store.clone(),
            config.settings.dead_letters.redrive_max_attempts,
        );
        Self { store, processed: Processed::new(partitions), events, letters, lookup, redriver }
    }
}

/// Where the [`View`] will be.
pub type ViewCell = Arc<OnceLock<View>>;

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
    metrics: Arc<Registry>,
    stop: CancellationToken,
}

impl AppState {
    /// Puts the parts together. `stop` ends what waits.
    pub fn new(
        config: &Config,
        view: ViewCell,
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
    pub fn letters(&self) -> Result<&Index, Problem> {
        let letters = &self.view()?.letters;
        if letters.is_loaded() {
            Ok(letters)
        } else {
            Err(Problem::not_ready("the dead letters are being read"))
        }
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
        let View { store, processed, .. } = self.view()?;
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
