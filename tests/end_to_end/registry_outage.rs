//! The registry goes away: events go on with the schemas that are known, and a record whose schema is not
//! known waits for it.

use end_to_end_tests::{Record, Service, World, eventually};

/// Writes the event of an order once more, for another order, with a peer's schema id.
async fn write_as_peer(world: &World, order_id: &str, other: &str, schema_id: u32) {
    let events = world.events();
    let is_ours = |record: &Record| record.key.as_deref() == Some(order_id.as_bytes());
    let mut value = events.read().into_iter().find(is_ours).unwrap().value.unwrap();
    assert_ne!(value[1..5], schema_id.to_be_bytes(), "another id");
    value[1..5].copy_from_slice(&schema_id.to_be_bytes());
    let at = value.windows(order_id.len()).position(|window| window == order_id.as_bytes()).unwrap();
    value[at..at + other.len()].copy_from_slice(other.as_bytes());
    events.write(Some(other.as_bytes()), Some(&value), &[]).await;
}

async fn waits_for_the_registry(orders: &Service) {
    eventually("it waits and says for what", async || {
        let ready = orders.get("/health/ready").await;
        (ready.status == 503 && ready.text.contains("schema registry")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_record_waits_for_the_registry_and_is_never_given_up() {
    let world = World::own().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;

    let peers_id = world.register_in_other_words("in a peer's words").await;
    tokio::task::block_in_place(|| world.stack().registry().stop()).unwrap();
    // Both services go on with what they know.
    assert_eq!(cart.create("ORDER-2", 1).await.status, 201);
    orders.order("ORDER-2", |_| true).await;

    write_as_peer(&world, "ORDER-2", "ORDER-3", peers_id).await;
    waits_for_the_registry(&orders).await;
    let obstacle = async || orders.get("/health").await.json["obstacles"][0].clone();
    let told = obstacle().await;
    assert_eq!(told["kind"], "registry", "{told}");
    assert!(told["reason"].as_str().unwrap().contains("schema registry"), "{told}");
    assert!(told["remedy"].as_str().unwrap().contains("SCHEMA_REGISTRY_URL"), "{told}");
    assert!(told["since"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{told}");
    eventually("it has asked in vain once more", async || {
        (orders.log().matches("waiting for the schema registry").count() > 1).then_some(())
    })
    .await;
    assert_eq!(obstacle().await["since"], told["since"], "since the first time");
    assert_eq!(orders.get("/health/live").await.status, 200);
    assert_eq!(orders.get("/order-details?orderId=ORDER-2").await.status, 200);

    tokio::task::block_in_place(|| world.stack().registry().start()).unwrap();
    orders.order("ORDER-3", |_| true).await;
    let orders = orders.ready().await;
    assert!(world.dead_letters().read().is_empty(), "nothing was given up");
    assert_eq!(orders.get("/dlq/stats").await.json["total_messages"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_registry_is_an_outage_for_cold_starts_and_unknown_schemas_only() {
    let world = World::own().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let peers_id = world.register_in_other_words("in a peer's words").await;
    world.stack().registry().pause().unwrap();
    assert_eq!(cart.create("ORDER-1", 1).await.status, 201);
    orders.order("ORDER-1", |_| true).await;
    let (cold_cart, cold_orders) = (world.cart_starting().await, world.orders_starting().await);
    write_as_peer(&world, "ORDER-1", "ORDER-2", peers_id).await;
    for service in [&orders, &cold_cart, &cold_orders] {
        waits_for_the_registry(service).await;
    }
    assert_eq!(cold_cart.create("ORDER-3", 1).await.status, 503);
    assert_eq!(orders.get("/order-details?orderId=ORDER-1").await.status, 200);
    assert_eq!(orders.get("/health/live").await.status, 200);
    world.stack().registry().resume().unwrap();
    let cold_cart = cold_cart.ready().await;
    assert_eq!(cold_cart.create("ORDER-3", 1).await.status, 201);
    for service in [orders.ready().await, cold_orders.ready().await] {
        service.order("ORDER-2", |_| true).await;
        service.order("ORDER-3", |_| true).await;
    }
    assert!(world.dead_letters().read().is_empty(), "nothing was given up");
}
