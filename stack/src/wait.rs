//! Waiting on a condition, with a deadline and a way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::StackError;

/// How often a condition that nobody announces is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Ends every wait of a stack from another thread, such as one that handles signals. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Lets every wait that watches this end with [`StackError::Interrupted`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`StackError::Interrupted`] once cancelled.
    pub(crate) fn check(&self) -> Result<(), StackError> {
        if self.is_cancelled() { Err(StackError::Interrupted) } else { Ok(()) }
    }
}

/// Repeats `attempt` until it yields something; none when the time is up. It is tried at least once.
pub(crate) fn until<T>(patience: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_is_seen_even_without_patience() {
        assert_eq!(until(Duration::ZERO, || Some(7)), Some(7));
        assert_eq!(until(Duration::ZERO, || None::<u8>), None);
    }

    #[test]
    fn a_cancelled_wait_is_an_error() {
        let cancel = Cancel::default();
        let watcher = cancel.clone();
        watcher.check().unwrap();
        cancel.cancel();
        assert!(matches!(watcher.check(), Err(StackError::Interrupted)));
    }
}
