//! The changelog lost its end, as an unclean election does it: records that were committed and read are gone, and others
//! get their offsets.

use std::ops::Range;

use end_to_end_tests::checker::Checker;
use end_to_end_tests::segment::batches;
use end_to_end_tests::{Load, Service, World, eventually};
use rustix::process::Signal;

const ALL: u32 = 300;
/// The first of them, whose states stay.
const MOST: u32 = 240;

/// Cuts off partition 0 of the changelog what its last writer wrote.
fn cut(world: &World) {
    world.change_segment(&world.changelog(), |bytes| {
        let batches = batches(bytes);
        let last = batches.last().unwrap().producer;
        let first = batches.iter().find(|batch| batch.producer == last).unwrap().bytes.start;
        bytes.truncate(first);
    });
}

async fn processed(world: &World, orders: Range<u32>, service: Service) -> Service {
    let all = orders.end;
    Load::new(world).await.creates(orders).await;
    service.shows(all).await;
    service
}

async fn reads_anew(service: &Service) {
    eventually("it has noticed", async || service.log().contains("the changelog lost records").then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_was_cut_is_read_anew_by_who_wrote_it_and_who_read_it() {
    let world = World::own().await;
    let owner = processed(&world, 0..MOST, world.orders().await).await;
    // A number that the topic does not have keeps it out of the group.
    let follower = world.fork().with("TOPIC_PARTITIONS", "4").orders_starting().await;
    owner.stop().await;
    let owner = processed(&world, MOST..ALL, world.orders().await).await;
    follower.shows(ALL).await;
    follower.signal(Signal::STOP);
    cut(&world);

    // More than was cut off, and nothing of the orders whose states were.
    Load::new(&world).await.updates(0..MOST).await;
    reads_anew(&owner).await;
    let checker = Checker::new(&world).await;
    checker.check_answers(&[&owner]).await;
    assert!(owner.metric("order_events_processed_again_total").await > Some(0.0));
    // Other records are at the places of those that the follower knows.
    follower.signal(Signal::CONT);
    reads_anew(&follower).await;
    checker.check_answers(&[&owner]).await;
    follower.shows(ALL).await;
    // It is out of the group: its reads are all that it can be asked for.
    for number in 0..ALL {
        let status = if number < MOST { "confirmed" } else { "new" };
        follower.order(&format!("ORD-{number}"), |order| order["status"] == status).await;
    }
}
