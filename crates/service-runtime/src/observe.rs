//! What is known of each request from outside: an id, a line in the log, and metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::{Instrument, debug, error, info_span};
use uuid::Uuid;

use crate::metrics::{registered, registered_seconds};
use crate::problem::Problem;

/// Names a request, in its answer and in the log. A client may choose it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that a client may choose.
const MAX_REQUEST_ID: usize = 128;

/// Seconds; from a cached read to the longest wait that a client may ask for.
const BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    route: String,
    status: u16,
}

/// Requests by route and status, with their durations.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Histogram>,
}

impl HttpMetrics {
    /// Adds the metrics to what is served on `/metrics`.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            requests: registered(registry, "http_requests", "HTTP requests answered"),
            durations: registered_seconds(
                registry,
                "http_request_duration",
                "Time from a request's head to its answer's head",
                Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            ),
        }
    }
}

/// Middleware: gives the request an id and a span, counts and times it. A failure of ours is logged where its cause is
/// known.
pub(crate) async fn observe(
    State(metrics): State<HttpMetrics>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(&mut request);
    let method = request.method().clone();
    let span =
        info_span!("request", id = id.to_str().unwrap_or_default(), %method, path = request.uri().path());

    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    let elapsed = began.elapsed();
    span.in_scope(|| debug!(status = status.as_u16(), ?elapsed, "request answered"));
    let route = response.extensions_mut().remove::<MatchedPath>();
    let route = route.map_or_else(|| "(none)".to_owned(), |path| path.as_str().to_owned());
    let labels = Labels { method: label(&method), route, status: status.as_u16() };
    metrics.requests.get_or_create(&labels).inc();
    metrics.durations.get_or_create(&labels).observe(elapsed.as_secs_f64());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Middleware: leaves the route that was matched, `/orders/{id}` and not `/orders/17`, for [`observe`].
pub(crate) async fn tell_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

/// A client can make up methods; they must not make up time series.
fn label(method: &Method) -> String {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS => method.to_string(),
        _ => "other".to_owned(),
    }
}

/// The id that the client chose, if it is one; else a new one, which the handlers then see as well.
fn request_id(request: &mut Request) -> HeaderValue {
    let is_usable = |id: &&HeaderValue| {
        id.to_str().is_ok_and(|id| {
            (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
        })
    };
    if let Some(chosen) = request.headers().get(REQUEST_ID).filter(is_usable) {
        return chosen.clone();
    }
    let id = HeaderValue::try_from(Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("none"));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    id
}

/// `GET /metrics`: everything registered, in the OpenMetrics text format.
pub async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, media_type)], text).into_response()
        }
        Err(error) => {
            error!(%error, "the metrics cannot be written");
            Problem::internal().into_response()
        }
    }
}
