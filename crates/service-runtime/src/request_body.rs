//! The bodies of requests: `READ_TIMEOUT` for each, and nothing of one is left unread when its request is answered.
//!
//! A service may know its answer before it has read the body: the path is wrong, the body is too large, the client has
//! no token. The connection is closed then, since the client must not send its next request behind the rest; and closed
//! with something unread, it is reset, and the answer may be lost with it (RFC 9112, section 9.6).

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::problem::{Problem, ProblemType};

/// The largest body that is read, in bytes.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// How much is taken and thrown away, in bytes.
const MAX_DISCARDED: usize = 32 * BODY_LIMIT;

/// Middleware: a body that does not come in time is a 408; what nobody reads of one is thrown away before the answer.
pub(crate) async fn receive(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // With `Expect: 100-continue`, the client has not sent the body yet.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let body = Timed::new(body, limit);
    let mut response = next.run(Request::from_parts(parts, Body::new(body.clone()))).await;
    let (is_late, has_ended) = body.state();
    if is_late {
        response = slow(limit);
    }
    if !has_ended {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if !(is_late || asks_first) {
            discard(Body::new(body)).await;
        }
    }
    response
}

fn slow(limit: Duration) -> Response {
    let detail = format!("The body was not there after {limit:?}. Nothing was done; send the request again.");
    Problem::new(ProblemType::SLOW_REQUEST, detail).into_response()
}

/// Whoever sends more than that, or slower than it may, has to live with a reset.
async fn discard(body: Body) {
    let mut parts = body.into_data_stream();
    let mut discarded = 0;
    while let Some(Ok(part)) = parts.next().await
        && discarded < MAX_DISCARDED
    {
        discarded += part.len();
    }
}

/// A body that fails when it is not whole in time; a handle, of which only one is read at a time.
#[derive(Clone)]
struct Timed(Arc<Mutex<Inner>>);

struct Inner {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    is_late: bool,
    has_ended: bool,
}

impl Timed {
    fn new(body: Body, limit: Duration) -> Self {
        let deadline = Box::pin(sleep(limit));
        Self(Arc::new(Mutex::new(Inner { body, deadline, is_late: false, has_ended: false })))
    }

    /// Whether its time is over, and whether all of it was read.
    fn state(&self) -> (bool, bool) {
        let inner = self.lock();
        (inner.is_late, inner.has_ended)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let inner = &mut *self.lock();
        let frame = Pin::new(&mut inner.body).poll_frame(context);
        if frame.is_pending() && inner.deadline.as_mut().poll(context).is_ready() {
            inner.is_late = true;
            return Poll::Ready(Some(Err(axum::Error::new(Error::from(ErrorKind::TimedOut)))));
        }
        // A chunked body does not know that it has ended before it has said so.
        inner.has_ended = matches!(frame, Poll::Ready(None)) || inner.body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}
