//! What is shown: the orders, what became of the events, and how the service is.

pub(crate) mod outcomes;
pub(crate) mod processed;
pub mod status;
pub mod store;

use std::sync::{Arc, OnceLock};

use self::processed::Processed;
use self::store::Store;

/// What the pipeline has committed; cheap to clone.
#[derive(Clone)]
pub struct View {
    /// The orders.
    pub store: Store,
    /// How far the events are processed, and what became of them.
    pub processed: Processed,
}

impl View {
    /// Of a store that the pipeline will fill, with so many partitions.
    pub fn new(store: Store, partitions: usize) -> Self {
        Self { store, processed: Processed::new(partitions) }
    }
}

/// Where the [`View`] will be when the boot is over.
pub type ViewCell = Arc<OnceLock<View>>;
