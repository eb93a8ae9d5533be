//! A registry of several nodes: one of them may not know yet what was registered at another.

use end_to_end_tests::{World, eventually};
use order_events::OrderEvent;
use order_events::codec::AvroRecord;
use serde_json::{Value, json};

/// Registers our schema in other words, and so under another id.
async fn register(world: &World, doc: &str) -> u32 {
    let mut schema: Value = serde_json::from_str(OrderEvent::SCHEMA).unwrap();
    schema["doc"] = json!(doc);
    let url = format!("{}/subjects/{}-value/versions", world.stack().registry_url(), world.topic());
    let body = json!({ "schema": schema.to_string() });
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    u32::try_from(answer.json::<Value>().await.unwrap()["id"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_known_yet_is_asked_for_again() {
    // On a registry of its own, the next id is known.
    let world = World::own().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;
    let next_id = register(&world, "one").await + 1;

    let mut value = world.events().read().remove(0).value.unwrap();
    value[1..5].copy_from_slice(&next_id.to_be_bytes());
    let at = value.windows(7).position(|window| window == b"ORDER-1").unwrap();
    value[at + 6] = b'2';
    world.events().write(Some(b"ORDER-2"), Some(&value), &[]).await;
    eventually("the registry was asked", async || {
        orders.log().contains(&format!("schema_id={next_id}")).then_some(())
    })
    .await;
    assert_eq!(register(&world, "two").await, next_id);
    orders.order("ORDER-2", |_| true).await;
    assert!(world.dead_letters().read().is_empty());
}
