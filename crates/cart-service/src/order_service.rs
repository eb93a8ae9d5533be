//! Asks order-service what became of an event, for clients that want to know (`Prefer: wait=N`).

use std::time::Duration;

use order_events::{EventOutcome, EventReport, Position};
use service_runtime::{Prefer, chain};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Between two questions about one event.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer that was waited for may come this much later than the time is up.
const ALLOWANCE: Duration = Duration::from_millis(500);

/// No HTTP client can be made on this system.
#[derive(Debug, Error)]
#[error("no HTTP client for order-service can be made: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// A client of order-service.
#[derive(Debug, Clone)]
pub struct OrderService {
    http: reqwest::Client,
    url: String,
    stop: CancellationToken,
}

impl OrderService {
    /// A client of the service at this address; `stop` ends what waits.
    ///
    /// # Errors
    /// The system's TLS library cannot be set up.
    pub fn new(url: &str, stop: CancellationToken) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(1)).build()?;
        Ok(Self { http, url: url.to_owned(), stop })
    }

    /// What became of the event, after at most `patience`; `None` while that is not known. A service that
    /// cannot be asked is asked again until the time is up.
    pub async fn outcome(&self, event: &Position, patience: Duration) -> Option<EventReport> {
        self.stop.run_until_cancelled(self.wait(event, patience)).await.flatten()
    }

    async fn wait(&self, event: &Position, patience: Duration) -> Option<EventReport> {
        let deadline = Instant::now() + patience;
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout_at(deadline + ALLOWANCE, self.ask(event, left)).await {
                Ok(Ok(report)) if is_final(report.outcome) => return Some(report),
                Ok(Ok(report)) => last = Some(report),
                Ok(Err(error)) => {
                    debug!(url = self.url, error = chain(&error), "order-service gives no answer");
                }
                Err(_) => {}
            }
            if Instant::now() + PAUSE > deadline {
                if last.is_none() {
                    warn!(url = self.url, %event, "order-service did not tell what became of an event");
                }
                return last;
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks once; order-service waits for `left`.
    async fn ask(&self, event: &Position, left: Duration) -> Result<EventReport, reqwest::Error> {
        let (name, value) = Prefer::header(left);
        let request = self.http.get(format!("{}/events/{event}", self.url)).header(name, value);
        request.send().await?.error_for_status()?.json().await
    }
}

fn is_final(outcome: EventOutcome) -> bool {
    !matches!(outcome, EventOutcome::Pending | EventOutcome::Held)
}
