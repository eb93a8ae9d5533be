//! A broker that was frozen takes itself for the leader for a while, and answers from a log that is shorter than the
//! leader's. Nothing is deleted, and nothing may end.

use end_to_end_tests::checker::{Checker, Times};
use end_to_end_tests::{Load, Proxy, Service, Stale, World, eventually};

const ORDERS: u32 = 300;

/// `client.id` of the clients of order-service.
const GROUP: &str = "order-service";
const TAIL: &str = "order-service-tail";
/// The one that looks whether a log has what was processed.
const LOOK: &str = "order-service-look";
/// librdkafka's own, which the client has that looks at topics.
const ADMIN: &str = "rdkafka";

/// A world whose services reach the broker through a proxy only.
async fn behind_a_proxy() -> (World, Proxy) {
    let world = World::shared().await;
    let proxy = Proxy::before(world.stack()).await;
    (world.with("KAFKA_BOOTSTRAP_SERVERS", &proxy.addresses()), proxy)
}

/// An instance that has processed the orders.
async fn processed(world: &World) -> Service {
    let service = world.orders().await;
    Load::new(world).await.creates(0..ORDERS).await;
    shows_everything(world, &[&service]).await;
    service
}

/// Waits until the client got so many stale answers, then gives it true ones again.
async fn is_stale_for_a_while(proxy: &Proxy, client: &'static str, stale: Stale) {
    eventually("it was told what is not true", async || {
        (proxy.stale_answers(client, stale) >= 2).then_some(())
    })
    .await;
    proxy.catch_up(client, stale);
}

async fn shows_everything(world: &World, services: &[&Service]) {
    let checker = Checker::new(world).await;
    checker.check_answers(services).await;
    checker.check_topics(Times::Once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_a_stale_leader_does_not_have_is_not_taken_for_deleted() {
    let (world, proxy) = behind_a_proxy().await;
    // Each gets some partitions of three, and follows the others.
    let (one, two) = (processed(&world).await, world.orders().await);
    proxy.go_stale(TAIL, Stale::Fetch);
    Load::new(&world).await.updates(0..ORDERS).await;
    is_stale_for_a_while(&proxy, TAIL, Stale::Fetch).await;
    shows_everything(&world, &[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_restores_its_orders_past_a_stale_leader() {
    let (world, proxy) = behind_a_proxy().await;
    processed(&world).await.stop().await;
    proxy.go_stale(TAIL, Stale::Fetch);
    let service = world.orders_starting().await;
    is_stale_for_a_while(&proxy, TAIL, Stale::Fetch).await;
    shows_everything(&world, &[&service]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_stale_leader_does_not_have_are_not_taken_for_deleted() {
    for (client, stale) in [(LOOK, Stale::End), (GROUP, Stale::Fetch)] {
        let (world, proxy) = behind_a_proxy().await;
        processed(&world).await.stop().await;
        proxy.go_stale(client, stale);
        let service = world.orders_starting().await;
        is_stale_for_a_while(&proxy, client, stale).await;
        Load::new(&world).await.updates(0..ORDERS).await;
        shows_everything(&world, &[&service]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_leader_is_told_in_health_while_it_is_asked_again() {
    let (world, proxy) = behind_a_proxy().await;
    processed(&world).await.stop().await;
    proxy.go_stale(LOOK, Stale::End);
    let service = world.orders_starting().await;
    eventually("it says what it doubts", async || {
        let text = service.get("/health/ready").await.text;
        (text.contains("do not have the events") && text.contains("asked again")).then_some(())
    })
    .await;
    proxy.catch_up(LOOK, Stale::End);
    shows_everything(&world, &[&service.ready().await]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_know_a_topics_configuration_yet_ends_nothing() {
    let (world, proxy) = behind_a_proxy().await;
    processed(&world).await.stop().await;
    proxy.go_stale(ADMIN, Stale::Policy);
    let service = world.orders_starting().await;
    is_stale_for_a_while(&proxy, ADMIN, Stale::Policy).await;
    shows_everything(&world, &[&service.ready().await]).await;
}
