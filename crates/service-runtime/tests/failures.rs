//! What the log has of a failure. A program of its own, since a process has one log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use clap::Parser;
use prometheus_client::registry::Registry;
use service_runtime::limits::HttpArgs;
use service_runtime::observe::HttpMetrics;
use service_runtime::{WritesHaveKeys, app};
use tower::ServiceExt;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    http: HttpArgs,
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn panics() -> StatusCode {
    panic!("a secret of the code")
}

async fn fails() -> (StatusCode, &'static str) {
    (StatusCode::INTERNAL_SERVER_ERROR, "a secret of a library")
}

#[tokio::test]
async fn a_failure_is_logged_once_with_its_cause_which_the_client_is_not_told() {
    let log = Log::default();
    let lines = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).init();
    let routes = Router::new().route("/panics", get(panics)).route("/fails", get(fails));
    let args = Settings::parse_from(["program"]).http;
    let app = app::finish(routes, HttpMetrics::register(&mut Registry::default()), &args, WritesHaveKeys::No);
    for (path, cause) in [("/panics", "a secret of the code"), ("/fails", "a secret of a library")] {
        let request = Request::builder().uri(path).header("host", "x").body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let told = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(!String::from_utf8_lossy(&told).contains("secret"), "{told:?}");
        let logged = log.take();
        assert_eq!(logged.matches("ERROR").count(), 1, "{logged}");
        assert!(logged.contains(cause) && logged.contains(&format!("path=\"{path}\"")), "{logged}");
    }
}
