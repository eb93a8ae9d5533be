//! A whole service but for Kafka, inside of the test's process.

use std::sync::{Arc, OnceLock};

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

/// The default settings, and these.
pub(crate) fn config(flags: &[&str]) -> Config {
    let flags = ["order-service"].into_iter().chain(flags.iter().copied());
    Config::new(Settings::parse_from(flags), std::iter::empty()).unwrap()
}

/// An empty store.
pub(crate) fn store() -> Store {
    Store::new(Arc::new(ChangelogCodec::new(1)), PARTITIONS)
}

/// The state of an order, as a store has it.
pub(crate) fn state(order: CreateOrderPayload) -> StateBytes {
    let mut state = Vec::new();
    let order = OrderState { order: Some(order), ..OrderState::default() };
    ChangelogCodec::new(1).encode(&ChangelogEntry::OrderState(order), &mut state).unwrap();
    state.into_boxed_slice()
}

/// The service over a view; nothing of it is restored yet. Must be called inside of a runtime.
pub(crate) fn app(config: &Config, view: View, status: &Status) -> (Router, Letters) {
    let registry = SchemaRegistry::new(config.settings.registry.clone()).unwrap();
    let letters = Letters::new(config, &view, Arc::new(EventCodec::new(1)), Arc::new(registry));
    let (views, cell) =
        (ViewCell::from(OnceLock::from(view)), LettersCell::from(OnceLock::from(letters.clone())));
    status.restoring(PARTITIONS);
    let mut metrics = prometheus_client::registry::Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let state = AppState::new(config, views, cell, status.clone(), metrics, CancellationToken::new());
    let router = http::router(state, Value::Null);
    (app::finish(router, http_metrics, &config.settings.service.http, WritesHaveKeys::No), letters)
}

/// An order.
pub(crate) fn order() -> CreateOrderPayload {
    CreateOrderPayload {
        customer_id: "CUST-1".into(),
        order_date: "2026-01-30T15:00:00Z".into(),
        items: Vec::new(),
        total_amount: 1.0,
        currency: "USD".into(),
        status: "new".into(),
    }
}
