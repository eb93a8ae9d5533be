//! A registry that answers exactly what a test tells it to, to stand for a broken one. The real one is
//! used in the end-to-end tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use order_events::SchemaRegistry;
use order_events::config::RegistryConfig;
use serde_json::json;
use tokio::net::TcpListener;

/// What the registry does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, content type, body.
    Body(u16, &'static str, String),
    /// Announces more bytes than it sends.
    Half,
    /// Never answers.
    Silence,
}

impl Answer {
    pub(crate) fn json(status: u16, body: serde_json::Value) -> Self {
        Self::Body(status, "application/json", body.to_string())
    }

    pub(crate) fn schema(schema: &str) -> Self {
        Self::json(200, json!({ "schema": schema }))
    }
}

#[derive(Clone, Default)]
pub(crate) struct ScriptedRegistry {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    url: String,
}

impl ScriptedRegistry {
    /// Starts on a free port; answers 500 when its script has run out.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = Self { url, ..Self::default() };
        let router = Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        registry
    }

    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    /// `METHOD /path`, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn client(&self) -> SchemaRegistry {
        SchemaRegistry::new(self.config()).unwrap()
    }

    pub(crate) fn config(&self) -> RegistryConfig {
        RegistryConfig {
            url: self.url.clone(),
            basic_auth: None,
            auto_register: true,
            timeout: Duration::from_millis(300),
        }
    }
}

async fn answer(State(registry): State<ScriptedRegistry>, method: Method, uri: Uri) -> Response {
    registry.requests.lock().unwrap().push(format!("{method} {}", uri.path()));
    let next = registry.answers.lock().unwrap().pop_front();
    match next.unwrap_or(Answer::Body(500, "text/plain", "the script has run out".into())) {
        Answer::Body(status, content_type, body) => {
            (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, content_type)], body)
                .into_response()
        }
        Answer::Half => {
            let body = axum::body::Body::from_stream(HalfAnswer::default());
            ([(header::CONTENT_LENGTH, "1000"), (header::CONTENT_TYPE, "application/json")], body)
                .into_response()
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// A few bytes, then a broken connection.
#[derive(Default)]
struct HalfAnswer {
    sent: bool,
}

impl futures_core::Stream for HalfAnswer {
    type Item = Result<&'static [u8], std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let item = if self.sent {
            Err(std::io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(&b"{\"schema\":"[..])
        };
        self.sent = true;
        std::task::Poll::Ready(Some(item))
    }
}
