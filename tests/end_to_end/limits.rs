//! What an operator allows clients to do: who may write, how often, how many at once, from which pages, and for how
//! long when the service is to stop.

use std::time::{Duration, Instant};

use end_to_end_tests::{Answer, Service, World, eventually};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;

const TOKEN: &str = "0123456789abcdef";

/// Asks for an event that is still to come, and so waits; with one request at a time, until it has its turn.
async fn wait_for_event(orders: &Service, topic: &str, seconds: u32) -> Answer {
    let path = format!("/events/{topic}/0/999999");
    eventually("there is room to wait", async || {
        let request = orders.request(Method::GET, &path).header("prefer", format!("wait={seconds}"));
        let answer = Answer::to(request).await;
        (answer.status != 503).then_some(answer)
    })
    .await
}

fn problem(answer: &Answer) -> &str {
    answer.json["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap()
}

#[tokio::test]
async fn with_a_token_only_who_has_it_makes_orders_and_everybody_reads() {
    let cart = World::shared().await.with("API_TOKEN", TOKEN).cart().await;
    let create = async |token: Option<&str>| {
        let body = json!({ "orderId": "A", "itemsCount": 1 });
        let mut request = cart.request(Method::POST, "/create-order").json(&body);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Answer::to(request).await
    };
    for wrong in [None, Some("fedcba9876543210")] {
        let refused = create(wrong).await;
        assert_eq!((refused.status.as_u16(), problem(&refused)), (401, "unauthorized"));
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer realm="));
    }
    assert_eq!(create(Some(TOKEN)).await.status, 201);
    assert_eq!(cart.get("/health").await.status, 200);
    assert!(!cart.log().contains(TOKEN) && !cart.log().contains("fedcba9876543210"));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_and_health_is_always_told() {
    let cart = World::shared().await.with("RATE_LIMIT", "1").cart().await;
    let refused = eventually("there is too much", async || {
        let answer = cart.get("/openapi.json").await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    assert_eq!((problem(&refused), refused.header("retry-after")), ("too-many-requests", Some("1")));
    assert_eq!(cart.get("/health").await.status, 200);
}

#[tokio::test]
async fn what_is_too_much_at_once_is_refused_and_served_when_there_is_room() {
    let world = World::shared().await.with("MAX_CONCURRENT_REQUESTS", "1");
    let orders = world.orders().await;
    let (waited, refused) = tokio::join!(
        async {
            let answer = wait_for_event(&orders, world.topic(), 3).await;
            assert_eq!(answer.json["outcome"], "pending", "{}", answer.text);
            Instant::now()
        },
        async {
            let refused = eventually("there is no room", async || {
                let answer = orders.get("/orders").await;
                (answer.status == 503).then_some(answer)
            })
            .await;
            assert_eq!((problem(&refused), refused.header("retry-after")), ("overloaded", Some("1")));
            assert_eq!(orders.get("/health").await.status, 200);
            Instant::now()
        },
    );
    assert!(refused < waited);
    assert_eq!(orders.get("/orders").await.status, 200);
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_call() {
    let origin = "https://shop.example";
    let cart = World::shared().await.with("CORS_ALLOWED_ORIGINS", origin).cart().await;
    let asked = cart
        .request(Method::OPTIONS, "/create-order")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,idempotency-key,prefer");
    let asked = Answer::to(asked).await;
    assert_eq!(asked.status, 200);
    assert_eq!(asked.header("access-control-allow-origin"), Some(origin));
    assert!(asked.header("access-control-allow-methods").unwrap().contains("POST"));
    let answer = Answer::to(cart.request(Method::GET, "/health").header("origin", origin)).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("location"));
}

#[tokio::test]
async fn who_waits_is_answered_when_the_service_is_to_stop() {
    let world = World::shared().await.with("MAX_CONCURRENT_REQUESTS", "1");
    let orders = world.orders().await;
    let stop = async {
        eventually("somebody waits", async || (orders.get("/orders").await.status == 503).then_some(()))
            .await;
        orders.signal(Signal::TERM);
        Instant::now()
    };
    let (answer, stopped) = tokio::join!(wait_for_event(&orders, world.topic(), 30), stop);
    assert_eq!((answer.status.as_u16(), &answer.json["outcome"]), (200, &json!("pending")));
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    assert_eq!(orders.end().await.0, Some(0));
}

#[tokio::test]
async fn a_poller_sees_a_change_and_nothing_twice() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("A", 1).await;
    orders.order("A", |_| true).await;
    let known = orders.get("/orders/A").await.header("etag").unwrap().to_owned();
    let poll =
        async || Answer::to(orders.request(Method::GET, "/orders/A").header("if-none-match", &known)).await;
    assert_eq!(poll().await.status, 304);
    cart.update("A", "confirmed").await;
    orders.order("A", |order| order["status"] == "confirmed").await;
    let news = poll().await;
    assert_eq!((news.status.as_u16(), &news.json["status"]), (200, &json!("confirmed")));
    assert_ne!(news.header("etag"), Some(known.as_str()));
}

#[tokio::test]
async fn an_event_that_kafka_finds_too_large_is_a_413() {
    let world = World::shared().await;
    world.events().create(3, &[("max.message.bytes", "2000")]).await;
    let cart = world.cart().await;
    let refused = cart.create("A", 1000).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
    assert!(refused.text.contains("send fewer items"), "{}", refused.text);
    assert_eq!(cart.create("A", 1).await.status, 201);
}
