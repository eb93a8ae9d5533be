//! What every route of a service has in common.

use std::any::Any;

use axum::extract::{DefaultBodyLimit, OriginalUri, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, body};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::observe::{HttpMetrics, observe, tell_route};
use crate::problem::{Problem, ProblemType};

/// The largest body that is read, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How much of a plain error text is passed on.
const MAX_PLAIN_TEXT: usize = 1024;

/// Gives a service's routes what they have in common: a body limit, an answer to a panic, problem details for
/// every error whoever made it, request ids, metrics.
pub fn finish(routes: Router, metrics: HttpMetrics) -> Router {
    let routes = routes
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(tell_route));
    // What the router itself says (404, the Allow of a 405) is known only outside of it.
    Router::new().fallback_service(routes).layer(from_fn(explain)).layer(from_fn_with_state(metrics, observe))
}

/// Middleware: makes a problem of every error that is none yet, such as those of the router itself.
async fn explain(OriginalUri(uri): OriginalUri, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_explained(&response) {
        return response;
    }
    let (mut parts, plain) = response.into_parts();
    let detail = match status {
        StatusCode::NOT_FOUND => format!("There is nothing at {}.", uri.path()),
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = parts.headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok());
            not_allowed(&method, uri.path(), allowed)
        }
        StatusCode::PAYLOAD_TOO_LARGE => format!("The body is larger than {BODY_LIMIT} bytes."),
        StatusCode::INTERNAL_SERVER_ERROR => {
            "Something failed here; the log says what, under the x-request-id.".into()
        }
        _ => match body::to_bytes(plain, MAX_PLAIN_TEXT).await {
            Ok(text) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
            _ => ProblemType::of_status(status).title.to_owned(),
        },
    };
    let problem = Problem::new(ProblemType::of_status(status), detail).into_response();
    let (new_parts, body) = problem.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(new_parts.headers);
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        // What is left of the body is not read: the client must not send its next request behind it.
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, body)
}

/// Whether a handler has said in JSON what is wrong: as a problem, or as a health report.
fn is_explained(response: &Response) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    matches!(media_type, Some("application/problem+json" | "application/json"))
}

fn not_allowed(method: &Method, path: &str, allowed: Option<&str>) -> String {
    match allowed {
        Some(allowed) => format!("{method} is not possible at {path}; use {}.", allowed.replace(',', " or ")),
        None => format!("{method} is not possible at {path}."),
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    error!(panic = message, "a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::{get, post};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::observe::REQUEST_ID;

    async fn panics() -> StatusCode {
        panic!("a secret of the code")
    }

    fn app(registry: &mut Registry) -> Router {
        let routes = Router::new()
            .route("/orders", post(|body: String| async move { body }))
            .route("/panics", get(panics))
            .route("/teapot", get(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") }));
        finish(routes, HttpMetrics::register(registry))
    }

    async fn call(method: &str, path: &str, body: impl Into<Body>) -> (Response, Value) {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        let response = app(&mut Registry::default()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, Body::empty()), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn errors_that_axum_makes_are_problems_too() {
        let cases = [
            ("GET", "/nowhere?x=1", 404, "There is nothing at /nowhere."),
            ("DELETE", "/orders", 405, "DELETE is not possible at /orders; use POST."),
            ("GET", "/teapot", 418, "short and stout"),
        ];
        for (method, path, status, detail) in cases {
            let (response, problem) = call(method, path, Body::empty()).await;
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            assert_eq!(problem["status"], status);
            assert_eq!(problem["detail"], detail);
        }
        let (response, _) = call("DELETE", "/orders", Body::empty()).await;
        assert_eq!(response.headers()[header::ALLOW], "POST");
        let (response, problem) = call("POST", "/orders", vec![b'x'; BODY_LIMIT + 1]).await;
        assert_eq!(response.status(), 413);
        assert_eq!(problem["detail"], "The body is larger than 1048576 bytes.");
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_nothing() {
        let (response, problem) = call("GET", "/panics", Body::empty()).await;
        assert_eq!(response.status(), 500);
        assert!(!problem.to_string().contains("secret"), "{problem}");
        assert!(response.headers().contains_key(REQUEST_ID));
    }

    #[tokio::test]
    async fn a_request_keeps_the_id_that_its_client_chose() {
        let request =
            |id: &str| Request::builder().uri("/teapot").header(REQUEST_ID, id).body(Body::empty()).unwrap();
        let app = app(&mut Registry::default());
        let response = app.clone().oneshot(request("mine")).await.unwrap();
        assert_eq!(response.headers()[REQUEST_ID], "mine");
        let response = app.oneshot(request(&"x".repeat(129))).await.unwrap();
        assert_eq!(response.headers()[REQUEST_ID].len(), 36);
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_not_by_path() {
        let mut registry = Registry::default();
        let app = app(&mut registry);
        for path in ["/teapot", "/nowhere/1", "/nowhere/2"] {
            app.clone().oneshot(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap();
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(
            text.contains(r#"http_requests_total{method="GET",route="/teapot",status="418"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"http_requests_total{method="GET",route="(none)",status="404"} 2"#),
            "{text}"
        );
    }
}
