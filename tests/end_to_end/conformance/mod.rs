//! The HTTP contract, promise by promise: one row is one request and what its answer must be.

mod everywhere;
mod writes;

use end_to_end_tests::World;
use end_to_end_tests::contract::{Site, To, reads};

#[tokio::test]
async fn every_promise_of_the_contract_is_kept() {
    let world = World::shared().await.with("ORDER_TOPIC", "events-of-the-contract").with("UPDATE_GRACE", "0");
    let orders = world.orders().await;
    let url = format!("http://127.0.0.1:{}", orders.port());
    let world = world.with("ORDER_SERVICE_URL", &url);
    let cart = world.cart().await;
    let (to_cart, to_orders) = (Site::local(cart.port()), Site::local(orders.port()));
    let mut broken = Vec::new();
    // The writes first and in their order: the reads look at what they made.
    for row in writes::rows().into_iter().chain(reads::rows()).chain(everywhere::rows()) {
        let site = if row.to() == To::Cart { &to_cart } else { &to_orders };
        broken.extend(row.check(site).await);
    }
    assert!(broken.is_empty(), "{} promises broken:\n\n{}", broken.len(), broken.join("\n\n"));
}
