//! Conditional requests (RFC 9110, section 13): a client that polls is sent only what it does not have.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use serde::Serialize;
use tracing::error;
use twox_hash::XxHash3_128;

use crate::problem::Problem;

/// What a client has already, by its `If-None-Match`.
#[derive(Debug, Clone)]
pub struct Conditional(Option<IfNoneMatch>);

impl<S: Sync> FromRequestParts<S> for Conditional {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.typed_get()))
    }
}

impl Conditional {
    /// A 200 with `content` as JSON and its `ETag`; or a 304 without it, if the client has it already.
    ///
    /// The tag is weak: the same content may be sent compressed or not. Caches may keep the answer, but must
    /// ask every time whether it is still good.
    pub fn answer(&self, content: &impl Serialize) -> Response {
        let json = match serde_json::to_vec(content) {
            Ok(json) => json,
            Err(error) => {
                error!(%error, "an answer cannot be written");
                return Problem::internal().into_response();
            }
        };
        let text = format!("W/\"{:032x}\"", XxHash3_128::oneshot(&json));
        let is_news = match (&self.0, text.parse::<ETag>()) {
            (Some(known), Ok(tag)) => known.precondition_passes(&tag),
            _ => true,
        };
        let headers = [
            (header::ETAG, text),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
            // A 304 says it as the 200 does (RFC 9110, section 15.4.5), which compression sees to.
            (header::VARY, "accept-encoding".to_owned()),
        ];
        if is_news {
            let media_type = HeaderValue::from_static("application/json");
            (headers, [(header::CONTENT_TYPE, media_type)], json).into_response()
        } else {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::Request;

    use super::*;

    async fn ask(if_none_match: Option<&str>, content: &str) -> (Response, usize) {
        let mut request = Request::builder();
        if let Some(tags) = if_none_match {
            request = request.header(header::IF_NONE_MATCH, tags);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let conditional = Conditional::from_request_parts(&mut parts, &()).await.unwrap();
        let (parts, body) = conditional.answer(&content).into_parts();
        let length = to_bytes(body, usize::MAX).await.unwrap().len();
        (Response::from_parts(parts, axum::body::Body::empty()), length)
    }

    #[tokio::test]
    async fn what_the_client_has_is_not_sent_again() {
        let (first, length) = ask(None, "content").await;
        assert_eq!((first.status(), length), (StatusCode::OK, 9));
        let tag = first.headers()[header::ETAG].to_str().unwrap();
        let strong = tag.trim_start_matches("W/");
        for known in [tag, strong, "*", &format!("\"other\", {tag}")] {
            let (again, length) = ask(Some(known), "content").await;
            assert_eq!((again.status(), length), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!(again.headers()[header::ETAG], tag);
        }
        for other in ["\"other\"", "not a tag", ""] {
            assert_eq!(ask(Some(other), "content").await.0.status(), StatusCode::OK, "{other}");
        }
        assert_eq!(ask(Some(tag), "other content").await.0.status(), StatusCode::OK);
    }
}
