//! The changelog lost its end, as an unclean election does it: records that were committed and read are gone, and others
//! get their offsets.

use std::fs;
use std::ops::Range;

use end_to_end_tests::checker::Checker;
use end_to_end_tests::segment::batches;
use end_to_end_tests::{Load, Service, World, eventually};
use rustix::process::Signal;

const ALL: u32 = 300;
/// The first of them, whose states stay.
const MOST: u32 = 240;

/// What an instance says in the end.
const CUT: &str = "was deleted, recreated or cut";

/// Cuts off partition 0 of the changelog what its last writer wrote.
fn cut(world: &World) {
    let changelog = world.changelog();
    world.while_stopped(|| {
        let segment = world.segment(&changelog);
        let mut bytes = fs::read(&segment).unwrap();
        let batches = batches(&bytes);
        let last = batches.last().unwrap().producer;
        let first = batches.iter().find(|batch| batch.producer == last).unwrap().bytes.start;
        bytes.truncate(first);
        for file in fs::read_dir(world.partition_folder(&changelog)).unwrap() {
            let path = file.unwrap().path();
            // The broker makes them anew: indexes, and what it knows of producers.
            let made_anew = ["index", "timeindex", "txnindex", "snapshot"];
            if path.extension().is_some_and(|extension| made_anew.iter().any(|made| extension == *made)) {
                fs::remove_file(path).unwrap();
            }
        }
        fs::write(segment, bytes).unwrap();
    });
}

async fn processed(world: &World, orders: Range<u32>, service: Service) -> Service {
    let all = orders.end;
    Load::new(world).await.creates(orders).await;
    shows(&service, all).await;
    service
}

async fn shows(service: &Service, orders: u32) {
    eventually("the orders are there", async || {
        (service.get("/health").await.json["orders_in_memory"] == orders).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_was_cut_ends_who_wrote_it_and_who_read_it() {
    let world = World::own().await;
    let owner = processed(&world, 0..MOST, world.orders().await).await;
    // A number that the topic does not have keeps it out of the group.
    let follower = world.fork().with("TOPIC_PARTITIONS", "4").orders_starting().await;
    owner.stop().await;
    let owner = processed(&world, MOST..ALL, world.orders().await).await;
    shows(&follower, ALL).await;
    follower.signal(Signal::STOP);
    cut(&world);

    // More than was cut off, and nothing of the orders whose states were.
    Load::new(&world).await.updates(0..MOST).await;
    owner.fails_with(CUT).await;
    // The next one writes other records to the places of those that the follower knows.
    let owner = world.orders().await;
    let checker = Checker::new(&world).await;
    checker.check_answers(&[&owner]).await;
    follower.signal(Signal::CONT);
    follower.fails_with(CUT).await;
    checker.check_answers(&[&owner]).await;
}
