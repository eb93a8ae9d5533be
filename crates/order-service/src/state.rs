//! What the handlers share.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRef;
use prometheus_client::registry::Registry;
use service_runtime::Problem;

use crate::config::{Config, OrderSettings};
use crate::error;
use crate::processed::Processed;
use crate::status::Status;
use crate::store::Store;

/// What is shown; it is there when the boot is over.
#[derive(Clone)]
pub struct View {
    /// The orders.
    pub store: Store,
    /// How far the events are processed, and what became of them.
    pub processed: Processed,
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
    view: ViewCell,
    metrics: Arc<Registry>,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(config: &Config, view: ViewCell, status: Status, metrics: Registry) -> Self {
        Self {
            orders: Arc::new(config.orders.clone()),
            topic: config.topics.order_topic.as_str().into(),
            status,
            view,
            metrics: Arc::new(metrics),
        }
    }

    /// What is shown, restored or not.
    ///
    /// # Errors
    /// A 503 while the service boots.
    pub fn view(&self) -> Result<&View, Problem> {
        self.view.get().ok_or_else(|| error::not_ready("the service is starting"))
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
            Err(error::not_ready("the orders are being restored from Kafka"))
        }
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
