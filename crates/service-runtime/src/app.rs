//! What every route of a service has in common.

use std::any::Any;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{OriginalUri, Request};
use axum::http::response::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, body};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tracing::error;

use crate::input::shown;
use crate::limits::HttpArgs;
use crate::observe::{HttpMetrics, observe, tell_route};
use crate::problem::{Problem, ProblemType};
use crate::rate_limit::{self, Rates};
use crate::repetition::WritesHaveKeys;
use crate::request_body::{self, BODY_LIMIT};
use crate::{api_token, cors, deadline, host, overload};

/// How much of a plain error text is passed on.
const MAX_PLAIN_TEXT: usize = 1024;

/// Answers below this size, in bytes, are sent as they are: compressing them costs more than it saves.
const COMPRESS_FROM: u16 = 1024;

/// Gives a service's routes what they have in common: limits, an answer to a panic, problem details for every
/// error whoever made it, compression, request ids, metrics.
pub fn finish(routes: Router, metrics: HttpMetrics, args: &HttpArgs, keys: WritesHaveKeys) -> Router {
    let routes = routes.layer(CatchPanicLayer::custom(panicked)).layer(from_fn(tell_route));
    // What the router itself says (404, the Allow of a 405) is known only outside of it.
    let outside = limited(Router::new().fallback_service(routes), args, keys)
        .layer(from_fn(host::check))
        .layer(from_fn_with_state(args.read_timeout, request_body::receive))
        .layer(from_fn(explain))
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM)));
    let outside = match args.cors_allowed_origins.as_slice() {
        [] => outside,
        origins => outside.layer(cors::layer(origins.to_vec())),
    };
    outside.layer(from_fn_with_state(metrics, observe))
}

/// From outside in: rate limit, load shedding, authorization, the time limit of an answer.
fn limited(routes: Router, args: &HttpArgs, keys: WritesHaveKeys) -> Router {
    let mut routes = routes.layer(from_fn_with_state((args.request_timeout, keys), deadline::enforce));
    if let Some(token) = &args.api_token {
        routes = routes.layer(from_fn_with_state(token.clone(), api_token::protect));
    }
    let room = Arc::new(Semaphore::new(args.max_concurrent_requests as usize));
    routes = routes.layer(from_fn_with_state(room, overload::shed));
    match args.rate_limit {
        Some(limit) => routes.layer(from_fn_with_state(Rates::new(limit), rate_limit::limit)),
        None => routes,
    }
}

/// Middleware: makes a problem of every error that is none yet, such as those of the router itself; and what
/// no handler has allowed to be kept is not kept (RFC 9111, section 5.2.2.5).
async fn explain(OriginalUri(uri): OriginalUri, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    let mut response = explained(&method, &uri, response).await;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

async fn explained(method: &Method, uri: &Uri, response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || is_explained(&response) {
        return response;
    }
    let (mut parts, plain) = response.into_parts();
    let detail = detail(method, uri, &parts, plain).await;
    let problem = if status == StatusCode::INTERNAL_SERVER_ERROR {
        error!(reason = detail, "a request failed");
        Problem::internal()
    } else {
        Problem::new(ProblemType::of_status(status), detail)
    };
    let (new_parts, body) = problem.into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(new_parts.headers);
    Response::from_parts(parts, body)
}

/// What a person should know of an error that no handler has explained.
async fn detail(method: &Method, uri: &Uri, parts: &Parts, plain: Body) -> String {
    match parts.status {
        StatusCode::NOT_FOUND => {
            format!("There is nothing at {}; /docs shows what there is.", shown(uri.path()))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = parts.headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok());
            not_allowed(method, uri.path(), allowed)
        }
        StatusCode::PAYLOAD_TOO_LARGE => format!("The body is larger than {BODY_LIMIT} bytes."),
        _ => match body::to_bytes(plain, MAX_PLAIN_TEXT).await {
            Ok(text) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
            _ => ProblemType::of_status(parts.status).title.to_owned(),
        },
    }
}

/// Whether a handler has said in JSON what is wrong: as a problem, or as a health report.
fn is_explained(response: &Response) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    matches!(media_type, Some("application/problem+json" | "application/json"))
}

