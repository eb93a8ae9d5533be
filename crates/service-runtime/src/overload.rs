//! `MAX_CONCURRENT_REQUESTS`: more requests are refused at once, before they take memory or time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Problem, ProblemType};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether a path is one that operators look at. It must answer most of all when the service is busy.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/metrics" | "/health" | "/health/live" | "/health/ready")
}

/// Middleware: runs the request if there is room for it. It takes its room until its answer is made; one that is
/// made while it is sent, until it is sent.
pub(crate) async fn shed(State(room): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    if is_probe(request.uri().path()) {
        return next.run(request).await;
    }
    match room.try_acquire_owned() {
        Ok(permit) => next.run(request).await.map(|body| Body::new(Held { body, _permit: permit })),
        Err(_) => {
            let detail = "More requests are running than the service takes. Nothing was done; try again.";
            Problem::new(ProblemType::OVERLOADED, detail).retry_after(RETRY_AFTER).into_response()
        }
    }
}

/// The body of an answer, with the room that its request takes.
struct Held {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
