//! The floor of speed: `make test-speed`. It fails when order-service is slower, on a machine that has nothing else to do.
//!
//! 300,000 events that wait in the topic are processed at 20,000 a second or more; with 200 creates a second, half of
//! the orders can be read within 50 ms after the answer to their create. Figures to compare versions with come from the
//! benchmark `order_service`. Other floors can be given: `cargo bench ... --bench speed -- 2000 500`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

mod measure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use end_to_end_tests::{Service, World};

use self::measure::{CREATES, UPDATES, backlog_in, processed, visible_after};

/// Events a second.
const EVENTS: u64 = 20_000;
/// The median, in milliseconds.
const MEDIAN: u64 = 50;

/// How many orders are created a second.
const RATE: u64 = 200;
/// The median of so many runs counts.
const RUNS: usize = 3;
/// So many runs go before those of the orders' visibility: until then the broker has not compiled what transactions need.
const WARM_UPS: usize = 3;

#[tokio::main]
async fn main() {
    let given: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let events = given.first().copied().unwrap_or(EVENTS);
    let median = Duration::from_millis(given.get(1).copied().unwrap_or(MEDIAN));

    let rate = events_a_second().await;
    let visible = time_to_visible().await;
    println!("speed: {rate} events/s, at least {events} are wanted");
    println!("speed: visible after {visible:?}, less than {median:?} is wanted (p50)");
    assert!(rate >= events && visible < median, "too slow");
}

/// From when the service listens, before it has a partition, until the newest orders of all partitions can be read.
async fn events_a_second() -> u64 {
    let mut world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let mut rates = Vec::new();
    // The first one warms the broker up.
    for _ in 0..=RUNS {
        world = backlog_in(world).await;
        let service = world.orders_starting().await;
        let began = Instant::now();
        processed(&service, f64::from(CREATES + UPDATES)).await;
        newest_can_be_read(&service).await;
        let rate = u128::from(CREATES + UPDATES) * 1000 / began.elapsed().as_millis();
        println!("speed: {rate} events/s");
        rates.push(u64::try_from(rate).unwrap());
        service.stop().await;
    }
    let [_, counted @ ..] = rates.as_mut_slice() else { unreachable!("there are runs") };
    counted.sort_unstable();
    counted[RUNS / 2]
}

/// The last orders that were created, and the last that were changed.
async fn newest_can_be_read(service: &Service) {
    for (end, status) in [(CREATES, "new"), (UPDATES, "confirmed")] {
        for number in end - 20..end {
            service.order(&format!("ORD-{number}"), |order| order["status"] == status).await;
        }
    }
}

/// From the answer to a create, which comes after Kafka's acknowledgement, until the order can be read.
async fn time_to_visible() -> Duration {
    let world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let (cart, orders) = (Arc::new(world.cart().await), Arc::new(world.orders().await));
    for run in 0..WARM_UPS {
        visible_after(&cart, &orders, &format!("WARM-{run}"), RATE).await;
    }
    let mut medians = Vec::new();
    for run in 0..RUNS {
        let mut times = visible_after(&cart, &orders, &format!("RUN-{run}"), RATE).await;
        times.sort();
        println!("speed: visible after {:?}", times[times.len() / 2]);
        medians.push(times[times.len() / 2]);
    }
    medians.sort();
    medians[RUNS / 2]
}
