//! The HTTP contract, promise by promise: one row is one request and what its answer must be.

mod everywhere;
mod reads;
mod row;
mod writes;

use end_to_end_tests::World;

#[tokio::test]
async fn every_promise_of_the_contract_is_kept() {
    let world = World::shared().await.with("ORDER_TOPIC", "events-of-the-contract").with("UPDATE_GRACE", "0");
    let orders = world.orders().await;
    let url = format!("http://127.0.0.1:{}", orders.port());
    let world = world.with("ORDER_SERVICE_URL", &url);
    let cart = world.cart().await;
    let mut broken = Vec::new();
    // The writes first and in their order: the reads look at what they made.
    for row in writes::rows().into_iter().chain(reads::rows()).chain(everywhere::rows()) {
        broken.extend(row.check(&cart, &orders).await);
    }
    assert!(broken.is_empty(), "{} promises broken:\n\n{}", broken.len(), broken.join("\n\n"));
}
