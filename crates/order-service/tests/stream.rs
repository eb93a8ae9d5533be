//! All ids of a large topic are sent as they are read: soon, and in little memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod in_process;

use std::fs;
use std::time::{Duration, Instant};

use order_service::view::View;
use order_service::view::status::Status;
use order_service::view::store::Store;
use service_runtime::server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::in_process::PARTITIONS;

const ORDERS: usize = 1_000_000;

/// What the stream may take, of memory and of time to its first byte.
const MEMORY: u64 = 50 << 20;
const FIRST_BYTE: Duration = Duration::from_millis(200);

fn full_store() -> Store {
    let (store, state) = (in_process::store(), in_process::state(in_process::order()));
    for partition in 0..PARTITIONS {
        let ids = (partition..ORDERS).step_by(PARTITIONS).map(|number| format!("ORD-{number:08}").into());
        store.apply(partition, ids.map(|id| (id, Some(state.clone()))).collect());
    }
    store
}

/// The service on a port of its own.
async fn serve(store: Store) -> u16 {
    let status = Status::new(0);
    let config = in_process::config(&[]);
    let (app, _) = in_process::app(&config, View::new(store, PARTITIONS), &status);
    (0..PARTITIONS).for_each(|partition| status.change(partition, |status| status.restored = true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let patience = config.settings.service.patience();
    tokio::spawn(server::serve(listener, app, CancellationToken::new(), patience));
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
    let port = serve(full_store()).await;
    let seen = ask(port).await;
    assert!(seen.end.contains(r#"],"count":1000000,"nextCursor":null,"#), "{}", seen.end);
    assert_eq!(seen.ids, ORDERS);
    assert!(seen.first_byte < FIRST_BYTE, "{:?}", seen.first_byte);
    assert!(seen.memory < MEMORY, "{} MB", seen.memory >> 20);
}
