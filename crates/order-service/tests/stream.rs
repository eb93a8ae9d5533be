//! All ids of a large topic are sent as they are read: soon, and in little memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{Json, Router};
use clap::Parser;
use order_events::codec::Codec;
use order_events::config::RegistryConfig;
use order_events::{CreateOrderPayload, Registry};
use order_service::changelog::{ChangelogCodec, ChangelogEntry, OrderState};
use order_service::config::{Config, Settings};
use order_service::routes;
use order_service::state::{AppState, View, ViewCell};
use order_service::status::Status;
use order_service::store::Store;
use serde_json::{Value, json};
use service_runtime::observe::HttpMetrics;
use service_runtime::server;
use service_runtime::{WritesHaveKeys, app};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const ORDERS: usize = 1_000_000;
const PARTITIONS: usize = 3;

/// What the stream may take, of memory and of time to its first byte.
const MEMORY: u64 = 50 << 20;
const FIRST_BYTE: Duration = Duration::from_millis(200);

/// A registry that knows every schema as number 7.
async fn registry() -> Arc<Registry> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers =
        Router::new().fallback(|| async { Json(json!({ "id": 7, "compatibilityLevel": "BACKWARD" })) });
    tokio::spawn(async move { axum::serve(listener, answers).await });
    let timeout = Duration::from_secs(5);
    Arc::new(Registry::new(RegistryConfig { url, basic_auth: None, auto_register: true, timeout }).unwrap())
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

async fn full_store() -> Store {
    let codec: Arc<ChangelogCodec> = Arc::new(Codec::register(registry().await, "changelog").await.unwrap());
    let mut state = Vec::new();
    codec.encode(&ChangelogEntry::OrderState(order()), &mut state).unwrap();
    let store = Store::new(codec, PARTITIONS);
    for partition in 0..PARTITIONS {
        let ids = (partition..ORDERS).step_by(PARTITIONS).map(|number| format!("ORD-{number:08}").into());
        store.apply(partition, ids.map(|id| (id, Some(state.clone().into_boxed_slice()))).collect());
    }
    store
}

/// A whole service but for Kafka, on a port of its own.
async fn serve(store: Store) -> u16 {
    let config = Config::new(Settings::parse_from(["order-service"]), std::iter::empty()).unwrap();
    let (view, status) = (ViewCell::default(), Status::new(0));
    let events = Arc::new(Codec::register(registry().await, "events").await.unwrap());
    assert!(view.set(View::new(&config, store, PARTITIONS, events)).is_ok());
    status.restoring(PARTITIONS);
    (0..PARTITIONS).for_each(|partition| status.change(partition, |status| status.restored = true));
    let (mut metrics, stop) = (prometheus_client::registry::Registry::default(), CancellationToken::new());
    let http = HttpMetrics::register(&mut metrics);
    let state = AppState::new(&config, view, status, metrics, stop.clone());
    let app = app::finish(
        routes::router(state, Value::Null),
        http,
        &config.settings.service.http,
        WritesHaveKeys::No,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let patience = config.settings.service.patience();
    tokio::spawn(server::serve(listener, app, stop, patience));
    port
}

fn resident_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// What a client sees of one answer.
struct Seen {
    first_byte: Duration,
    /// Beyond what there was before.
    memory: u64,
    ids: usize,
    end: String,
}

async fn ask(port: u16) -> Seen {
    let before = resident_memory();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let began = Instant::now();
    let request =
        b"GET /getAllOrderIdsFromTopic?topic=order-events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    let mut seen = Seen { first_byte: Duration::ZERO, memory: 0, ids: 0, end: String::new() };
    loop {
        let length = stream.read(&mut buffer).await.unwrap();
        if length == 0 {
            return seen;
        }
        if seen.first_byte.is_zero() {
            seen.first_byte = began.elapsed();
        }
        // Each id has one R, and nothing else has.
        let text = &buffer[..length];
        seen.ids += text.iter().filter(|byte| **byte == b'R').count();
        seen.memory = seen.memory.max(resident_memory().saturating_sub(before));
        seen.end += &String::from_utf8_lossy(text);
        seen.end.drain(..seen.end.len().saturating_sub(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_ids_come_soon_and_in_little_memory() {
    let port = serve(full_store().await).await;
    let seen = ask(port).await;
    assert!(seen.end.contains(r#"],"count":1000000,"nextCursor":null,"#), "{}", seen.end);
    assert_eq!(seen.ids, ORDERS);
    assert!(seen.first_byte < FIRST_BYTE, "{:?}", seen.first_byte);
    assert!(seen.memory < MEMORY, "{} MB", seen.memory >> 20);
}
