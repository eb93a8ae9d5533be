//! Where the logs of the events end. The watcher asks the brokers; the pipeline says when it wants to know, and waits for no
//! answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Where the log of a partition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndSeen {
    /// The last stable offset: a consumer of committed records comes no further.
    pub(super) offset: i64,
    /// Not before this the broker was asked, in milliseconds since 1970.
    pub(super) asked_at: i64,
}

/// A handle on what is known; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct LogEnds(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// By the partition's index.
    seen: Mutex<HashMap<usize, EndSeen>>,
    wanted: Notify,
}

impl LogEnds {
    /// A broker was asked.
    pub(super) fn note(&self, index: usize, end: EndSeen) {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(index, end);
    }

    /// What the last answer was.
    pub(super) fn of(&self, index: usize) -> Option<EndSeen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&index).copied()
    }

    /// Has the brokers asked soon.
    pub(super) fn ask(&self) {
        self.0.wanted.notify_one();
    }

    /// Waits until somebody wants the brokers to be asked.
    pub(super) async fn wanted(&self) {
        self.0.wanted.notified().await;
    }
}
