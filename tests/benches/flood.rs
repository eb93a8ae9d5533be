//! Honest clients beside a flood of mistakes: `make test-flood`.
//!
//! 10,000 orders are created while other clients make 100,000 mistakes: updates of orders that do not exist, orders that
//! exist already, one idempotency key for different orders, and requests that are refused at once. Every honest order is
//! applied, nothing stops, and the figures say what the flood costs the honest clients. The broker, the services and the
//! load share this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use end_to_end_tests::{Answer, Service, World, within};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

const HONEST: u32 = 10_000;
const MISTAKES: u32 = 100_000;

/// So many orders are created before the flood, to compare.
const BEFORE: u32 = 2_000;

/// A second.
const HONEST_RATE: u32 = 100;
const MISTAKE_RATE: u32 = 1_000;

/// The connections that make mistakes.
const CONNECTIONS: u32 = 32;

/// An order that exists, and the key with which it was created.
const TAKEN: &str = "TAKEN";
const KEY: &str = "one key";

#[tokio::main]
async fn main() {
    let world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let (cart, orders) = (Arc::new(world.cart().await), Arc::new(world.orders().await));
    assert_eq!(with_key(&cart, 1000).await.status, 201);
    honest(&cart, &orders, "WARM", 200).await;
    tell("without a flood", honest(&cart, &orders, "BEFORE", BEFORE).await);

    let began = Instant::now();
    let flood = tokio::spawn(flood(cart.clone()));
    tell("beside the flood", honest(&cart, &orders, "BESIDE", HONEST).await);
    println!("flood: honest clients were done after {:.0?}", began.elapsed());
    let letters = flood.await.unwrap();
    println!("flood: {MISTAKES} mistakes took {:.0?}, {letters} of them are dead letters", began.elapsed());

    within(Duration::from_secs(300), "each letter is there", async || {
        (orders.get("/dlq/stats").await.json["total_messages"] == letters).then_some(())
    })
    .await;
    let applied = orders.metric(r#"order_events_consumed_total{outcome="applied",reason=""}"#).await;
    assert_eq!(applied, Some(f64::from(1 + 200 + BEFORE + HONEST)));
    assert_eq!(orders.metric("order_dead_letter_limit_reached").await, Some(0.0));
    assert_eq!(orders.get("/health/ready").await.status, 200);
}

/// How long an honest client waits: for the answer, and until its order can be read.
struct Times {
    answered: Duration,
    visible: Duration,
}

/// Creates so many orders at the honest rate, and reads each of them.
async fn honest(cart: &Arc<Service>, orders: &Arc<Service>, name: &'static str, count: u32) -> Vec<Times> {
    let mut tasks = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / HONEST_RATE);
    for number in 0..count {
        ticks.tick().await;
        let (cart, orders) = (cart.clone(), orders.clone());
        tasks.spawn(async move {
            let (id, began) = (format!("{name}-{number}"), Instant::now());
            let created = cart.create(&id, 3).await;
            let answered = began.elapsed();
            assert_eq!(created.status, 201, "{}", created.text);
            let position = created.json["kafka"]["position"].as_str().unwrap();
            let path = format!("/order-details?orderId={id}&position={position}");
            let read = Answer::to(orders.request(Method::GET, &path).header("prefer", "wait=30")).await;
            assert_eq!(read.status, 200, "{}", read.text);
            Times { answered, visible: began.elapsed() }
        });
    }
    tasks.join_all().await
}

/// Makes the mistakes, evenly over time; gives how many of them become dead letters.
async fn flood(cart: Arc<Service>) -> u32 {
    let (began, next) = (tokio::time::Instant::now(), Arc::new(AtomicU32::new(0)));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (cart, next) = (cart.clone(), next.clone());
        connections.spawn(async move {
            let mut letters = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= MISTAKES {
                    return letters;
                }
                sleep_until(began + Duration::from_secs(1) * number / MISTAKE_RATE).await;
                letters += u32::from(mistake(&cart, number).await);
            }
        });
    }
    connections.join_all().await.into_iter().sum()
}

/// Makes one mistake; gives whether it becomes a dead letter.
async fn mistake(cart: &Service, number: u32) -> bool {
    let (answer, expected) = match number % 5 {
        0 => (cart.update(&format!("MADE-UP-{number}"), "confirmed").await, 200),
        1 => (cart.create(TAKEN, 2).await, 201),
        2 => (with_key(cart, 1 + number % 999).await, 201),
        3 => (cart.send("POST", "/create-order", &json!({ "orderId": TAKEN, "itemsCount": -1 })).await, 400),
        _ => (cart.send("PUT", "/update-order", &Value::Null).await, 400),
    };
    assert_eq!(answer.status.as_u16(), expected, "{}", answer.text);
    answer.status.is_success()
}

/// Creates the taken order with its key, and so many items.
async fn with_key(cart: &Service, items: u32) -> Answer {
    let body = json!({ "orderId": TAKEN, "itemsCount": items });
    Answer::to(cart.request(Method::POST, "/create-order").header("idempotency-key", KEY).json(&body)).await
}

fn tell(what: &str, times: Vec<Times>) {
    let count = times.len();
    let (mut answered, mut visible): (Vec<_>, Vec<_>) =
        times.into_iter().map(|times| (times.answered, times.visible)).unzip();
    for (until, times) in [("answered", &mut answered), ("visible", &mut visible)] {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!(
            "flood: {count} orders {what}, {until}: p50 {:.1?}, p99 {:.1?}, max {:.1?}",
            at(50),
            at(99),
            at(100)
        );
    }
}
