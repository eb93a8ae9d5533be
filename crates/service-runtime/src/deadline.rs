//! `REQUEST_TIMEOUT`: how long an answer may take.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::problem::{Problem, ProblemType};
use crate::repetition::{WritesHaveKeys, advice};

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Middleware: an answer that is not there in time is a 503, with `Retry-After` only if repeating is safe.
pub(crate) async fn enforce(
    State((limit, keys)): State<(Duration, WritesHaveKeys)>,
    request: Request,
    next: Next,
) -> Response {
    let (what_to_do, is_safe) = advice(&request, keys);
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("There was no answer after {limit:?}. {what_to_do}");
        let problem = Problem::new(ProblemType::TIMED_OUT, detail);
        if is_safe { problem.retry_after(RETRY_AFTER) } else { problem }.into_response()
    })
}
