//! Kafka's ACLs: what is not needed is not asked for, and what is missing is told in one line.

use end_to_end_tests::{ACLS, World, eventually, python};
use tokio::task::block_in_place;

/// Takes a permission from everybody; `deny.py` says how a resource is written.
pub(crate) fn deny(world: &World, resource: &str, operation: &str) {
    let servers = world.stack().bootstrap_servers();
    block_in_place(|| python::run("deny.py", &[&servers, resource, operation], ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_told_unless_it_is_not_needed() {
    let world = World::own_with(&ACLS).await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    assert_eq!(cart.create("ORDER-1", 1).await.status, 201);
    orders.order("ORDER-1", |_| true).await;
    cart.stop().await;
    orders.stop().await;

    let group = format!("{}-2", world.group());
    deny(&world, &format!("group:{group}"), "READ");
    let (code, said) = world.fork().with("CONSUMER_GROUP_ID", &group).run_to_end("order-service").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("Kafka does not let this service join the consumer group {group}")),
        "{said}"
    );

    // Who makes a topic for the services need not let them.
    deny(&world, "cluster", "CREATE");
    deny(&world, "*", "CREATE");
    let (cart, orders) = (world.cart().await, world.orders().await);
    assert_eq!(cart.create("ORDER-2", 1).await.status, 201);
    orders.order("ORDER-2", |_| true).await;
    let (code, said) = world.anew().run_to_end("cart-service").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Kafka does not let this service create the topic order-events-"), "{said}");

    // One that is taken while the service runs ends it.
    deny(&world, world.topic(), "READ");
    let (code, said) = orders.end().await;
    assert_eq!(code, Some(1), "{said}");
    let line = format!("Kafka does not let this service read the topic {}", world.topic());
    assert!(said.contains(&line), "{said}");

    deny(&world, world.topic(), "WRITE");
    eventually("the event is refused", async || {
        (cart.create("ORDER-3", 1).await.status == 503).then_some(())
    })
    .await;
}