fn not_allowed(method: &Method, path: &str, allowed: Option<&str>) -> String {
    match allowed {
        Some(allowed) => {
            format!("{method} is not possible at {}; use {}.", shown(path), allowed.replace(',', " or "))
        }
        None => format!("{method} is not possible at {}.", shown(path)),
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    error!(panic = message, "a handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use axum::extract::ConnectInfo;
    use axum::http::{Request, Version};
    use axum::routing::{any, get, post};
    use clap::Parser;
    use futures_util::FutureExt;
    use futures_util::stream;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use serde_json::Value;
    use std::net::SocketAddr;
    use tokio::time::Duration;
    use tower::ServiceExt;

    use super::*;
    use crate::input;
    use crate::observe::REQUEST_ID;

    async fn panics() -> StatusCode {
        panic!("a secret of the code")
    }

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        http: HttpArgs,
    }

    fn args(flags: &[&str]) -> HttpArgs {
        Settings::parse_from(["program"].iter().chain(flags)).http
    }

    fn app(registry: &mut Registry) -> Router {
        app_with(registry, &[])
    }

    fn app_with(registry: &mut Registry, flags: &[&str]) -> Router {
        finish(routes(), HttpMetrics::register(registry), &args(flags), WritesHaveKeys::Yes)
    }

    fn routes() -> Router {
        Router::new()
            .route("/orders", post(async |_: Option<input::Body>| StatusCode::OK))
            .route("/panics", get(panics))
            .route("/never", any(std::future::pending::<()>))
            .route("/large", get(|| async { "x".repeat(5000) }))
            .route("/health/live", get(|| async { "live" }))
            .route("/teapot", get(|| async { (StatusCode::IM_A_TEAPOT, "short and stout") }))
    }

    async fn call(method: &str, path: &str, body: impl Into<Body>) -> (Response, Value) {
        let request =
            Request::builder().method(method).uri(path).header("host", "x").body(body.into()).unwrap();
        let response = app(&mut Registry::default()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(parts, Body::empty()), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn errors_that_axum_makes_are_problems_too() {
        let cases = [
            ("GET", "/nowhere?x=1", 404, "There is nothing at \"/nowhere\"; /docs shows what there is."),
            ("DELETE", "/orders", 405, "DELETE is not possible at \"/orders\"; use POST."),
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
        let request = |id: &str| {
            Request::builder()
                .uri("/teapot")
                .header("host", "x")
                .header(REQUEST_ID, id)
                .body(Body::empty())
                .unwrap()
        };
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
            app.clone().oneshot(request("GET", path, &[])).await.unwrap();
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

    /// The status and the problem's slug of an answer to each request, one after the other.
    async fn statuses(app: &Router, requests: Vec<Request<Body>>) -> Vec<(u16, String)> {
        let mut all = Vec::new();
        for request in requests {
            let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
            let body = body::to_bytes(body, usize::MAX).await.unwrap();
            let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
            let slug = problem["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap().to_owned();
            all.push((parts.status.as_u16(), slug));
        }
        all
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", "x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn writes_need_the_token_and_reads_do_not() {
        let app = app_with(&mut Registry::default(), &["--api-token", "0123456789abcdef"]);
        let bearer = |token: &str| request("POST", "/orders", &[("authorization", token)]);
        let answers = statuses(
            &app,
            vec![
                bearer("Bearer 0123456789abcdef"),
                bearer("Bearer wrong"),
                bearer("Basic dTpw"),
                request("POST", "/orders", &[]),
                request("GET", "/large", &[]),
            ],
        );
        let codes: Vec<u16> = answers.await.into_iter().map(|(status, _)| status).collect();
        assert_eq!(codes, [200, 401, 401, 401, 200]);
        let refused = app.oneshot(request("POST", "/orders", &[])).await.unwrap();
        assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"orders\"");
    }

    #[tokio::test]
    async fn a_client_that_asks_too_often_is_told_to_wait() {
        let app = app_with(&mut Registry::default(), &["--rate-limit", "2"]);
        let from = |path: &str| {
            let mut request = request("GET", path, &[]);
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 1))));
            request
        };
        let answers = statuses(&app, (0..1000).map(|_| from("/large")).collect()).await;
        assert_eq!((answers[0].0, answers[1].0), (200, 200));
        // However slow the machine is, some three of them come within a second.
        let refused = answers.into_iter().find(|(status, _)| *status != 200);
        assert_eq!(refused, Some((429, "too-many-requests".to_owned())));
        assert_eq!(statuses(&app, vec![from("/health/live")]).await[0].0, 200);
    }

    #[tokio::test]
    async fn a_request_is_for_one_host() {
        let app = app(&mut Registry::default());
        let host = |hosts: &[&str], version| {
            let mut request = Request::builder().uri("/large").version(version);
            for host in hosts {
                request = request.header("host", *host);
            }
            request.body(Body::empty()).unwrap()
        };
        let requests = vec![
            host(&["a:8000"], Version::HTTP_11),
            host(&[""], Version::HTTP_11),
            host(&[], Version::HTTP_10),
            host(&[], Version::HTTP_11),
            host(&["a", "b"], Version::HTTP_10),
            host(&["a b/@"], Version::HTTP_11),
        ];
        let codes: Vec<u16> = statuses(&app, requests).await.into_iter().map(|(status, _)| status).collect();
        assert_eq!(codes, [200, 200, 200, 400, 400, 400]);
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused_at_once_but_health_is_told() {
        let app = app_with(&mut Registry::default(), &["--max-concurrent-requests", "1"]);
        let mut running = Box::pin(app.clone().oneshot(request("GET", "/never", &[])));
        assert!(running.as_mut().now_or_never().is_none());
        let requests = vec![request("GET", "/large", &[]), request("GET", "/health/live", &[])];
        let answers = statuses(&app, requests).await;
        assert_eq!(answers, [(503, "overloaded".to_owned()), (200, String::new())]);
        drop(running);
        assert_eq!(statuses(&app, vec![request("GET", "/large", &[])]).await[0].0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_and_a_body_have_their_time() {
        let app = app(&mut Registry::default());
        let slow = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let slow = Request::builder().method("POST").uri("/orders").header("host", "x").body(slow).unwrap();
        let answers = statuses(&app, vec![request("GET", "/never", &[]), slow]).await;
        assert_eq!(answers, [(503, "timed-out".to_owned()), (408, "slow-request".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_time_out_only_what_does_no_harm_is_to_be_tried_again() {
        let app = app(&mut Registry::default());
        let key = "Send the same request again, with the same Idempotency-Key.";
        let cases = [
            ("GET", "accept", Some("2"), "Try again."),
            ("OPTIONS", "accept", Some("2"), "Try again."),
            ("POST", "idempotency-key", Some("2"), key),
            ("PATCH", "x-idempotency-key", Some("2"), key),
            ("POST", "accept", None, "look first"),
            ("PUT", "accept", None, "look first"),
        ];
        for (method, header, retry_after, what_to_do) in cases {
            let request = request(method, "/never", &[(header, "x")]);
            let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
            let told = parts.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((parts.status.as_u16(), told), (503, retry_after), "{method} {header}");
            let problem: Value =
                serde_json::from_slice(&body::to_bytes(body, usize::MAX).await.unwrap()).unwrap();
            assert!(problem["detail"].as_str().unwrap().contains(what_to_do), "{problem}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_key_is_known_none_makes_a_write_harmless() {
        let metrics = HttpMetrics::register(&mut Registry::default());
        let app = finish(routes(), metrics, &args(&[]), WritesHaveKeys::No);
        for (method, has_retry_after) in [("POST", false), ("GET", true)] {
            let request = request(method, "/never", &[("idempotency-key", "x")]);
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), has_retry_after, "{method}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_no_excuse() {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>("x"), ()))
        });
        let drips = Request::builder().method("POST").uri("/orders").header("host", "x");
        let drips = drips.body(Body::from_stream(drip)).unwrap();
        assert_eq!(statuses(&app(&mut Registry::default()), vec![drips]).await[0].0, 408);
    }

    #[tokio::test]
    async fn large_answers_are_compressed_for_who_can_read_them() {
        let app = app(&mut Registry::default());
        let gzip = [("accept-encoding", "gzip")];
        for (path, encoding) in [("/large", Some("gzip")), ("/health/live", None)] {
            let response = app.clone().oneshot(request("GET", path, &gzip)).await.unwrap();
            assert_eq!(
                response.headers().get("content-encoding").map(|value| value.to_str().unwrap()),
                encoding
            );
        }
    }

    #[tokio::test]
    async fn pages_of_other_origins_are_served_only_if_they_may_be() {
        let ask = async |flags: &[&str], origin: &str| {
            let app = app_with(&mut Registry::default(), flags);
            let request = request("GET", "/nowhere", &[("origin", origin)]);
            let headers = app.oneshot(request).await.unwrap().headers().clone();
            headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
        };
        let allowed = ["--cors-allowed-origins", "https://a.example,https://b.example"];
        assert_eq!(ask(&[], "https://a.example").await, None);
        assert_eq!(ask(&allowed, "https://b.example").await.as_deref(), Some("https://b.example"));
        assert_eq!(ask(&allowed, "https://c.example").await, None);
        assert_eq!(ask(&["--cors-allowed-origins", "*"], "https://c.example").await.as_deref(), Some("*"));
    }
}
