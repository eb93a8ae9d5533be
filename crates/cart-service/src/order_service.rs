//! Asks order-service what became of an event, for clients that want to know (`Prefer: wait=N`).

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use backon::{BackoffBuilder, ExponentialBuilder};
use order_events::{EventOutcome, EventReport, Position};
use service_runtime::{Prefer, chain};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use url::Url;

use crate::settings::{OutcomeSettings, WAIT_ALLOWANCE};

/// The pauses between questions about one event: the first one, and the one up to which each is twice as long as the
/// one before. Chance makes each of them up to twice as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

/// Why order-service did not tell what became of an event.
#[derive(Debug, Error)]
enum Unanswered {
    /// It cannot be reached, or what it says is no report.
    #[error(transparent)]
    NoReport(#[from] reqwest::Error),
    /// It does not answer this, or not now.
    #[error("it answers with {status}")]
    Refused {
        status: StatusCode,
        /// How long it wants to be left alone; zero if it does not say.
        retry_after: Duration,
    },
}

/// A client of order-service.
#[derive(Debug, Clone)]
pub(crate) struct OrderService {
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
    pub(crate) fn new(settings: &OutcomeSettings, stop: CancellationToken) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(1)).build()?;
        let url = settings.order_service_url.clone();
        let public_url = settings.public_order_service_url.as_ref().unwrap_or(&url).parse()?;
        Ok(Self { http, url, public_url, stop })
    }

    /// Where clients find something of order-service: its address and these parts of the path, escaped.
    pub(crate) fn location(&self, path: &[&str]) -> String {
        let mut url = self.public_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url.into()
    }

    /// What became of the event, after at most `patience`; `None` while that is not known. A service that
    /// cannot be asked is asked again until the time is up.
    pub(crate) async fn outcome(&self, event: &Position, patience: Duration) -> Option<EventReport> {
        self.stop.run_until_cancelled(self.wait(event, patience)).await.flatten()
    }

    async fn wait(&self, event: &Position, patience: Duration) -> Option<EventReport> {
        let deadline = Instant::now() + patience;
        let mut pauses = pauses();
        let mut last = None;
        loop {
            let mut retry_after = Duration::ZERO;
            match timeout_at(deadline + WAIT_ALLOWANCE, self.ask(event, left(deadline))).await {
                Ok(Ok(report)) if is_final(report.outcome) => return Some(report),
                Ok(Ok(report)) => last = Some(report),
                Ok(Err(error)) if error.is_for_good() => {
                    warn!(url = self.url, %event, error = chain(&error), "order-service knows no such event");
                    return None;
                }
                Ok(Err(error)) => {
                    debug!(url = self.url, error = chain(&error), "order-service gives no answer");
                    retry_after = error.retry_after();
                }
                Err(_) => {}
            }
            let backoff = pauses.next().unwrap_or(LONGEST_PAUSE);
            let Some(pause) = pause(backoff, retry_after, left(deadline)) else { break };
            sleep(pause).await;
        }
        if last.is_none() {
            warn!(url = self.url, %event, "order-service did not tell what became of an event");
        }
        last
    }

    /// Asks once; order-service waits for `left`.
    async fn ask(&self, event: &Position, left: Duration) -> Result<EventReport, Unanswered> {
        let (name, value) = Prefer::header(left);
        let request = self.http.get(format!("{}/events/{event}", self.url)).header(name, value);
        let answer = request.send().await?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Unanswered::Refused { status, retry_after: retry_after(answer.headers()) });
        }
        Ok(answer.json().await?)
    }
}

impl Unanswered {
    /// Whether asking again makes no sense: it is a service of another topic, for example.
    fn is_for_good(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if status.is_client_error()
            && !matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS))
    }

    fn retry_after(&self) -> Duration {
        match self {
            Self::NoReport(_) => Duration::ZERO,
            Self::Refused { retry_after, .. } => *retry_after,
        }
    }
}

/// The pauses between questions, without end. They differ from request to request: what waited together does not ask
/// together.
fn pauses() -> impl Iterator<Item = Duration> {
    let backoff = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
    backoff.with_jitter().without_max_times().build()
}

/// How long to wait before the next question, of which the last one comes when the time is up; `None` if there is
/// none in the time that is `left`.
fn pause(backoff: Duration, retry_after: Duration, left: Duration) -> Option<Duration> {
    (retry_after <= left && !left.is_zero()).then(|| (retry_after + backoff).min(left))
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// `Retry-After` in seconds; zero if it is none, or a date (RFC 9110, section 10.2.3), which no order-service sends.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or_default())
}

