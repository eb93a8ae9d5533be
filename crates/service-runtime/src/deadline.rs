//! `REQUEST_TIMEOUT`: how long an answer may take.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::problem::{Problem, ProblemType};
use crate::repetition::{Repetition, WritesHaveKeys};

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Middleware: an answer that is not there in time is a 503. Only who does no harm by it is told to try again.
pub(crate) async fn enforce(
    State((limit, keys)): State<(Duration, WritesHaveKeys)>,
    request: Request,
    next: Next,
) -> Response {
    let repetition = Repetition::of(&request, keys);
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| too_long(limit, repetition).into_response())
}

fn too_long(limit: Duration, repetition: Repetition) -> Problem {
    let (what_to_do, is_harmless) = match repetition {
        Repetition::OfRead => ("Try again.", true),
        Repetition::WithKey => (
            "Whether it was carried out is not known. Send the same request again, with the same Idempotency-Key.",
            true,
        ),
        Repetition::WithoutKey => (
            "Whether it was carried out is not known: look first, since without an Idempotency-Key the same request \
             may be carried out twice.",
            false,
        ),
        Repetition::Unprotected => {
            ("Whether it was carried out is not known: look before you try again.", false)
        }
    };
    let problem =
        Problem::new(ProblemType::TIMED_OUT, format!("There was no answer after {limit:?}. {what_to_do}"));
    if is_harmless { problem.retry_after(RETRY_AFTER) } else { problem }
}
