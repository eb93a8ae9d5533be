//! The largest body.

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use headers::{ContentLength, HeaderMapExt};

/// The largest body that is read, in bytes.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// How much of a body that is too large is taken and thrown away, in bytes.
const MAX_DISCARDED: usize = 16 * BODY_LIMIT;

/// Middleware: refuses a body that says it is too large. One that does not say so is noticed when it is read.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let length = request.headers().typed_get::<ContentLength>();
    if length.is_none_or(|ContentLength(length)| length <= BODY_LIMIT as u64) {
        return next.run(request).await;
    }
    // Who asks first need not send it. Who does not ask hears the answer only when he has sent: closed before that,
    // the connection is reset, and the answer may be lost with it (RFC 9112, section 9.6).
    if !request.headers().contains_key(header::EXPECT) {
        discard(request.into_body().into_data_stream()).await;
    }
    StatusCode::PAYLOAD_TOO_LARGE.into_response()
}

/// Takes what comes, up to a limit, and throws it away.
pub(crate) async fn discard(mut parts: BodyDataStream) {
    let mut discarded = 0;
    while let Some(Ok(part)) = parts.next().await
        && discarded < MAX_DISCARDED
    {
        discarded += part.len();
    }
}
