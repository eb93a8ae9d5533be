//! The service, and what stands for its neighbours.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use axum::{Json, Router};
use cart_service::config::Config;
use cart_service::settings::Settings;
use cart_service::{Publisher, assemble};
use clap::Parser;
use order_events::bootstrap::Bootstrap;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const TOPIC: &str = "order-events";
pub(crate) const PARTITIONS: i32 = 3;

pub(crate) type Cluster = MockCluster<'static, DefaultProducerContext>;

/// One broker with the topic of the events.
pub(crate) fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

pub(crate) struct Service {
    app: Router,
    pub(crate) publisher: Arc<Publisher>,
}

impl Service {
    /// Has neither its topic nor its schema yet.
    pub(crate) fn booting(flags: &[&str]) -> Self {
        Self::assembled(&config("127.0.0.1:1", flags))
    }

    /// Publishes to `cluster`.
    pub(crate) async fn publishing(cluster: &Cluster, flags: &[&str]) -> Self {
        let registry = serve(
            Router::new().fallback(async || Json(json!({ "id": 7, "compatibilityLevel": "BACKWARD" }))),
        )
        .await;
        let flags = [&["--schema-registry-url", registry.as_str()], flags].concat();
        let config = config(&cluster.bootstrap_servers(), &flags);
        let service = Self::assembled(&config);
        let bootstrap = Bootstrap::new(&config.kafka, &config.settings.registry, &|_| {}).unwrap();
        service.publisher.begin(bootstrap.codec(TOPIC).await.unwrap(), PARTITIONS);
        service
    }

    fn assembled(config: &Config) -> Self {
        let (app, publisher) = assemble(config, &CancellationToken::new()).unwrap();
        Self { app, publisher }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text, json }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, &[], Body::empty())).await
    }

    /// Sends JSON.
    pub(crate) async fn write(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(request(method, path, &headers, body.to_owned())).await
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The status, and the last part of the problem's type.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        assert_eq!(self.json["status"], self.status, "{}", self.text);
        (self.status, self.json["type"].as_str().unwrap().rsplit(':').next().unwrap())
    }

    /// Where the faults of a 400 are.
    pub(crate) fn faults(&self) -> Vec<&str> {
        assert_eq!(self.problem(), (400, "invalid-request"), "{}", self.text);
        let errors = self.json["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// Serves on a free port; gives the URL.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Asks until `condition` holds.
pub(crate) async fn eventually(condition: impl AsyncFn() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), holds).await.unwrap();
}

fn config(servers: &str, flags: &[&str]) -> Config {
    let own = ["cart-service", "--kafka-bootstrap-servers", servers];
    Config::new(Settings::parse_from([&own, flags].concat()), std::iter::empty()).unwrap()
}
