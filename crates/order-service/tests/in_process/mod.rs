//! A whole service but for Kafka, inside of the test's process.

use std::sync::Arc;
use std::time::Duration;

use axum::{Json, Router};
use clap::Parser;
use order_events::codec::Codec;
use order_events::config::RegistryConfig;
use order_events::{CreateOrderPayload, SchemaRegistry};
use order_service::changelog::{ChangelogCodec, ChangelogEntry, OrderState};
use order_service::config::Config;
use order_service::http;
use order_service::http::state::{AppState, Letters, LettersCell};
use order_service::settings::Settings;
use order_service::view::status::Status;
use order_service::view::store::{StateBytes, Store};
use order_service::view::{View, ViewCell};
use serde_json::{Value, json};
use service_runtime::observe::HttpMetrics;
use service_runtime::{WritesHaveKeys, app};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// As many as the events topic has by default.
pub(crate) const PARTITIONS: usize = 3;

/// The default settings.
pub(crate) fn config() -> Config {
    Config::new(Settings::parse_from(["order-service"]), std::iter::empty()).unwrap()
}

/// An empty store, and the state of an order to fill it with.
pub(crate) async fn store() -> (Store, StateBytes) {
    let codec: Arc<ChangelogCodec> = Arc::new(Codec::register(registry().await, "changelog").await.unwrap());
    let mut state = Vec::new();
    codec.encode(&ChangelogEntry::OrderState(order()), &mut state).unwrap();
    (Store::new(codec, PARTITIONS), state.into_boxed_slice())
}

/// The service over a store; nothing of it is restored yet.
pub(crate) async fn app(store: Store, status: &Status) -> Router {
    let (config, view) = (config(), ViewCell::default());
    let events = Arc::new(Codec::register(registry().await, "events").await.unwrap());
    let letters = LettersCell::default();
    let shown = view.get_or_init(|| View::new(store, PARTITIONS));
    letters.get_or_init(|| Letters::new(&config, shown, events));
    status.restoring(PARTITIONS);
    let mut metrics = prometheus_client::registry::Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let state = AppState::new(&config, view, letters, status.clone(), metrics, CancellationToken::new());
    let router = http::router(state, Value::Null);
    app::finish(router, http_metrics, &config.settings.service.http, WritesHaveKeys::No)
}

/// A registry that knows every schema as number 7.
async fn registry() -> Arc<SchemaRegistry> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers =
        Router::new().fallback(|| async { Json(json!({ "id": 7, "compatibilityLevel": "BACKWARD" })) });
    tokio::spawn(async move { axum::serve(listener, answers).await });
    let timeout = Duration::from_secs(5);
    Arc::new(
        SchemaRegistry::new(RegistryConfig { url, basic_auth: None, auto_register: true, timeout }).unwrap(),
    )
}

fn order() -> OrderState {
    let order = CreateOrderPayload {
        customer_id: "CUST-1".into(),
        order_date: "2026-01-30T15:00:00Z".into(),
        items: Vec::new(),
        total_amount: 1.0,
        currency: "USD".into(),
        status: "new".into(),
    };
    OrderState { order: Some(order), ..OrderState::default() }
}
