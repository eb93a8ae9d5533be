//! A peer's transaction that stays open hides what others have written, although they were told that it is there.

use std::time::Duration;

use end_to_end_tests::{World, within};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use crate::dead_letter_cases::in_partition;

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_transaction_is_told_with_what_to_do_and_changes_no_readiness() {
    let world = World::shared().await.with("RUST_LOG", "info");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let [hidden, elsewhere] = [(1, "HIDDEN"), (2, "ELSEWHERE")].map(|(part, id)| in_partition(part, id));
    let peer: BaseProducer = world
        .events()
        .client()
        .set("transactional.id", format!("{}-peer", world.topic()))
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    let patience = Duration::from_secs(60);
    tokio::task::block_in_place(|| {
        peer.init_transactions(patience).unwrap();
        peer.begin_transaction().unwrap();
        let record = BaseRecord::to(world.topic()).partition(1).key("PEER").payload("never committed");
        peer.send(record).map_err(|(error, _)| error).unwrap();
        peer.flush(patience).unwrap();
    });
    let created = cart.create(&hidden, 1).await;
    assert_eq!((created.status.as_u16(), &created.json["kafka"]["partition"]), (201, &Value::from(1)));

    let unstable = r#"order_events_unstable{partition="1"}"#;
    within(patience, "the metric has both records", async || {
        (orders.metric(unstable).await == Some(2.0)).then_some(())
    })
    .await;
    let health = within(Duration::from_secs(120), "it is told", async || {
        let health = orders.get("/health").await;
        (health.json["status"] == "degraded").then_some(health)
    })
    .await;
    assert_eq!(health.status, 200, "{}", health.text);
    let partition = &health.json["partitions"][1];
    assert_eq!((&partition["unstable"], &partition["hangingTransaction"]["offset"]), (&2.into(), &0.into()));
    let age = |since: &Value| {
        let since: jiff::Timestamp = since.as_str().unwrap().parse().unwrap();
        jiff::Timestamp::now().as_second() - since.as_second()
    };
    assert!((30..120).contains(&age(&partition["hangingTransaction"]["since"])), "{}", health.text);
    let obstacle = &health.json["obstacles"][0];
    assert_eq!(obstacle["kind"], "hanging_transaction", "{}", health.text);
    let command = format!(
        "kafka-transactions.sh --bootstrap-server {} find-hanging --topic {} --partition 1",
        world.stack().bootstrap_servers(),
        world.topic()
    );
    assert!(obstacle["reason"].as_str().unwrap().contains(&command), "{}", health.text);
    for (partition, hanging) in [(0, 0.0), (1, 1.0), (2, 0.0)] {
        let metric = format!(r#"order_events_hanging_transaction{{partition="{partition}"}}"#);
        assert_eq!(orders.metric(&metric).await, Some(hanging));
    }
    // One peer takes no instance out.
    assert_eq!(orders.get("/health/ready").await.status, 200);
    cart.create(&elsewhere, 1).await;
    orders.order(&elsewhere, |_| true).await;
    assert_eq!(orders.get(&format!("/order-details?orderId={hidden}")).await.status, 404);

    tokio::task::block_in_place(|| peer.abort_transaction(patience).unwrap());
    orders.order(&hidden, |_| true).await;
    within(patience, "it is over", async || {
        let health = orders.get("/health").await.json;
        (health["status"] == "healthy" && health["obstacles"] == Value::Array(Vec::new())).then_some(())
    })
    .await;
    assert_eq!(orders.metric(unstable).await, Some(0.0));
}
