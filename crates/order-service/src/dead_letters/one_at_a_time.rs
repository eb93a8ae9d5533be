//! Blocking work, one piece at a time.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

/// A queue for one kind of work; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct OneAtATime(Arc<Mutex<()>>);

impl OneAtATime {
    /// Waits for its turn, then does the work. A caller that is dropped while it waits leaves the queue. Work that has
    /// begun cannot be stopped: it keeps the turn to its end, even if its caller is dropped.
    ///
    /// # Errors
    /// The work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.0.clone().lock_owned().await;
        spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_turn_when_nobody_waits_for_it_any_more() {
        let queue = OneAtATime::default();
        let (start, started) = oneshot::channel();
        let (finish, finished) = mpsc::channel();
        let work = move || {
            start.send(()).unwrap();
            finished.recv().unwrap();
        };
        let caller = tokio::spawn({
            let queue = queue.clone();
            async move { queue.run(work).await }
        });
        started.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert!(queue.0.try_lock().is_err());
        finish.send(()).unwrap();
        assert_eq!(queue.run(|| "the next").await.unwrap(), "the next");
    }
}
