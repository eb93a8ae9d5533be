//! A registry of several nodes: one of them may not know yet what was registered at another.

use end_to_end_tests::{World, eventually};

const NEVER_REGISTERED: std::ops::Range<u32> = 2_000_000_000..2_000_000_025;

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_known_yet_is_asked_for_again() {
    // On a registry of its own, the next id is known.
    let world = World::own().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;
    let next_id = world.register_in_other_words("one").await + 1;

    let mut value = world.events().read().remove(0).value.unwrap();
    value[1..5].copy_from_slice(&next_id.to_be_bytes());
    let at = value.windows(7).position(|window| window == b"ORDER-1").unwrap();
    value[at + 6] = b'2';
    world.events().write(Some(b"ORDER-2"), Some(&value), &[]).await;
    eventually("the registry was asked", async || {
        orders.log().contains(&format!("schema_id={next_id}")).then_some(())
    })
    .await;
    assert_eq!(world.register_in_other_words("two").await, next_id);
    orders.order("ORDER-2", |_| true).await;
    assert!(world.dead_letters().read().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_many_unknown_schemas_hold_others_up_once() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;
    let mut value = world.events().read().remove(0).value.unwrap();
    // So many that asking for one after the other would take longer than a test waits.
    for id in NEVER_REGISTERED {
        value[1..5].copy_from_slice(&id.to_be_bytes());
        world.events().write(Some(b"ORDER-1"), Some(&value), &[]).await;
    }
    assert_eq!(cart.update("ORDER-1", "confirmed").await.status, 200);
    orders.order("ORDER-1", |order| order["status"] == "confirmed").await;
    let letters = world.dead_letters().read();
    assert_eq!(letters.len(), NEVER_REGISTERED.count());
    let reasons = letters.iter().map(|letter| letter.header("dlq-reason").unwrap());
    assert!(reasons.into_iter().all(|reason| reason == "unknown_schema"));
}
