//! Waiting for a condition.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Long enough for anything on a busy machine with two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// For a broker that starts on a busy machine.
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `look` gives something, and fails the test with what is missing after a minute.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// As [`eventually`], with another patience.
pub async fn within<T>(patience: Duration, what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    until(patience, look).await.unwrap_or_else(|| panic!("still not after {patience:?}: {what}"))
}

/// Waits until `look` gives something; `None` if the time is up before.
pub async fn until<T>(patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
