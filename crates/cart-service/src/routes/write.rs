//! What every write has in common: its headers, and how its event is published.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use order_events::headers::TRACEPARENT;
use order_events::{EventOutcome, EventReport, OrderEvent, Place, Position, TraceContext};
use service_runtime::{Fault, Prefer, Problem};
use utoipa::IntoResponses;

use crate::error;
use crate::idempotency::{EventId, IdempotencyKey};
use crate::state::AppState;

/// The headers of a write.
pub(super) struct WriteHeaders {
    /// The client's key, or what is wrong with it.
    pub(super) key: Result<Option<IdempotencyKey>, Fault>,
    pub(super) prefer: Prefer,
    /// The trace that the request belongs to, one step on; or a new one.
    pub(super) trace: TraceContext,
}

impl<S: Sync> FromRequestParts<S> for WriteHeaders {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let headers = &parts.headers;
        let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self {
            key: IdempotencyKey::from_headers(headers),
            prefer: Prefer::from_headers(headers),
            trace: parent.map_or_else(TraceContext::start, TraceContext::child),
        })
    }
}

/// How every write may fail.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum WriteFailures {
    /// `idempotency-key-reused`: only with `Prefer: wait`.
    #[response(status = 422)]
    KeyReused,
    /// `dead-lettered`: only with `Prefer: wait`.
    #[response(status = 500)]
    DeadLettered,
    /// `not-published`: the event is not in the log. `delivery-unknown`: it may be; `Retry-After` only with a key.
    #[response(status = 503)]
    NotPublished,
}

/// An event that is in the log, and what its client is told of it.
pub(super) struct Published {
    pub(super) position: Position,
    /// What became of it, if anybody wanted to wait for that.
    pub(super) outcome: Option<EventOutcome>,
}

/// Publishes an event, and waits for what becomes of it if the client or `DEFAULT_WAIT` wants that.
///
/// # Errors
/// The event was not confirmed; or it was dead-lettered, and the client, who waited, is told why.
pub(super) async fn publish(
    state: &AppState,
    event: &OrderEvent,
    event_id: EventId,
    prefer: Prefer,
    trace: TraceContext,
) -> Result<Published, Problem> {
    let published = state.publisher.publish(event, event_id.uuid, trace).await;
    let position = published.map_err(|failure| error::problem(&failure, event_id))?;
    let patience = prefer.wait().unwrap_or(state.default_wait);
    if prefer.wait().is_none() && patience.is_zero() {
        return Ok(Published { position, outcome: None });
    }
    match state.order_service.outcome(&position, patience).await {
        Some(EventReport { outcome: EventOutcome::DeadLettered, reason, .. }) => {
            Err(error::dead_lettered(reason.as_deref(), &position, event_id).applied(prefer))
        }
        report => {
            let outcome = report.map_or(EventOutcome::Pending, |report| report.outcome);
            Ok(Published { position, outcome: Some(outcome) })
        }
    }
}

impl Published {
    /// `success`, unless it is not known yet whether it is one.
    pub(super) fn status(&self, success: StatusCode) -> StatusCode {
        if self.is_open() { StatusCode::ACCEPTED } else { success }
    }

    /// Where the client finds what it made: the order, or what becomes of the event while that is not known.
    pub(super) fn location(
        &self,
        state: &AppState,
        order_id: &str,
    ) -> Option<[(HeaderName, HeaderValue); 1]> {
        let Position { topic, place: Place { partition, offset } } = &self.position;
        let url = if self.is_open() {
            state.order_service.location(&["events", topic, &partition.to_string(), &offset.to_string()])
        } else {
            state.order_service.location(&["orders", order_id])
        };
        HeaderValue::try_from(url).ok().map(|url| [(header::LOCATION, url)])
    }

    fn is_open(&self) -> bool {
        matches!(self.outcome, Some(EventOutcome::Pending | EventOutcome::Held))
    }
}
