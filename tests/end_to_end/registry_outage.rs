//! The registry goes away: events go on with the schemas that are known, and a record whose schema is not
//! known waits for it.

use end_to_end_tests::{World, eventually};
use order_events::OrderEvent;
use order_events::codec::AvroRecord;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_record_waits_for_the_registry_and_is_never_given_up() {
    let world = World::own().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;

    // A peer registers our schema in its own words and so under its own id.
    let mut schema: Value = serde_json::from_str(OrderEvent::SCHEMA).unwrap();
    schema["doc"] = json!("in a peer's words");
    let url = format!("{}/subjects/{}-value/versions", world.stack().registry_url(), world.topic());
    let body = json!({ "schema": schema.to_string() });
    let registered: Value =
        reqwest::Client::new().post(url).json(&body).send().await.unwrap().json().await.unwrap();
    let peers_id = u32::try_from(registered["id"].as_u64().unwrap()).unwrap();

    tokio::task::block_in_place(|| world.stack().registry().stop()).unwrap();
    // Both services go on with what they know.
    assert_eq!(cart.create("ORDER-2", 1).await.status, 201);
    orders.order("ORDER-2", |_| true).await;

    let events = world.events();
    let ours = events.read().into_iter().find(|record| record.key.as_deref() == Some(b"ORDER-2")).unwrap();
    let mut value = ours.value.unwrap();
    assert_ne!(value[1..5], peers_id.to_be_bytes(), "another id");
    value[1..5].copy_from_slice(&peers_id.to_be_bytes());
    let mut renamed = value.clone();
    let at = renamed.windows(7).position(|window| window == b"ORDER-2").unwrap();
    renamed[at + 6] = b'3';
    events.write(Some(b"ORDER-3"), Some(&renamed), &[]).await;

    eventually("it waits and says for what", async || {
        let ready = orders.get("/health/ready").await;
        (ready.status == 503 && ready.text.contains("schema registry")).then_some(())
    })
    .await;
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
    assert!(!orders.get("/metrics").await.text.contains("dead_lettered"), "nothing was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_registry_is_an_outage_for_a_cold_start_only() {
    let world = World::own().await;
    let cart = world.cart().await;
    world.stack().registry().pause().unwrap();
    assert_eq!(cart.create("ORDER-1", 1).await.status, 201);
    let cold = world.cart_starting().await;
    eventually("the cold start tells what it waits for", async || {
        cold.get("/health/ready").await.text.contains("schema registry").then_some(())
    })
    .await;
    assert_eq!(cold.create("ORDER-2", 1).await.status, 503);
    world.stack().registry().resume().unwrap();
    let cold = cold.ready().await;
    assert_eq!(cold.create("ORDER-2", 1).await.status, 201);
}
