//! Bad input gets one problem, with everything that is wrong in it.

use end_to_end_tests::{Answer, Service, World};
use reqwest::Method;
use serde_json::{Value, json};

/// Sends a body as it is, with or without a content type.
async fn post(
    service: &Service,
    path: &str,
    content_type: Option<&str>,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let mut request = service.request(Method::POST, path).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, headers, json, text }
}

/// It is a problem of this status that names these places.
fn assert_problem(answer: &Answer, status: u16, pointers: &[&str]) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text);
    assert_eq!(answer.json["status"], status);
    for member in ["type", "title", "detail"] {
        assert!(!answer.json[member].as_str().unwrap().is_empty(), "{member}: {}", answer.text);
    }
    let errors = answer.json["errors"].as_array();
    let named: Vec<&Value> = errors.into_iter().flatten().map(|error| &error["pointer"]).collect();
    assert_eq!(named, pointers, "{}", answer.text);
}

#[tokio::test]
async fn cart_service_refuses_it_with_every_fault() {
    let world = World::shared().await;
    let cart = world.cart().await;
    let long = "x".repeat(129);
    let create = [
        (json!({}), vec!["#/orderId", "#/itemsCount"]),
        (json!({ "orderId": 1, "itemsCount": "3" }), vec!["#/orderId", "#/itemsCount"]),
        (
            json!({ "orderId": "A", "order_id": "B", "itemsNum": 1, "numItems": 2 }),
            vec!["#/order_id", "#/numItems"],
        ),
        (json!({ "orderId": "   ", "itemsCount": 1 }), vec!["#/orderId"]),
        (json!({ "orderId": long, "itemsCount": 1 }), vec!["#/orderId"]),
        (json!({ "orderId": "a\u{0}b", "itemsCount": 1 }), vec!["#/orderId"]),
        (json!({ "orderId": "A", "itemsCount": 0 }), vec!["#/itemsCount"]),
        (json!({ "orderId": "A", "itemsCount": -1 }), vec!["#/itemsCount"]),
        (json!({ "orderId": "A", "itemsCount": 1.5 }), vec!["#/itemsCount"]),
        (json!({ "orderId": "A", "itemsCount": 1e9 }), vec!["#/itemsCount"]),
        (json!({ "orderId": "A", "itemsCount": true }), vec!["#/itemsCount"]),
        (json!({ "orderId": "A", "itemsCount": null }), vec!["#/itemsCount"]),
        (json!([]), vec!["#"]),
        (json!("x"), vec!["#"]),
    ];
    for (body, pointers) in create {
        assert_problem(&cart.send("POST", "/create-order", &body).await, 400, &pointers);
    }
    let update = [
        (json!({}), vec!["#/orderId", "#/status"]),
        (json!({ "orderId": "A", "status": "gone" }), vec!["#/status"]),
        (json!({ "orderId": "A", "status": "New" }), vec!["#/status"]),
        (json!({ "orderId": "A", "status": "" }), vec!["#/status"]),
        (json!({ "orderId": "A", "status": 1 }), vec!["#/status"]),
    ];
    for (body, pointers) in update {
        assert_problem(&cart.send("PUT", "/update-order", &body).await, 400, &pointers);
    }
    let json = Some("application/json");
    for malformed in ["", "{", "{\"orderId\":", "nonsense", "{\"a\":1}}", "\u{feff}{}"] {
        assert_problem(&post(&cart, "/create-order", json, malformed).await, 400, &["#"]);
    }
    assert_problem(
        &post(&cart, "/create-order", json, vec![b'{', b'"', 0xff, b'"', b'}']).await,
        400,
        &["#"],
    );
    assert_problem(&post(&cart, "/create-order", json, "[".repeat(100_000)).await, 400, &["#"]);

    let good = r#"{"orderId": "A", "itemsCount": 1}"#;
    for wrong in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let answer = post(&cart, "/create-order", wrong, good).await;
        assert_problem(&answer, 415, &[]);
        assert!(answer.text.contains("-H 'Content-Type: application/json'"), "{}", answer.text);
    }
    assert_problem(&post(&cart, "/create-order", json, vec![b' '; 2 * 1024 * 1024]).await, 413, &[]);
    assert_problem(&cart.get("/create-order").await, 405, &[]);
    assert_eq!(cart.get("/create-order").await.header("allow"), Some("POST"));
    assert_problem(&cart.get("/nowhere").await, 404, &[]);

    let request = cart.request(Method::POST, "/create-order").header("idempotency-key", "k".repeat(129));
    let response = request.json(&json!({ "orderId": " " })).send().await.unwrap();
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 3, "{problem}");

    assert!(world.events().read().is_empty(), "none of it was published");
    let answer = cart.create("A", 1).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

#[tokio::test]
async fn order_service_refuses_it_with_every_fault() {
    let world = World::shared().await;
    let orders = world.orders().await;
    let topic = world.topic();
    let cases = [
        ("/order-details".to_owned(), 400, vec!["?orderId"]),
        ("/order-details?orderId=".to_owned(), 400, vec!["?orderId"]),
        ("/order-details?orderId=%20".to_owned(), 400, vec!["?orderId"]),
        ("/order-details?orderId=A&order_id=B".to_owned(), 400, vec!["?order_id"]),
        (format!("/order-details?orderId={}", "x".repeat(129)), 400, vec!["?orderId"]),
        ("/order-details?orderId=nobody".to_owned(), 404, vec![]),
        ("/getAllOrderIdsFromTopic".to_owned(), 400, vec!["?topic"]),
        ("/getAllOrderIdsFromTopic?limit=x".to_owned(), 400, vec!["?topic", "?limit"]),
        (format!("/getAllOrderIdsFromTopic?topic={topic}&limit=0"), 400, vec!["?limit"]),
        ("/getAllOrderIdsFromTopic?topic=other".to_owned(), 404, vec![]),
        ("/nowhere".to_owned(), 404, vec![]),
    ];
    for (path, status, pointers) in cases {
        assert_problem(&orders.get(&path).await, status, &pointers);
    }
    assert_problem(&post(&orders, "/order-details?orderId=A", None, "").await, 405, &[]);
}
