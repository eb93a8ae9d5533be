//! A client learns what became of its event: from order-service by its place, from cart-service by waiting.

use std::time::{Duration, Instant};

use end_to_end_tests::{Answer, Service, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A world whose cart-service knows its order-service.
async fn services(world: World) -> (Service, Service) {
    let orders = world.orders().await;
    let url = format!("http://127.0.0.1:{}", orders.port());
    (world.with("ORDER_SERVICE_URL", &url).cart().await, orders)
}

/// A write with these headers.
async fn write(cart: &Service, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = cart.request(Method::POST, path).json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::to(request).await
}

const WAIT: (&str, &str) = ("prefer", "wait=20");

fn create(id: &str) -> Value {
    json!({ "orderId": id, "itemsCount": 1 })
}

fn update(id: &str, status: &str) -> Value {
    json!({ "orderId": id, "status": status })
}

fn problem(answer: &Answer) -> &str {
    answer.json["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

#[tokio::test]
async fn a_client_that_waits_is_told_what_became_of_its_event() {
    let world = World::shared().await.with("STATUS_TRANSITIONS", "strict").with("UPDATE_GRACE", "200ms");
    let (cart, orders) = services(world).await;

    let created = write(&cart, "/create-order", &[WAIT], &create("A")).await;
    assert_eq!((created.status, &created.json["outcome"]), (StatusCode::CREATED, &json!("applied")));
    assert_eq!(created.header("preference-applied"), Some("wait=20"));
    assert_eq!(orders.get("/order-details?orderId=A").await.status, 200, "no waiting after this answer");

    let updated = write(&cart, "/update-order", &[WAIT], &update("A", "shipped")).await;
    assert_eq!((updated.status, &updated.json["outcome"]), (StatusCode::OK, &json!("applied")));

    let refusals = [
        ("/create-order", create("A"), 409, "duplicate-order"),
        ("/update-order", update("A", "pending"), 409, "illegal-transition"),
        ("/update-order", update("NOBODY", "pending"), 404, "unknown-order"),
    ];
    for (path, body, status, kind) in refusals {
        let refused = write(&cart, path, &[WAIT], &body).await;
        assert_eq!((refused.status.as_u16(), problem(&refused)), (status, kind), "{}", refused.text);
        assert_eq!(refused.header("preference-applied"), Some("wait=20"));
        assert!(refused.json["eventId"].is_string() && refused.json["position"].is_string());
    }
}

#[tokio::test]
async fn an_idempotency_key_is_for_one_request() {
    let (cart, orders) = services(World::shared().await).await;
    let headers = [("idempotency-key", "k1"), WAIT];
    let first = write(&cart, "/create-order", &headers, &create("A")).await;
    assert_eq!(first.json["outcome"], "applied", "{}", first.text);
    let again = write(&cart, "/create-order", &headers, &create("A")).await;
    assert_eq!((again.status, &again.json["outcome"]), (StatusCode::CREATED, &json!("duplicate")));
    assert_eq!(
        (&again.json["eventId"], &again.json["order"]["items"]),
        (&first.json["eventId"], &first.json["order"]["items"])
    );
    let other = write(&cart, "/update-order", &headers, &update("A", "shipped")).await;
    assert_eq!((other.status.as_u16(), problem(&other)), (422, "idempotency-key-reused"), "{}", other.text);
    assert_eq!(orders.get("/order-details?orderId=A").await.json["status"], "new");
}

#[tokio::test]
async fn a_copy_of_an_update_that_waits_has_the_fate_of_the_first() {
    let (cart, _orders) = services(World::shared().await.with("UPDATE_GRACE", "3s")).await;
    let key = ("idempotency-key", "k1");
    let first = write(&cart, "/update-order", &[key], &update("A", "shipped")).await;
    assert!(first.status.is_success(), "{}", first.text);
    let copy = write(&cart, "/update-order", &[key, WAIT], &update("A", "shipped")).await;
    assert_eq!(copy.status, 404, "{}", copy.text);
    assert_eq!(problem(&copy), "unknown-order");

    // The first is a dead letter now: a further copy is a new event.
    let created = write(&cart, "/create-order", &[WAIT], &create("A")).await;
    assert_eq!(created.json["outcome"], "applied", "{}", created.text);
    let again = write(&cart, "/update-order", &[key, WAIT], &update("A", "shipped")).await;
    assert_eq!((again.status.as_u16(), &again.json["outcome"]), (200, &json!("applied")), "{}", again.text);
}

#[tokio::test]
async fn when_the_time_is_up_the_answer_is_a_202() {
    let world = World::shared().await.with("DEFAULT_WAIT", "1s").with("UPDATE_GRACE", "60s");
    let (cart, orders) = services(world).await;
    let held = write(&cart, "/update-order", &[], &update("A", "shipped")).await;
    assert_eq!((held.status.as_u16(), &held.json["outcome"]), (202, &json!("held")), "{}", held.text);
    assert_eq!(held.header("preference-applied"), None, "the client preferred nothing");

    orders.stop().await;
    let began = Instant::now();
    let pending = write(&cart, "/create-order", &[], &create("B")).await;
    assert_eq!((pending.status.as_u16(), &pending.json["outcome"]), (202, &json!("pending")));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let at_once = write(&cart, "/create-order", &[("prefer", "wait=0")], &create("C")).await;
    assert_eq!(at_once.status, 202);
}

#[tokio::test]
async fn an_event_is_known_by_its_place_on_every_instance_and_after_a_restart() {
    let world = World::shared().await.with("UPDATE_GRACE", "0");
    let (cart, first) = services(world.fork()).await;
    let second = world.orders().await;
    let applied = cart.create("A", 1).await.json["kafka"].clone();
    let rejected = cart.create("A", 1).await.json["kafka"].clone();
    let path =
        |kafka: &Value| format!("/events/{}/{}/{}", world.topic(), kafka["partition"], kafka["offset"]);
    let report = async |service: &Service, kafka: &Value| {
        Answer::to(service.request(Method::GET, &path(kafka)).header("prefer", "wait=20")).await
    };
    for service in [&first, &second] {
        let answer = report(service, &applied).await;
        assert_eq!(answer.header("preference-applied"), Some("wait=20"));
        assert_eq!(
            answer.json,
            json!({ "topic": world.topic(), "partition": applied["partition"], "offset": applied["offset"],
                    "position": applied["position"], "outcome": "applied" })
        );
        let answer = report(service, &rejected).await;
        assert_eq!(
            (&answer.json["outcome"], &answer.json["reason"]),
            (&json!("dead_lettered"), &json!("duplicate_order"))
        );
    }
    first.kill().await;
    second.stop().await;
    let again = world.orders().await;
    assert_eq!(again.get(&path(&rejected)).await.json["reason"], "duplicate_order");
    let future = json!({ "partition": 0, "offset": 1_000_000 });
    assert_eq!(again.get(&path(&future)).await.json["outcome"], "pending");
}

#[tokio::test]
async fn an_order_can_be_read_as_an_event_has_left_it() {
    let (cart, orders) = services(World::shared().await).await;
    for number in 0..20 {
        let id = format!("ORDER-{number}");
        let created = cart.create(&id, 1).await.json;
        let path = format!(
            "/order-details?orderId={id}&position={}",
            created["kafka"]["position"].as_str().unwrap()
        );
        let answer = Answer::to(orders.request(Method::GET, &path).header("prefer", "wait=20")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("preference-applied"), Some("wait=20"));
    }
    let early = orders.get("/order-details?orderId=ORDER-1&position=0:1000000").await;
    assert_eq!((early.status.as_u16(), problem(&early)), (503, "not-processed"));
    assert_eq!(early.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_read_tells_what_it_shows_and_another_instance_shows_nothing_older() {
    let world = World::shared().await;
    let (cart, first) = services(world.fork()).await;
    let second = world.orders().await;
    for number in 0..6 {
        let created = write(&cart, "/create-order", &[WAIT], &create(&format!("R-{number}"))).await;
        assert_eq!(created.json["outcome"], "applied", "{}", created.text);
    }
    let ids = format!("/getAllOrderIdsFromTopic?topic={}", world.topic());
    let paths = ["/orders/R-1", "/order-details?orderId=R-1", "/orders/R-NOBODY", "/orders?limit=10", &ids];
    for path in paths {
        let answer = first.get(path).await;
        let position = answer.header("order-position").unwrap_or_else(|| panic!("{path}: {}", answer.text));
        let sign = if path.contains('?') { '&' } else { '?' };
        let again = second.request(Method::GET, &format!("{path}{sign}position={position}"));
        let again = Answer::to(again.header("prefer", "wait=20")).await;
        assert_eq!((again.status, &again.text), (answer.status, &answer.text), "{path}");
        assert!(again.header("order-position").is_some(), "{path}");

        let future = first.get(&format!("{path}{sign}position={position},0:1000000")).await;
        assert_eq!((future.status.as_u16(), problem(&future)), (503, "not-processed"), "{path}");
    }
    let order = first.get("/orders/R-1").await;
    assert_eq!(order.header("order-position").unwrap().split(',').count(), 1, "its own partition's");
    let known = first.request(Method::GET, "/orders/R-1");
    let known = Answer::to(known.header("if-none-match", order.header("etag").unwrap())).await;
    assert_eq!(known.status, 304);
    assert!(known.header("order-position").is_some());
}

#[tokio::test]
async fn places_that_cannot_be_are_refused() {
    let world = World::shared().await;
    let orders = world.orders().await;
    let topic = world.topic();
    let cases = [
        (format!("/events/{topic}/x/-1"), 400, "invalid-request"),
        (format!("/events/{topic}/99/0"), 404, "unknown-partition"),
        ("/events/others/0/0".to_owned(), 404, "unknown-topic"),
        ("/order-details?orderId=A&position=7".to_owned(), 400, "invalid-request"),
        ("/order-details?orderId=A&position=0:1,".to_owned(), 400, "invalid-request"),
        ("/orders?position=99:1".to_owned(), 404, "unknown-partition"),
        ("/order-details?orderId=A&position=99:1".to_owned(), 404, "unknown-partition"),
    ];
    for (path, status, kind) in cases {
        let answer = orders.get(&path).await;
        assert_eq!((answer.status.as_u16(), problem(&answer)), (status, kind), "{path}: {}", answer.text);
    }
    let both = orders.get(&format!("/events/{topic}/x/-1")).await;
    assert_eq!(both.json["errors"].as_array().unwrap().len(), 2);
}
