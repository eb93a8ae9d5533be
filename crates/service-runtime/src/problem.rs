//! Errors as a client sees them: RFC 9457 `application/problem+json`.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::json;

use crate::prefer::Prefer;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How many faults `detail` tells, and how many `errors` has: a body of 1 MiB can have a hundred thousand.
const MAX_TOLD: usize = 10;
const MAX_LISTED: usize = 100;

/// RFC 3986, section 3.5.
const NOT_IN_FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// When a service that is not ready may be asked again.
const NOT_READY_RETRY: Duration = Duration::from_secs(2);

/// A kind of problem. One constant each, so that a client can rely on `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemType {
    /// The last part of the `type` URI, for example `invalid-request`; empty for `about:blank`, a problem
    /// that says no more than its status (RFC 9457, section 4.2.1).
    pub slug: &'static str,
    /// The same for every problem of the kind.
    pub title: &'static str,
    /// The HTTP status that goes with it.
    pub status: StatusCode,
}

impl ProblemType {
    /// Something about the request is wrong; `errors` lists every fault.
    pub const INVALID_REQUEST: Self =
        Self::new("invalid-request", "The request is not valid", StatusCode::BAD_REQUEST);

    /// The service does not know the client: only with `API_TOKEN`.
    pub const UNAUTHORIZED: Self =
        Self::new("unauthorized", "A valid token is needed", StatusCode::UNAUTHORIZED);

    /// The client did not send its body in time.
    pub const SLOW_REQUEST: Self =
        Self::new("slow-request", "The body came too slowly", StatusCode::REQUEST_TIMEOUT);

    /// The client sends more than `RATE_LIMIT` requests.
    pub const TOO_MANY_REQUESTS: Self =
        Self::new("too-many-requests", "Too many requests of this client", StatusCode::TOO_MANY_REQUESTS);

    /// More requests run than `MAX_CONCURRENT_REQUESTS`.
    pub const OVERLOADED: Self =
        Self::new("overloaded", "The service is busy", StatusCode::SERVICE_UNAVAILABLE);

    /// The service cannot answer yet, or just now.
    pub const NOT_READY: Self = Self::new("not-ready", "Not ready", StatusCode::SERVICE_UNAVAILABLE);

    /// The answer was not there within `REQUEST_TIMEOUT`.
    pub const TIMED_OUT: Self =
        Self::new("timed-out", "The answer took too long", StatusCode::SERVICE_UNAVAILABLE);

    /// The problems that any request may get from any service, beside those that are only their status.
    pub const SHARED: [Self; 7] = [
        Self::INVALID_REQUEST,
        Self::UNAUTHORIZED,
        Self::SLOW_REQUEST,
        Self::TOO_MANY_REQUESTS,
        Self::OVERLOADED,
        Self::NOT_READY,
        Self::TIMED_OUT,
    ];

    /// A kind of problem that clients tell by its `slug`.
    pub const fn new(slug: &'static str, title: &'static str, status: StatusCode) -> Self {
        Self { slug, title, status }
    }

    /// The problem that is only its status.
    pub fn of_status(status: StatusCode) -> Self {
        Self { slug: "", title: status.canonical_reason().unwrap_or("Error"), status }
    }

    /// The `type` URI.
    pub fn uri(&self) -> Cow<'static, str> {
        match self.slug {
            "" => Cow::Borrowed("about:blank"),
            slug => Cow::Owned(format!("urn:order-pipeline:problem:{slug}")),
        }
    }
}

/// One answer to a client that something is wrong. Boxed: it travels in the `Err` of most functions of a
/// handler.
#[derive(Debug, Clone)]
pub struct Problem(Box<Content>);

#[derive(Debug, Clone)]
struct Content {
    kind: ProblemType,
    detail: String,
    errors: Vec<Fault>,
    headers: HeaderMap,
    extensions: serde_json::Map<String, serde_json::Value>,
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer into the body as a URI fragment (`#/orderId`), `?name` for a query parameter,
    /// `{name}` for a part of the path, or a header's name.
    pub pointer: String,
    /// What is wrong there, and what is expected.
    pub detail: String,
}

impl Fault {
    /// A fault of a field of the body.
    pub fn body(field: &str, detail: impl Into<String>) -> Self {
        // RFC 6901: a tilde and a slash are escaped, and then what is not allowed in a URI's fragment.
        let field = field.replace('~', "~0").replace('/', "~1");
        let field = utf8_percent_encode(&field, NOT_IN_FRAGMENT);
        Self { pointer: format!("#/{field}"), detail: detail.into() }
    }

