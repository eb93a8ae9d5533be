//! `REQUEST_TIMEOUT`: how long an answer may take.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::problem::{Problem, ProblemType};

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Middleware: an answer that is not there in time is a 503.
pub(crate) async fn enforce(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| too_long(limit))
}

fn too_long(limit: Duration) -> Response {
    let detail = format!(
        "There was no answer after {limit:?}; whether a write was carried out is not known. An order that is sent \
         again with the same Idempotency-Key is made once."
    );
    Problem::new(ProblemType::TIMED_OUT, detail).retry_after(RETRY_AFTER).into_response()
}
