//! One trial: load, faults, checks.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use end_to_end_tests::checker::{Class, Findings};
use end_to_end_tests::traffic::Rate;
use end_to_end_tests::{Proxy, Sightings, Trial, World, chance};
use futures_util::FutureExt;
use rand::RngExt;

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::network;
use crate::report::Report;

/// How much there is of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rate: Rate,
    pub(crate) seconds: u64,
    pub(crate) faults: usize,
}

/// Behind so many seconds, a trial is long enough for faults that last long.
const LONG: u64 = 60;

/// From so many events a second, batches of 100 would leave no time for anything but transactions.
const FAST: u32 = 1_000;

/// Compaction really runs: with small segments, which are rolled and compacted all the time.
const BROKER_SETTINGS: [(&str, &str); 7] = [
    ("log.segment.bytes", "8388608"),
    ("log.roll.ms", "10000"),
    // What is before it is not recovered after kill -9.
    ("log.flush.offset.checkpoint.interval.ms", "5000"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.cleaner.backoff.ms", "1000"),
    // In bytes a second: three brokers that clean all the time would have the machine for themselves.
    ("log.cleaner.io.max.bytes.per.second", "3000000"),
    // So long, what reads the changelog beside it may be behind.
    ("log.cleaner.min.compaction.lag.ms", "20000"),
];

/// Runs the trial that comes from a seed. One that panics has found something, too.
pub(crate) async fn run(seed: u64, size: Size) -> Report {
    let world = World::of_three_in_groups(network::groups(), &BROKER_SETTINGS).await;
    let (logs, data) = (world.folder().to_owned(), world.stack().data_dir().to_owned());
    let report = AssertUnwindSafe(happen(world, seed, size)).catch_unwind().await.unwrap_or_else(|panic| {
        let mut findings = Findings::default();
        let message = panic.downcast_ref::<String>().map_or("it is told above", String::as_str);
        findings.add(Class::Wrong, format!("the trial ended early: {message}"));
        Report { seed, faults: Vec::new(), events: 0, confirmed: 0, seen: 0, seconds: 0, logs, findings }
    });
    if report.has_passed() {
        // Some hundred megabytes.
        let _ = std::fs::remove_dir_all(data);
    }
    report
}

async fn happen(world: World, seed: u64, size: Size) -> Report {
    let logs = world.folder().to_owned();
    let mut draws = chance(seed, 5);
    let partitions = ["3", "3", "7"][draws.random_range(0..3)];
    // The small one fills up.
    let small = if size.rate.per_second < FAST { "100" } else { "1000" };
    let batch = [small, "20000"][draws.random_range(0..2)];
    let world = world.with("TOPIC_PARTITIONS", partitions).with("BATCH_MAX_EVENTS", batch);
    let gives_up = draws.random_bool(0.25);
    let proxy = Proxy::before(world.stack()).await;
    let world = world.with("KAFKA_BOOTSTRAP_SERVERS", &proxy.addresses());
    // Every letter can be listed.
    let world = world.with("DLQ_LIMIT", "off").with("DLQ_INDEX_MAX", "10000000").with("RUST_LOG", "info");
    println!(
        "cluster: SEED={seed} {partitions} partitions, batches of {batch}, held updates given up: {gives_up}"
    );
    let trial = match gives_up {
        true => Trial::with_strangers(world, seed, size.rate).await,
        false => Trial::of_size(world, seed, size.rate).await,
    };
    let mut cluster = Cluster::begin(trial, proxy).await;
    cluster.trial.follow_changelog();
    let (began, mut faults) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(size.seconds) || faults.len() < size.faults {
        let fault = Fault::draw(&mut draws, size.seconds >= LONG);
        println!("cluster: SEED={seed} {:>3} s {fault:?}", began.elapsed().as_secs());
        cluster.suffer(&fault).await;
        faults.push(format!("{fault:?}"));
        cluster.note_ended().await;
        tokio::time::sleep(Duration::from_millis(draws.random_range(0..2_000))).await;
    }
    let (mut trial, services, sightings, ended) = cluster.end().await;
    let seconds = began.elapsed().as_secs();
    // It waits for instances that are behind.
    let mut findings = trial.find(&services.iter().collect::<Vec<_>>(), &sightings).await;
    for service in services {
        service.ready().await;
    }
    findings.extend(ended);
    let events = tokio::task::block_in_place(|| trial.world.events().read().len());
    let seen: usize = sightings.iter().map(Sightings::count).sum();
    let turns: usize = sightings.iter().map(Sightings::turns).sum();
    let outcomes: usize = sightings.iter().map(Sightings::outcomes).sum();
    for (count, what) in [
        (events, "no event was written"),
        (trial.confirmed(), "no write was confirmed over HTTP"),
        (seen, "no state was looked at"),
        (outcomes, "no outcome was looked at"),
        (turns, "no instance was read after another"),
    ] {
        if count == 0 {
            findings.add(Class::Wrong, what);
        }
    }
    Report { seed, faults, events, confirmed: trial.confirmed(), seen, seconds, logs, findings }
}
