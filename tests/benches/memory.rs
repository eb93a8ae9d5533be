//! The memory that large events take: `make test-memory`. It fails when order-service takes more than it may.
//!
//! 25,000 copies of an event of 1.4 MB, 35 GB in all, of which zstd makes some hundred bytes each, come to a service that has
//! been idle. First its transactions fail, then they go through until all copies are processed. At no time it may take more
//! than it took idle, `MAX_BUFFERED_BYTES`, and 100 MB a partition.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

use std::time::{Duration, Instant};

use end_to_end_tests::large::write_copies;
use end_to_end_tests::{Service, World, within};

const COPIES: u32 = 25_000;
const PARTITIONS: u32 = 3;

/// As `MAX_BUFFERED_BYTES` is by default.
const BUFFERED: u64 = 64 << 20;
/// For each partition.
const BESIDE: u64 = 100_000_000;

/// So many transactions fail before others go through.
const FAILURES: f64 = 20.0;

const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::main]
async fn main() {
    let world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORD-1", 1).await;
    orders.order("ORD-1", |_| true).await;
    let idle = orders.peak_memory();
    let may = idle + BUFFERED + BESIDE * u64::from(PARTITIONS);
    tell(&orders, "idle", may);

    let changelog = world.changelog();
    // Markers of transactions and barriers fit, the state of the order does not.
    changelog.configure("max.message.bytes", "1000").await;
    write_copies(&world, usize::try_from(COPIES).unwrap(), usize::try_from(PARTITIONS).unwrap()).await;
    within(PATIENCE, "transactions fail", async || {
        let mut failed = 0.0;
        for result in ["aborted", "unknown"] {
            let metric = format!("order_transactions_total{{result=\"{result}\"}}");
            failed += orders.metric(&metric).await.unwrap_or(0.0);
        }
        (failed >= FAILURES).then_some(())
    })
    .await;
    tell(&orders, "while transactions fail", may);

    let began = Instant::now();
    changelog.configure("max.message.bytes", "4000000").await;
    within(PATIENCE, "all copies are processed", async || {
        let mut processed = 0.0;
        for outcome in ["applied", "duplicate"] {
            let metric = format!("order_events_consumed_total{{outcome=\"{outcome}\",reason=\"\"}}");
            processed += orders.metric(&metric).await.unwrap_or(0.0);
        }
        (processed >= f64::from(1 + COPIES)).then_some(())
    })
    .await;
    println!("memory: all copies were processed {:.0?} later", began.elapsed());
    tell(&orders, "when all copies were processed", may);
}

fn tell(orders: &Service, when: &str, may: u64) {
    let (peak, now) = (orders.peak_memory(), orders.resident_memory());
    println!("memory: at most {} MB, now {} MB, {when}", peak / 1_000_000, now / 1_000_000);
    assert!(peak <= may, "it may take {} MB", may / 1_000_000);
}
