//! `READ_TIMEOUT` for a request's body and `REQUEST_TIMEOUT` for its answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep, timeout};

use crate::problem::{Problem, ProblemType};

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// The body of a request.
    pub(crate) body: Duration,
    /// The head of its answer.
    pub(crate) answer: Duration,
}

/// Middleware: a body that does not come in time is a 408, an answer that is not there in time a 503.
pub(crate) async fn enforce(State(deadlines): State<Deadlines>, request: Request, next: Next) -> Response {
    let is_late = Arc::new(AtomicBool::new(false));
    let request = if request.body().is_end_stream() {
        request
    } else {
        request.map(|body| Body::new(Timed::new(body, deadlines.body, is_late.clone())))
    };
    let answer = timeout(deadlines.answer, next.run(request)).await;
    if is_late.load(Ordering::Relaxed) {
        return slow(deadlines.body);
    }
    answer.unwrap_or_else(|_| too_long(deadlines.answer))
}

fn slow(limit: Duration) -> Response {
    let detail = format!("The body was not there after {limit:?}. Nothing was done; send the request again.");
    Problem::new(ProblemType::SLOW_REQUEST, detail).into_response()
}

fn too_long(limit: Duration) -> Response {
    let detail = format!(
        "There was no answer after {limit:?}; whether a write was carried out is not known. An order that is sent \
         again with the same Idempotency-Key is made once."
    );
    Problem::new(ProblemType::TIMED_OUT, detail).retry_after(RETRY_AFTER).into_response()
}

/// A body that fails when it is not whole in time.
struct Timed {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    is_late: Arc<AtomicBool>,
}

impl Timed {
    fn new(body: Body, limit: Duration, is_late: Arc<AtomicBool>) -> Self {
        Self { body, deadline: Box::pin(sleep(limit)), is_late }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.deadline.as_mut().poll(context).is_ready() {
            self.is_late.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(axum::Error::new(std::io::Error::from(
                std::io::ErrorKind::TimedOut,
            )))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
