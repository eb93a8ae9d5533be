//! Asks order-service what became of an event, for clients that want to know (`Prefer: wait=N`).

use std::time::Duration;

use axum::http::StatusCode;
use order_events::{EventOutcome, EventReport, Position};
use service_runtime::{Prefer, chain};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use crate::config::OutcomeSettings;

/// Between two questions about one event.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer that was waited for may come this much later than the time is up.
pub const ALLOWANCE: Duration = Duration::from_millis(500);

/// Why order-service cannot be asked.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The system's TLS library cannot be set up.
    #[error("no HTTP client for order-service can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The settings check it before.
    #[error("the address of order-service is no URL: {0}")]
    Url(#[from] url::ParseError),
}

/// A client of order-service.
#[derive(Debug, Clone)]
pub struct OrderService {
    http: reqwest::Client,
    url: String,
    public_url: Url,
    stop: CancellationToken,
}

impl OrderService {
    /// A client of the service; `stop` ends what waits.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn new(settings: &OutcomeSettings, stop: CancellationToken) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(1)).build()?;
        let url = settings.order_service_url.clone();
        let public_url = settings.public_order_service_url.as_ref().unwrap_or(&url).parse()?;
        Ok(Self { http, url, public_url, stop })
    }

    /// Where clients find something of order-service: its address and these parts of the path, escaped.
    pub fn location(&self, path: &[&str]) -> String {
        let mut url = self.public_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.into()
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
                Ok(Err(error)) if is_for_good(&error) => {
                    warn!(url = self.url, %event, error = chain(&error), "order-service knows no such event");
                    return None;
                }
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

/// Whether asking again makes no sense: it is a service of another topic, for example.
fn is_for_good(error: &reqwest::Error) -> bool {
    error.status().is_some_and(|status| {
        status.is_client_error()
            && !matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
    })
}

fn is_final(outcome: EventOutcome) -> bool {
    !matches!(outcome, EventOutcome::Pending | EventOutcome::Held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str, public: Option<&str>) -> String {
        let settings = OutcomeSettings {
            order_service_url: url.to_owned(),
            public_order_service_url: public.map(str::to_owned),
            default_wait: Duration::ZERO,
        };
        OrderService::new(&settings, CancellationToken::new()).unwrap().location(&["orders", "a/b ?é"])
    }

    #[test]
    fn a_location_is_one_that_clients_can_reach_and_is_escaped() {
        assert_eq!(location("http://localhost:8001", None), "http://localhost:8001/orders/a%2Fb%20%3F%C3%A9");
        let public = Some("https://shop.example/api/");
        assert_eq!(
            location("http://order-service:8001", public),
            "https://shop.example/api/orders/a%2Fb%20%3F%C3%A9"
        );
    }
}
