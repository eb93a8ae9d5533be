//! When to stop.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// A token that is cancelled by SIGTERM (an orchestrator) or SIGINT (Ctrl-C).
///
/// # Errors
/// The signals cannot be listened to.
pub(crate) fn on_signal() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
        stop.cancel();
    });
    Ok(token)
}

/// Runs a task that the service cannot do without: when it ends, by a panic as well, `stop` is cancelled.
pub fn spawn(stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let stop = stop.clone().drop_guard();
    tokio::spawn(async move {
        let _stop = stop;
        task.await;
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_stops_the_service() {
        let stop = CancellationToken::new();
        let task = spawn(&stop, async { panic!("a defect") });
        tokio::time::timeout(Duration::from_secs(5), stop.cancelled()).await.unwrap();
        assert!(task.await.unwrap_err().is_panic());
    }
}
