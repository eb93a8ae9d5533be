//! What operators look at.

use end_to_end_tests::{World, eventually};
use serde_json::Value;

#[tokio::test]
async fn metrics_tell_requests_outcomes_lag_and_orders() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    cart.create(" ", 1).await;
    cart.get("/a/path/that/nobody/has").await;
    orders.order("ORDER-1", |_| true).await;

    let expected = [
        (&cart, r#"http_requests_total{method="POST",route="/create-order",status="201"}"#, 1.0),
        (&cart, r#"http_requests_total{method="POST",route="/create-order",status="400"}"#, 1.0),
        (&cart, r#"http_requests_total{method="GET",route="(none)",status="404"}"#, 1.0),
        (
            &cart,
            r#"http_request_duration_seconds_count{method="POST",route="/create-order",status="201"}"#,
            1.0,
        ),
        (&cart, r#"order_events_published_total{event_type="CREATE",outcome="delivered"}"#, 1.0),
        (&cart, "order_event_delivery_seconds_count", 1.0),
        (&orders, r#"order_events_consumed_total{outcome="applied",reason=""}"#, 1.0),
        (&orders, "orders", 1.0),
    ];
    for (service, name, value) in expected {
        assert_eq!(service.metric(name).await, Some(value), "{name}");
    }
    for partition in 0..3 {
        let lag = format!(r#"order_events_lag{{partition="{partition}"}}"#);
        eventually(&format!("{lag} is 0"), async || orders.metric(&lag).await.filter(|lag| *lag == 0.0))
            .await;
    }
    let health = orders.get("/health").await.json;
    let positions = health["partitions"].as_array().unwrap().iter().map(|p| p["position"].as_i64().unwrap());
    assert_eq!(positions.sum::<i64>(), 1, "{health}");

    let answer = cart.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_bytes_that_orders_take_are_told() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let bytes = async || orders.metric("orders_bytes").await.unwrap_or(-1.0);
    assert_eq!(bytes().await, 0.0);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;
    let small = bytes().await;
    assert!((50.0..500.0).contains(&small), "{small}");
    cart.create("ORDER-2", 1000).await;
    orders.order("ORDER-2", |_| true).await;
    // An item has an id of 13 characters, a quantity and a price of 8 bytes.
    let large = bytes().await - small;
    assert!((20_000.0..50_000.0).contains(&large), "{large}");
    // It is what is kept, not what was written.
    cart.update("ORDER-2", "confirmed").await;
    orders.order("ORDER-2", |order| order["status"] == "confirmed").await;
    let updated = bytes().await - small;
    assert!((large..large + 200.0).contains(&updated), "{updated}");
    // The largest order that fits into a request by default, as docs/operations.md has it.
    let before = bytes().await;
    let item = serde_json::json!({ "itemId": "\u{1d11e}".repeat(128), "quantity": 1, "price": 1 });
    let largest = serde_json::json!({ "orderId": "ORDER-3", "customerId": "c", "items": vec![item; 1000] });
    assert_eq!(cart.send("POST", "/orders", &largest).await.status, 201);
    orders.order("ORDER-3", |_| true).await;
    let largest = bytes().await - before;
    assert!((520_000.0..530_000.0).contains(&largest), "{largest}");
}

#[tokio::test]
async fn health_names_the_owner_of_each_partition_on_every_instance() {
    let world = World::shared().await;
    let instance = async |name| world.fork().with("INSTANCE_ID", name).orders().await;
    let services = [("one", instance("one").await), ("two", instance("two").await)];
    eventually("both have a share, and tell the same owners", async || {
        let [one, two] = [services[0].1.get("/health").await.json, services[1].1.get("/health").await.json];
        let healths = [("one", &one), ("two", &two)];
        let is_told = (0..3).all(|partition| {
            let active = |health: &Value| health["partitions"][partition]["active"] == true;
            let owner = healths.iter().find(|(_, health)| active(health)).map(|(name, _)| *name);
            owner.is_some_and(|owner| {
                healths.iter().all(|(_, health)| health["partitions"][partition]["owner"] == owner)
            })
        });
        let each_names_itself = healths.iter().all(|(name, health)| health["instance"] == *name);
        let is_shared = services[0].1.active().await * services[1].1.active().await > 0;
        (is_told && each_names_itself && is_shared).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_healthcheck_subcommand_asks_the_running_service() {
    let world = World::shared().await;
    for (program, service) in [("cart-service", world.cart().await), ("order-service", world.orders().await)]
    {
        let port = service.port().to_string();
        let here = world.fork().with("PORT", &port);
        assert_eq!(here.run_with(program, &["healthcheck"]).await.0, Some(0));
        service.stop().await;
        let (code, said) = here.run_with(program, &["healthcheck"]).await;
        assert_eq!(code, Some(1));
        assert!(said.contains(&format!("127.0.0.1:{port} is not ready")), "{said}");
    }
}