    /// A fault of the body as a whole.
    pub fn whole_body(detail: impl Into<String>) -> Self {
        Self { pointer: "#".to_owned(), detail: detail.into() }
    }

    /// A fault of a query parameter.
    pub fn query(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("?{name}"), detail: detail.into() }
    }

    /// A fault of a part of the path.
    pub fn path(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: format!("{{{name}}}"), detail: detail.into() }
    }

    /// A fault of a header.
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        Self { pointer: name.to_owned(), detail: detail.into() }
    }
}

impl Problem {
    /// A problem of this kind; `detail` tells a person what happened and what to do.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self(Box::new(Content {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            headers: HeaderMap::new(),
            extensions: serde_json::Map::new(),
        }))
    }

    /// A 400 with the request's faults.
    pub fn invalid(mut errors: Vec<Fault>) -> Self {
        let told = errors.iter().take(MAX_TOLD).map(|fault| format!("{} {}", fault.pointer, fault.detail));
        let mut told: Vec<_> = told.collect();
        if errors.len() > MAX_TOLD {
            told.push(format!("and {} more", errors.len() - MAX_TOLD));
        }
        errors.truncate(MAX_LISTED);
        let mut problem = Self::new(ProblemType::INVALID_REQUEST, told.join("; "));
        problem.0.errors = errors;
        problem
    }

    /// A 503 of a service that cannot answer yet, or just now; `reason` is half a sentence.
    pub fn not_ready(reason: &str) -> Self {
        Self::new(ProblemType::NOT_READY, format!("Not ready: {reason}.")).retry_after(NOT_READY_RETRY)
    }

    /// A 500: a defect of ours. The client is not told what it is; the log is, by who makes this.
    pub fn internal() -> Self {
        let kind = ProblemType::of_status(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(kind, "Something failed here; the log says what, under the x-request-id.")
    }

    /// When it is worth trying again, rounded up to seconds (RFC 9110, section 10.2.3).
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        self.header(header::RETRY_AFTER, seconds.max(1).into())
    }

    /// Adds a header of its own to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Tells that the client's preference was followed.
    #[must_use]
    pub fn applied(mut self, prefer: Prefer) -> Self {
        self.0.headers.extend(prefer.applied().into_iter().flatten());
        self
    }

    /// Adds a member of its own to the problem (RFC 9457, section 3.2).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// Every fault of a bad request.
    pub fn errors(&self) -> &[Fault] {
        &self.0.errors
    }

    /// The members of the problem.
    pub fn to_json(&self) -> serde_json::Value {
        let Content { kind, detail, errors, extensions, .. } = &*self.0;
        let mut members = serde_json::Map::new();
        let mut add = |name: &str, value| members.insert(name.to_owned(), value);
        add("type", kind.uri().into());
        add("title", kind.title.into());
        add("status", kind.status.as_u16().into());
        add("detail", detail.as_str().into());
        if !errors.is_empty() {
            add("errors", json!(errors));
        }
        members.extend(extensions.clone());
        members.into()
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.kind.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = axum::Json(self.to_json());
        let Content { kind, headers, .. } = *self.0;
        (kind.status, headers, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(problem: Problem) -> serde_json::Value {
        let body = axum::body::to_bytes(problem.into_response().into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn every_fault_is_told_at_once() {
        let problem = Problem::invalid(vec![
            Fault::body("orderId", "must not be blank"),
            Fault::query("limit", "must be a number"),
        ]);
        assert_eq!(
            body(problem).await,
            serde_json::json!({
                "type": "urn:order-pipeline:problem:invalid-request",
                "title": "The request is not valid",
                "status": 400,
                "detail": "#/orderId must not be blank; ?limit must be a number",
                "errors": [
                    { "pointer": "#/orderId", "detail": "must not be blank" },
                    { "pointer": "?limit", "detail": "must be a number" },
                ],
            })
        );
    }

    #[tokio::test]
    async fn waiting_times_are_rounded_up() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem =
            Problem::new(ProblemType::of_status(status), "busy").retry_after(Duration::from_millis(1200));
        let response = problem.clone().with("attempts", 3).into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(body(problem).await["type"], "about:blank");
    }
}
