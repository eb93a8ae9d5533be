//! Three brokers and three instances of order-service under faults: `make test-cluster`, `make test-network`.
//!
//! A trial comes from a seed: a load, faults of brokers and instances one after the other, and then the checker. Each
//! trial adds a line of JSON to `target/cluster/trials.jsonl`: seed, commit, faults, how much was done, and what was found. A
//! suite of several that was stopped goes on behind the trials that this commit has passed.
//!
//! | variable | |
//! |---|---|
//! | `TRIALS` | how many trials, 1 if it is not set |
//! | `SEED` | that of the first; the next ones have the next seeds |
//! | `CLUSTER_SECONDS` | how long the faults last at least |
//! | `CLUSTER_FAULTS` | how many there are at least |
//! | `CLUSTER_EVENTS` | events a second, straight into the topic |
//! | `CLUSTER_CLIENTS` | clients of cart-service, each with some 30 requests a second |
//! | `CLUSTER_NETWORK` | if it is set, packets between brokers are lost, too; Linux, as root ([`network`]) |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

mod cluster;
mod fault;
mod network;
mod report;
mod trial;

use std::process::ExitCode;

use end_to_end_tests::seed;
use end_to_end_tests::traffic::Rate;

use self::report::Reports;
use self::trial::Size;

/// The value of a variable, or a small one for every day.
fn given<T: std::str::FromStr>(variable: &str, usual: T) -> T {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |value| value.parse().unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(missing) = network::enter().await {
        println!("cluster: {missing}");
        return ExitCode::FAILURE;
    }
    let rate = Rate { per_second: given("CLUSTER_EVENTS", 300), shops: given("CLUSTER_CLIENTS", 2) };
    let size = Size { rate, seconds: given("CLUSTER_SECONDS", 40), faults: given("CLUSTER_FAULTS", 6) };
    let (trials, first) = (given("TRIALS", 1_u64), seed());
    let network = if network::groups().is_some() { ", network" } else { "" };
    let profile = if cfg!(debug_assertions) { ", debug" } else { "" };
    let reports = Reports::open(&format!("{size:?}{network}{profile}"));
    let mut failed = Vec::new();
    for seed in (0..trials).map(|number| first.wrapping_add(number)) {
        if trials > 1 && reports.has_passed(seed) {
            println!("cluster: SEED={seed} has passed before, at this commit");
            continue;
        }
        let report = trial::run(seed, size).await;
        reports.add(&report);
        println!("cluster: {}", report.summary());
        if !report.has_passed() {
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "something was found with these seeds: {failed:?}; see {}",
        reports.path().display()
    );
    ExitCode::SUCCESS
}