fn is_final(outcome: EventOutcome) -> bool {
    !matches!(outcome, EventOutcome::Pending | EventOutcome::Held)
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::iter::repeat;
    use std::sync::{Arc, Mutex};

    use axum::response::IntoResponse;
    use axum::{Json, Router};
    use order_events::Place;
    use tokio::net::TcpListener;

    use super::*;

    fn order_service(url: &str, public: Option<&str>) -> OrderService {
        let settings = OutcomeSettings {
            order_service_url: url.to_owned(),
            public_order_service_url: public.map(str::to_owned),
            default_wait: Duration::ZERO,
        };
        OrderService::new(&settings, CancellationToken::new()).unwrap()
    }

    fn location(url: &str, public: Option<&str>) -> String {
        order_service(url, public).location(&["orders", "a/b ?é"])
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

    fn event() -> Position {
        Position { topic: "order-events".to_owned(), place: Place { partition: 0, offset: 7 } }
    }

    fn applied() -> EventReport {
        let Position { topic, place: Place { partition, offset } } = event();
        let outcome = EventOutcome::Applied;
        EventReport { topic, partition, offset, position: "0:7".to_owned(), outcome, reason: None }
    }

    /// An order-service that is not ready at first, says when to ask again, and then knows the outcome; and when it
    /// was asked.
    async fn not_ready_at_first(retry_after: &'static str) -> (OrderService, Arc<Mutex<Vec<Instant>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = asked.clone();
        let answer = move || {
            let mut notes = notes.lock().unwrap();
            notes.push(Instant::now());
            let not_ready = (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, retry_after)]);
            let answer =
                if notes.len() == 1 { not_ready.into_response() } else { Json(applied()).into_response() };
            ready(answer)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        (order_service(&url, None), asked)
    }

    #[tokio::test]
    async fn order_service_is_left_alone_for_as_long_as_it_wants() {
        let (order_service, asked) = not_ready_at_first("1").await;
        let report = order_service.outcome(&event(), Duration::from_secs(30)).await;
        assert_eq!(report, Some(applied()));
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 2);
        assert!(asked[1] - asked[0] >= Duration::from_secs(1), "{:?}", asked[1] - asked[0]);
    }

    #[tokio::test]
    async fn who_may_not_ask_again_in_time_does_not_wait() {
        let (order_service, asked) = not_ready_at_first("3600").await;
        assert_eq!(order_service.outcome(&event(), Duration::from_secs(30)).await, None);
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[test]
    fn pauses_grow_and_differ_from_request_to_request() {
        let all: Vec<Duration> = pauses().take(20).collect();
        for (pause, millis) in all.iter().zip([100, 200, 400, 800].into_iter().chain(repeat(1000))) {
            let least = Duration::from_millis(millis);
            assert!((least..=2 * least).contains(pause), "{pause:?} instead of {least:?}");
        }
        assert_ne!(all, pauses().take(20).collect::<Vec<_>>());
    }

    #[test]
    fn the_last_question_comes_when_the_time_is_up() {
        let millis = Duration::from_millis;
        assert_eq!(pause(millis(150), Duration::ZERO, millis(1000)), Some(millis(150)));
        assert_eq!(pause(millis(150), millis(2000), millis(5000)), Some(millis(2150)));
        assert_eq!(pause(millis(150), millis(2000), millis(2100)), Some(millis(2100)));
        assert_eq!(pause(millis(150), Duration::ZERO, millis(70)), Some(millis(70)));
        assert_eq!(pause(millis(150), millis(2000), millis(1900)), None);
        assert_eq!(pause(millis(150), Duration::ZERO, Duration::ZERO), None);
        assert_eq!(pause(millis(150), Duration::MAX, millis(1900)), None);
    }

    #[test]
    fn only_what_passes_is_asked_again() {
        let is_for_good = |status| {
            let status = StatusCode::from_u16(status).unwrap();
            Unanswered::Refused { status, retry_after: Duration::ZERO }.is_for_good()
        };
        assert!([400, 404, 401].into_iter().all(is_for_good));
        assert!(![408, 429, 500, 503].into_iter().any(is_for_good));
    }
}
