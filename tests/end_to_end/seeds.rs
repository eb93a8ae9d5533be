//! The requests of the five programs that this one grew from, word for word, and the answers that their users
//! look at.

use end_to_end_tests::{Shell, World, eventually, jq};
use serde_json::{Value, json};

/// Runs a command until its answer is as expected: the services agree a moment later.
async fn until(shell: &Shell, command: &str, expected: &[(&str, Value)]) -> Value {
    eventually(&format!("{command} gives {expected:?}"), async || {
        let answer = shell.run(command).await;
        expected.iter().all(|(path, value)| jq(&answer, path) == value).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn seed_000() {
    let world = World::shared().await.with("ORDER_TOPIC", "order_events");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let shell = Shell::new(&[(5000, &cart), (5001, &orders)]);

    let body = r#"{ "orderId": "ord-1", "itemsNum": 2 }"#;
    let created = shell
        .run(&format!(
            "curl -X POST http://localhost:5000/create-order -H 'Content-Type: application/json' -d '{body}'"
        ))
        .await;
    assert_eq!(jq(&created, ".orderId"), "ord-1");
    assert_eq!(jq(&created, ".order.items").as_array().unwrap().len(), 2);

    // Its example update asks for the status that is reserved here: 400, as seed 002 says.
    let body = r#"{ "orderId": "ord-1", "status": "new" }"#;
    let update = "curl -X PUT http://localhost:5000/update-order -H 'Content-Type: application/json' -d";
    assert_eq!(jq(&shell.run(&format!("{update} '{body}'")).await, ".status"), 400);
    shell.run(&format!("{update} '{}'", body.replace("new", "shipped"))).await;

    // Its example reads ord1, which nobody created.
    let missing = shell.run("curl http://localhost:5001/order-details?orderId=ord1").await;
    assert_eq!(jq(&missing, ".status"), 404);
    until(&shell, "curl http://localhost:5001/order-details?orderId=ord-1", &[(".status", json!("shipped"))])
        .await;
    let ids = shell.run("curl http://localhost:5001/getAllOrderIdsFromTopic?topic=order_events").await;
    assert_eq!(jq(&ids, ".orderIds"), &json!(["ord-1"]));
}

#[tokio::test]
async fn seeds_001_and_003() {
    let world = World::shared().await.with("ORDER_TOPIC", "orders.events");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let shell = Shell::new(&[(8000, &cart), (8001, &orders)]);

    let created = shell
        .run(r#"curl -X POST http://localhost:8000/create-order -H "Content-Type: application/json" -d "{\"order_id\": \"123\", \"number_of_items\": 3}""#)
        .await;
    assert_eq!(jq(&created, ".orderId"), "ORD-123");
    assert!(jq(&created, ".message").is_string());

    let details = until(
        &shell,
        "curl http://localhost:8001/order-details?orderId=ORD-123",
        &[(".order.status", json!("new"))],
    )
    .await;
    let total = jq(&details, ".order.totalAmount").as_f64().unwrap();
    let shipping = jq(&details, ".shippingCost").as_f64().unwrap();
    assert!((shipping - total * 0.02).abs() <= 0.005, "{shipping} of {total}");

    let updated = shell
        .run(
            r#"curl -X PUT http://localhost:8000/update-order \
  -H "Content-Type: application/json" \
  -d '{"order_id": "ORD-123", "status": "confirmed"}'"#,
        )
        .await;
    assert_eq!(jq(&updated, ".orderId"), "ORD-123");
    let command = r#"curl "http://localhost:8001/order-details?orderId=ORD-123""#;
    until(&shell, command, &[(".order.status", json!("confirmed"))]).await;

    let ids = shell.run("curl http://localhost:8001/getAllOrderIdsFromTopic?topicName=orders.events").await;
    assert_eq!(jq(&ids, ".topicName"), "orders.events");
    assert_eq!(jq(&ids, ".orderIds"), &json!(["ORD-123"]));
}

#[tokio::test]
async fn seed_002() {
    let world = World::shared().await.with("ORDER_TOPIC", "order-events");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let shell = Shell::new(&[(8000, &cart), (8001, &orders)]);
    let post = "curl -X POST http://localhost:8000/create-order \\\n  -H \"Content-Type: application/json\" \\\n  -d";
    let put =
        "curl -X PUT http://localhost:8000/update-order \\\n  -H \"Content-Type: application/json\" \\\n  -d";

    // Scenario 1: create, read, update, read.
    let created = shell.run(&format!(r#"{post} '{{"orderId": "ORDER-001", "itemsCount": 3}}'"#)).await;
    for field in [".customerId", ".orderDate", ".currency"] {
        assert!(jq(&created, &format!(".order{field}")).is_string(), "{field}");
    }
    assert!(jq(&created, ".message").is_string());
    let read = "curl http://localhost:8001/order-details?orderId=ORDER-001";
    let details = until(&shell, read, &[(".orderId", json!("ORDER-001")), (".status", json!("new"))]).await;
    assert_eq!(jq(&details, ".items").as_array().unwrap().len(), 3);
    assert!(jq(&details, ".items[0].price").is_f64());
    assert!(jq(&details, ".shippingCost").is_number());
    let updated = shell.run(&format!(r#"{put} '{{"orderId": "ORDER-001", "status": "confirmed"}}'"#)).await;
    assert_eq!(jq(&updated, ".update"), &json!({ "orderId": "ORDER-001", "status": "confirmed" }));
    until(&shell, read, &[(".status", json!("confirmed"))]).await;

    // Scenario 2: the same order again is taken by one service and refused by the other.
    shell.run(&format!(r#"{post} '{{"orderId": "ORDER-DUP", "itemsCount": 2}}'"#)).await;
    shell.run(&format!(r#"{post} '{{"orderId": "ORDER-DUP", "itemsCount": 5}}'"#)).await;
    let refused = r#"order_events_consumed_total{outcome="dead_lettered",reason="duplicate_order"}"#;
    eventually("the second CREATE is refused", async || orders.metric(refused).await.filter(|n| *n == 1.0))
        .await;
    let details = shell.run("curl http://localhost:8001/order-details?orderId=ORDER-DUP").await;
    assert_eq!(jq(&details, ".items").as_array().unwrap().len(), 2);

    // Scenario 3: an update of nothing.
    shell.run(&format!(r#"{put} '{{"orderId": "ORDER-NONEXISTENT", "status": "shipped"}}'"#)).await;
    let refused = r#"order_events_consumed_total{outcome="dead_lettered",reason="unknown_order"}"#;
    eventually("the update is given up", async || orders.metric(refused).await.filter(|n| *n == 1.0)).await;

    // Scenario 4: three kinds of bad input.
    for command in [
        format!(r#"{post} '{{"itemsCount": 3}}'"#),
        format!(r#"{post} '{{"orderId": "ORDER-999", "itemsCount": -1}}'"#),
        format!(r#"{put} '{{"orderId": "ORDER-001", "status": "new"}}'"#),
    ] {
        assert_eq!(jq(&shell.run(&command).await, ".status"), 400, "{command}");
    }

    let ids = shell.run("curl http://localhost:8001/getAllOrderIdsFromTopic?topic=order-events").await;
    assert_eq!(jq(&ids, ".topic"), "order-events");
    assert_eq!(jq(&ids, ".orderIds"), &json!(["ORDER-001", "ORDER-DUP"]));
    assert_eq!(jq(&ids, ".count"), 2);

    let health = shell.run("curl http://localhost:8000/health").await;
    assert_eq!(health, json!({ "status": "healthy", "kafka": "connected" }));
    let health = shell.run("curl http://localhost:8001/health").await;
    assert_eq!(jq(&health, ".status"), "healthy");
    assert_eq!(jq(&health, ".consumer"), "running");
    assert_eq!(jq(&health, ".orders_in_memory"), 2);
}
