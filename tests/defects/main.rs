//! The checker is checked: order-service with a planted defect, under a load and faults, until the checker finds what the
//! defect must lead to. Run by `make test-checker`, which builds the programs and tells where they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

mod faults;
mod members;

use std::path::PathBuf;

use end_to_end_tests::checker::{Class, Findings};
use end_to_end_tests::{Trial, World, seed};

/// So many trials may pass before the defect is found.
const TRIALS: u64 = 5;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by `make test-checker`"))
}

/// One trial, and one line about it.
async fn trial(defect: &str, number: u64, seed: u64) -> Findings {
    let programs = PathBuf::from(variable("DEFECT_PROGRAMS"));
    let world = World::own().await.with_programs(Some(&programs));
    let mut trial = Trial::begin_with(world, seed).await;
    let findings = faults::find(&mut trial).await;
    println!("checker: {defect}, trial {number}, SEED={seed}: {}", findings.counts());
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_finds_the_defect_and_nothing_without_one() {
    let (defect, expected) = (variable("DEFECT"), variable("DEFECT_EXPECTED"));
    let first = seed();
    if expected.is_empty() {
        return trial(&defect, 1, first).await.assert_none();
    }
    let expected = Class::named(&expected).expect("DEFECT_EXPECTED is the name of a class");
    for number in 1..=TRIALS {
        let findings = trial(&defect, number, first.wrapping_add(number - 1)).await;
        if let Some(found) = findings.anomalies().iter().find(|anomaly| anomaly.class == expected) {
            println!("checker: {defect} is found: {}: {}", found.class.name(), found.what);
            return;
        }
    }
    panic!("{defect} was not found in {TRIALS} trials");
}
