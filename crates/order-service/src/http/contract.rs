//! The promises of reads, row by row, over a view that no Kafka has filled. The end-to-end tests check the same rows on the
//! whole service.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use end_to_end_tests::contract::{Site, reads};
use order_events::{CreateOrderPayload, OrderItem, Reason, SchemaRegistry};
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;
use serde_json::Value;
use service_runtime::observe::HttpMetrics;
use service_runtime::{WritesHaveKeys, app, server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::state::{AppState, Letters, LettersCell};
use crate::changelog::ChangelogEntry;
use crate::config::Config;
use crate::dead_letters::DeadLetter;
use crate::event::outcome::Rejection;
use crate::event::state::OrderState;
use crate::samples;
use crate::settings::Settings;
use crate::view::status::Status;
use crate::view::store::Store;
use crate::view::{View, ViewCell};

const TOPIC: &str = "events-of-the-contract";
const PARTITIONS: usize = 3;

/// The orders that the contract's writes leave, as far as its reads look at them.
fn orders() -> Vec<(&'static str, CreateOrderPayload)> {
    let sample = |status: &str| CreateOrderPayload { status: status.to_owned(), ..samples::order("c") };
    let item = OrderItem { item_id: "p".to_owned(), quantity: 1, price: 1.3 };
    let whole = CreateOrderPayload {
        items: vec![item],
        total_amount: 1.3,
        currency: "EUR".to_owned(),
        ..sample("new")
    };
    vec![
        ("W-1", whole),
        ("ORD-41", sample("cancelled")),
        ("C-1", sample("delivered")),
        ("A-1", sample("new")),
        ("A-itemsCount", sample("new")),
        ("A-itemsNum", sample("new")),
    ]
}

/// A view of these orders, of which everything is restored and processed.
fn view(status: &Status) -> View {
    let codec = Arc::new(samples::changelog_codec());
    let view = View::new(Store::new(codec.clone(), PARTITIONS), PARTITIONS);
    for (order_id, order) in orders() {
        let mut bytes = Vec::new();
        let state = OrderState { order: Some(order), ..OrderState::default() };
        codec.encode(&ChangelogEntry::OrderState(state), &mut bytes).unwrap();
        let partition = view.store.partition_of(order_id);
        view.store.apply(partition, vec![(order_id.into(), Some(bytes.into()))]);
    }
    status.restoring(PARTITIONS);
    for partition in 0..PARTITIONS {
        view.processed.change(partition, Some(10), |_| {});
        status.change(partition, |status| status.restored = true);
    }
    view
}

/// The letter of an update that nobody's order came for, as it is in the dead letter topic.
fn letter() -> OwnedMessage {
    let record = samples::record(0, &samples::updated("nobody", "shipped"));
    let rejection = Rejection::new(Reason::UnknownOrder, "the order does not exist");
    let letter = DeadLetter::of_record(&record, rejection, 0, samples::WRITTEN_AT);
    let (key, value) = (letter.key.clone(), letter.value.clone());
    let (topic, headers) = ("dead-letters".to_owned(), Some(letter.headers(TOPIC, "group")));
    OwnedMessage::new(value, key, topic, Timestamp::CreateTime(samples::WRITTEN_AT), 0, 0, headers)
}

#[tokio::test]
async fn reads_keep_every_promise_without_kafka() {
    let settings = Settings::parse_from(["order-service", "--order-topic", TOPIC]);
    let config = Config::new(settings, std::iter::empty()).unwrap();
    let (status, cell, letters) = (Status::new(0), ViewCell::default(), LettersCell::default());
    let view = cell.get_or_init(|| view(&status));
    let registry = Arc::new(SchemaRegistry::new(config.settings.registry.clone()).unwrap());
    let events = Arc::new(samples::event_codec());
    let index = letters.get_or_init(|| Letters::new(&config, view, events, registry)).index.clone();
    index.take(&letter());
    index.set_loaded();

    let mut metrics = prometheus_client::registry::Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let stop = CancellationToken::new();
    let state = AppState::new(&config, cell.clone(), letters.clone(), status, metrics, stop.clone());
    let router = super::router(state, Value::Null);
    let app = app::finish(router, http_metrics, &config.settings.service.http, WritesHaveKeys::No);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::local(listener.local_addr().unwrap().port());
    let server = tokio::spawn(server::serve(listener, app, stop.clone(), config.settings.service.patience()));

    let mut broken = Vec::new();
    for row in reads::rows_in_process() {
        broken.extend(row.check(&site).await);
    }
    assert!(broken.is_empty(), "{} promises broken:\n\n{}", broken.len(), broken.join("\n\n"));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), server).await.unwrap().unwrap();
}
