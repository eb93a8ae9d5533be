//! How fast order-service is: `cargo bench -p end-to-end-tests --bench order_service -- [backlog|latency|restart|takeover|letters]`.
//!
//! Everything runs on this machine: the broker, the service, and the load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

mod measure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use end_to_end_tests::{Answer, Load, Service, World, eventually};
use reqwest::Method;

use self::measure::{CREATES, UPDATES, backlog_in, processed, visible_after};

#[tokio::main]
async fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if runs("backlog") {
        backlog().await;
    }
    if runs("latency") {
        latency().await;
    }
    if runs("restart") {
        restart().await;
    }
    if runs("takeover") {
        takeover().await;
    }
    if runs("letters") {
        letters().await;
    }
}

/// 300,000 events wait for a service that has never run. The broker is warm: the first of six runs does not
/// count.
async fn backlog() {
    let mut world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let mut rates = Vec::new();
    for run in 0..6 {
        world = backlog_in(world).await;
        let began = Instant::now();
        let service = world.orders_starting().await;
        let events = f64::from(CREATES + UPDATES);
        let took = processed(&service, events).await;
        let rate = events / took.as_secs_f64();
        println!(
            "backlog: {rate:.0} events/s from the first to the last, {:.2} s from the start of the process, {:.1} us of \
             CPU an event, RSS {} MB",
            began.elapsed().as_secs_f64(),
            service.cpu_time().as_secs_f64() * 1e6 / events,
            service.resident_memory() / 1_000_000,
        );
        if run > 0 {
            rates.push(rate);
        }
        service.stop().await;
    }
    rates.sort_by(f64::total_cmp);
    println!("backlog: median {:.0} events/s", rates[rates.len() / 2]);
}

/// From the answer to a create until the order can be read. The first round only warms the broker up.
async fn latency() {
    let world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let (cart, orders) = (Arc::new(world.cart().await), Arc::new(world.orders().await));
    visible_after(&cart, &orders, "W", 200).await;
    for rate in [20, 100] {
        for run in 0..5 {
            let mut times = visible_after(&cart, &orders, &format!("L-{run}"), rate).await;
            times.sort();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100];
            println!("latency at {rate}/s: p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
        }
    }
}

/// The resident memory once the allocator has given back what restoring took.
async fn settled_memory(service: &Service) -> u64 {
    let mut last = service.resident_memory();
    loop {
        tokio::time::sleep(Duration::from_secs(12)).await;
        let now = service.resident_memory();
        if now + last / 100 >= last {
            return now;
        }
        last = now;
    }
}

/// A service with 200,000 orders is killed and started again.
async fn restart() {
    let world =
        backlog_in(World::own_with(&[]).await.with("RUST_LOG", "info").with("INSTANCE_ID", "one")).await;
    let service = world.orders_starting().await;
    processed(&service, f64::from(CREATES + UPDATES)).await;
    println!("restart: RSS after processing {} MB", service.resident_memory() / 1_000_000);
    service.kill().await;
    for _ in 0..5 {
        let began = Instant::now();
        let service = world.orders_starting().await;
        let ready = eventually("ready", async || {
            (service.get("/health/ready").await.status == 200).then(|| began.elapsed())
        })
        .await;
        let active = eventually("active", async || {
            let partitions = service.get("/health").await.json["partitions"].clone();
            partitions
                .as_array()?
                .iter()
                .all(|partition| partition["active"] == true)
                .then(|| began.elapsed())
        })
        .await;
        let memory = settled_memory(&service).await;
        let log = service.log();
        let restored = log.lines().find(|line| line.contains("restored orders=")).unwrap_or_default();
        println!(
            "restart: ready after {ready:?}, processing after {active:?}, RSS {} MB = {} B an order; {}",
            memory / 1_000_000,
            memory / u64::from(CREATES),
            restored.split("restored ").nth(1).unwrap_or_default(),
        );
        service.kill().await;
    }
}

/// One of two instances without names ends; until the other one shows events of all partitions that came after.
async fn takeover() {
    let world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let cart = world.cart().await;
    for run in 0..10 {
        let (first, second) = (world.orders().await, world.orders().await);
        for service in [&first, &second] {
            eventually("both have a share", async || (service.active().await > 0).then_some(())).await;
        }
        let began = Instant::now();
        let end = if run < 5 { "kill -9" } else { "SIGTERM" };
        match end {
            "kill -9" => first.kill().await,
            _ => first.stop().await,
        }
        // Of every partition.
        for number in 0..20 {
            let created = cart.create(&format!("T-{run}-{number}"), 1).await;
            let position = created.json["kafka"]["position"].as_str().expect("it was created").to_owned();
            let path = format!("/order-details?orderId=T-{run}-{number}&position={position}");
            let read = Answer::to(second.request(Method::GET, &path).header("prefer", "wait=30")).await;
            assert_eq!(read.status, 200, "{}", read.text);
        }
        println!("takeover after {end}: {:?}", began.elapsed());
        second.stop().await;
    }
}

/// 100,000 updates of orders that do not exist: how long a page of the dead letters takes, and what they weigh.
async fn letters() {
    const LETTERS: u32 = 100_000;
    let world = World::own_with(&[])
        .await
        .with("RUST_LOG", "info,order_service::pipeline=error")
        .with("UPDATE_GRACE", "0s")
        .with("DLQ_LIMIT", "off");
    world.cart().await.stop().await;
    let orders = world.orders().await;
    let empty = orders.resident_memory();
    orders.stop().await;
    Load::new(&world).await.updates(0..LETTERS).await;
    let orders = world.orders_starting().await;
    eventually("all are dead letters", async || {
        (orders.get("/dlq/stats").await.json["total_messages"] == LETTERS).then_some(())
    })
    .await;
    for query in ["limit=10", "limit=10&offset=50000", "orderId=ORD-7", "category=NO_RETRY_DLQ&limit=100"] {
        let mut times = Vec::new();
        for _ in 0..500 {
            let began = Instant::now();
            assert_eq!(orders.get(&format!("/dlq/messages?{query}")).await.status, 200);
            times.push(began.elapsed());
        }
        times.sort();
        println!("letters: {query}: p50 {:?}, p99 {:?}", times[250], times[495]);
    }
    orders.stop().await;
    let orders = world.orders().await;
    let loaded = async || (orders.get("/dlq/stats").await.json["total_messages"] == LETTERS).then_some(());
    eventually("it knows them again", loaded).await;
    let more = settled_memory(&orders).await.saturating_sub(empty);
    println!("letters: {} B of memory each", more / u64::from(LETTERS));
}
