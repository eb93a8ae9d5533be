//! Bodies that nobody has read: what is left of one is taken before its request is answered.
//!
//! A service may know its answer before it has read the body: the path is wrong, the body is too large, the client has
//! no token. The connection is closed then, since the client must not send its next request behind the rest; and closed
//! with something unread, it is reset, and the answer may be lost with it (RFC 9112, section 9.6).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// The largest body that is read, in bytes.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// How much is taken and thrown away, in bytes.
const MAX_DISCARDED: usize = 32 * BODY_LIMIT;

/// Middleware: answers when the body is read or thrown away, or when the client has had `patience` for it.
pub(crate) async fn discard(State(patience): State<Duration>, request: Request, next: Next) -> Response {
    // Who asks before it sends need not send.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let rest = Rest::default();
    let request = request.map(|body| Body::new(Returned { body, rest: rest.clone() }));
    let mut response = next.run(request).await;
    let unread = rest.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(body) = unread {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        // Whoever sends slower than that, or has had its time already, has to live with a reset.
        if response.status() != StatusCode::REQUEST_TIMEOUT {
            let _ = tokio::time::timeout(patience, discard_all(body)).await;
        }
    }
    response
}

async fn discard_all(body: Body) {
    let mut parts = body.into_data_stream();
    let mut discarded = 0;
    while let Some(Ok(part)) = parts.next().await
        && discarded < MAX_DISCARDED
    {
        discarded += part.len();
    }
}

/// What is left of a body when its reader has dropped it.
type Rest = Arc<Mutex<Option<Body>>>;

struct Returned {
    body: Body,
    rest: Rest,
}

impl Drop for Returned {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let body = std::mem::take(&mut self.body);
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl HttpBody for Returned {
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
