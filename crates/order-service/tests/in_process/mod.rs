//! A whole service but for Kafka, inside of the test's process.

use std::sync::Arc;

use axum::Router;
use clap::Parser;
use order_events::{CreateOrderPayload, EventCodec, SchemaRegistry};
use order_service::changelog::{ChangelogCodec, ChangelogEntry, OrderState};
use order_service::config::Config;
use order_service::http;
use order_service::http::state::{AppState, Letters, LettersCell};
use order_service::settings::Settings;
use order_service::view::status::Status;
use order_service::view::store::{StateBytes, Store};
use order_service::view::{View, ViewCell};
use serde_json::Value;
use service_runtime::observe::HttpMetrics;
use service_runtime::{WritesHaveKeys, app};
use tokio_util::sync::CancellationToken;

/// As many as the events topic has by default.
pub(crate) const PARTITIONS: usize = 3;

/// The default settings.
pub(crate) fn config() -> Config {
    Config::new(Settings::parse_from(["order-service"]), std::iter::empty()).unwrap()
}

/// An empty store, and the state of an order to fill it with.
pub(crate) fn store() -> (Store, StateBytes) {
    let codec = ChangelogCodec::new(1);
    let mut state = Vec::new();
    codec.encode(&ChangelogEntry::OrderState(order()), &mut state).unwrap();
    (Store::new(Arc::new(codec), PARTITIONS), state.into_boxed_slice())
}

/// The service over a store; nothing of it is restored yet. Must be called inside of a runtime.
pub(crate) fn app(store: Store, status: &Status) -> Router {
    let (config, view) = (config(), ViewCell::default());
    let registry = SchemaRegistry::new(config.settings.registry.clone()).unwrap();
    let letters = LettersCell::default();
    let shown = view.get_or_init(|| View::new(store, PARTITIONS));
    letters.get_or_init(|| Letters::new(&config, shown, Arc::new(EventCodec::new(1)), Arc::new(registry)));
    status.restoring(PARTITIONS);
    let mut metrics = prometheus_client::registry::Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let state = AppState::new(&config, view, letters, status.clone(), metrics, CancellationToken::new());
    let router = http::router(state, Value::Null);
    app::finish(router, http_metrics, &config.settings.service.http, WritesHaveKeys::No)
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
