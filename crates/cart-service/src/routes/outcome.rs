//! What a client is told of its event once it is published: that it is, or what became of it.

use axum::http::StatusCode;
use order_events::{EventOutcome, EventReport, Position};
use service_runtime::{Prefer, Problem};
use uuid::Uuid;

use crate::error;
use crate::state::AppState;

/// Waits for what becomes of a published event, if the client or `DEFAULT_WAIT` wants that. `None` if nobody
/// does.
///
/// # Errors
/// The event was dead-lettered: the client is told why.
pub(super) async fn outcome(
    state: &AppState,
    prefer: Prefer,
    position: &Position,
    event_id: Uuid,
) -> Result<Option<EventOutcome>, Problem> {
    let patience = prefer.wait().unwrap_or(state.default_wait);
    if prefer.wait().is_none() && patience.is_zero() {
        return Ok(None);
    }
    match state.order_service.outcome(position, patience).await {
        Some(EventReport { outcome: EventOutcome::DeadLettered, reason, .. }) => {
            Err(error::dead_lettered(reason.as_deref(), position, event_id).applied(prefer))
        }
        report => Ok(Some(report.map_or(EventOutcome::Pending, |report| report.outcome))),
    }
}

/// `success`, unless it is not known yet whether it is one.
pub(super) fn status(outcome: Option<EventOutcome>, success: StatusCode) -> StatusCode {
    match outcome {
        Some(EventOutcome::Pending | EventOutcome::Held) => StatusCode::ACCEPTED,
        _ => success,
    }
}
