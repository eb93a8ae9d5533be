//! Which changes of status orders make, with `STATUS_TRANSITIONS=strict` and with `warn`.

use end_to_end_tests::{Answer, Service, World};
use reqwest::Method;
use serde_json::json;

const FORWARD: [&str; 6] = ["new", "pending", "confirmed", "processing", "shipped", "delivered"];

/// The rule of the design, written once more.
fn is_usual(from: &str, to: &str) -> bool {
    let step = |status| FORWARD.iter().position(|step| *step == status);
    match (step(from), step(to)) {
        (Some(from), Some(to)) => from <= to,
        // Cancelled from anything before shipped; nothing leads out of it.
        (Some(from), None) => from < 4,
        (None, to) => to.is_none(),
    }
}

async fn change(cart: &Service, order_id: &str, status: &str) -> Answer {
    let request = cart.request(Method::PATCH, &format!("/orders/{order_id}")).header("prefer", "wait=30");
    Answer::to(request.json(&json!({ "status": status }))).await
}

/// An order of this status.
async fn order(cart: &Service, status: &str, order_id: &str) {
    assert_eq!(cart.create(order_id, 1).await.status, 201);
    if status != "new" {
        assert_eq!(change(cart, order_id, status).await.status, 200, "{order_id}");
    }
}

/// Makes every change there is, each on an order of its own; returns how many are unusual.
async fn every_change(cart: &Service, unusual: u16) -> usize {
    let mut count = 0;
    for from in FORWARD.into_iter().chain(["cancelled"]) {
        for to in FORWARD[1..].iter().chain(&["cancelled"]) {
            let order_id = format!("{from}-{to}");
            order(cart, from, &order_id).await;
            let answer = change(cart, &order_id, to).await;
            let expected = if is_usual(from, to) { 200 } else { unusual };
            assert_eq!(answer.status, expected, "{order_id}: {}", answer.text);
            count += usize::from(!is_usual(from, to));
        }
    }
    count
}

async fn services(transitions: &str) -> (Service, Service) {
    let world = World::shared().await.with("STATUS_TRANSITIONS", transitions);
    let orders = world.orders().await;
    let url = format!("http://127.0.0.1:{}", orders.port());
    (world.with("ORDER_SERVICE_URL", &url).cart().await, orders)
}

#[tokio::test]
async fn unusual_changes_are_refused_when_strict() {
    let (cart, orders) = services("strict").await;
    every_change(&cart, 409).await;
    let kept = orders.order("shipped-pending", |_| true).await;
    assert_eq!(kept["status"], "shipped");
}

#[tokio::test]
async fn unusual_changes_are_made_and_counted_when_not() {
    let (cart, orders) = services("warn").await;
    let unusual = every_change(&cart, 200).await;
    let counted = orders.metric("order_unusual_transitions_total").await;
    assert_eq!(counted, Some(f64::from(u32::try_from(unusual).unwrap())));
    let changed = orders.order("shipped-pending", |_| true).await;
    assert_eq!(changed["status"], "pending");
}
