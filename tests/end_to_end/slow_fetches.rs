//! A consumer gets no records for a while, although the log has some: the leader moves, or a quota slows it down.

use end_to_end_tests::{Proxy, Stale, World, eventually};

/// `client.id` of the consumer of the events.
const GROUP: &str = "order-service";

/// So many answers without records take librdkafka, which waits half a second before it asks again, much longer than
/// `UPDATE_GRACE`.
const ANSWERS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn an_update_waits_for_a_create_that_is_in_the_log_however_long_it_takes_to_fetch() {
    let world = World::shared().await.with("TOPIC_PARTITIONS", "1").with("UPDATE_GRACE", "2s");
    let proxy = Proxy::before(world.stack()).await;
    let world = world.with("KAFKA_BOOTSTRAP_SERVERS", &proxy.addresses());
    let (cart, orders) = (world.cart().await, world.orders().await);
    let update = cart.update("LATE", "confirmed").await;
    let position = update.json["kafka"]["position"].as_str().unwrap().replace(':', "/");
    let event = format!("/events/{}/{position}", world.topic());
    eventually("it is held", async || (orders.get(&event).await.json["outcome"] == "held").then_some(()))
        .await;
    proxy.go_stale(GROUP, Stale::Leader);
    cart.create("LATE", 1).await;
    eventually("no records come for seconds", async || {
        (proxy.stale_answers(GROUP, Stale::Leader) >= ANSWERS).then_some(())
    })
    .await;
    proxy.catch_up(GROUP, Stale::Leader);
    orders.order("LATE", |order| order["status"] == "confirmed").await;
    assert_eq!(orders.get(&event).await.json["outcome"], "applied");
}
