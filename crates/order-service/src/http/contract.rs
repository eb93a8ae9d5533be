//! The promises of reads, row by row, over a view that no Kafka has filled. The end-to-end tests check the same rows on the
//! whole service.

use std::time::Duration;

use end_to_end_tests::contract::{Site, reads};
use order_events::{CreateOrderPayload, OrderItem, Reason};
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;
use service_runtime::server;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::in_process::{self, PARTITIONS};
use crate::dead_letters::DeadLetter;
use crate::event::outcome::Rejection;
use crate::samples;
use crate::view::View;
use crate::view::status::Status;

const TOPIC: &str = "events-of-the-contract";

/// The orders that the contract's writes leave, as far as its reads look at them.
fn orders() -> Vec<(&'static str, CreateOrderPayload)> {
    let sample = |status: &str| CreateOrderPayload { status: status.to_owned(), ..in_process::order() };
    let whole = CreateOrderPayload {
        customer_id: "c".to_owned(),
        items: vec![OrderItem { item_id: "p".to_owned(), quantity: 1, price: 1.3 }],
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

/// A view of these orders, of which everything is processed.
fn view() -> View {
    let store = in_process::store();
    for (order_id, order) in orders() {
        store.apply(store.partition_of(order_id), vec![(order_id.into(), Some(in_process::state(order)))]);
    }
    let view = View::new(store, PARTITIONS);
    (0..PARTITIONS).for_each(|partition| view.processed.change(partition, Some(10), |_| {}));
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
    let (config, status) = (in_process::config(&["--order-topic", TOPIC]), Status::new(0));
    let (app, letters) = in_process::app(&config, view(), &status);
    (0..PARTITIONS).for_each(|partition| status.change(partition, |status| status.restored = true));
    letters.index.take(&letter());
    letters.index.set_loaded();

    let stop = CancellationToken::new();
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
