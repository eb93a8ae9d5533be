//! What waits in memory is bounded in bytes.

use end_to_end_tests::large::write_copies;
use end_to_end_tests::{World, eventually};

use crate::permissions::deny;

/// Of 1.4 MB each: 1.4 GB. `BATCH_MAX_EVENTS` is twenty times as many.
const COPIES: usize = 1_000;
const PARTITIONS: usize = 3;

/// As `MAX_BUFFERED_BYTES` is by default.
const BUFFERED: u64 = 64 << 20;
/// What librdkafka and the work on a batch take, for each partition.
const BESIDE: u64 = 100_000_000;

/// So many transactions fail before the service has taken all that it takes.
const FAILURES: f64 = 4.0;

#[tokio::test(flavor = "multi_thread")]
async fn large_events_that_wait_take_no_more_memory_than_they_may() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    for number in 0..10 {
        let order_id = format!("ORD-{number}");
        cart.create(&order_id, 1).await;
        orders.order(&order_id, |_| true).await;
    }
    let empty = orders.peak_memory();
    deny(&world, world.changelog().name(), "WRITE");
    write_copies(&world, COPIES, PARTITIONS).await;
    let failed = async || {
        let mut sum = 0.0;
        for result in ["aborted", "unknown"] {
            let metric = format!("order_transactions_total{{result=\"{result}\"}}");
            sum += orders.metric(&metric).await.unwrap_or(0.0);
        }
        sum
    };
    let before = failed().await;
    let may = BUFFERED + BESIDE * u64::try_from(PARTITIONS).unwrap();
    let taken = || {
        let taken = orders.peak_memory() - empty;
        assert!(taken <= may, "{} MB are taken, {} MB may be", taken / 1_000_000, may / 1_000_000);
        taken
    };
    eventually("transactions fail", async || {
        taken();
        (failed().await >= before + FAILURES).then_some(())
    })
    .await;
}
