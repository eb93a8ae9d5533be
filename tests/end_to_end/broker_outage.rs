//! The broker goes away under requests: what was answered with 2xx is in the log, at the position that was
//! told; what is not in the log was not answered with 2xx; and everything goes on by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use end_to_end_tests::{Record, Service, World, eventually};
use local_stack::Server;
use serde_json::Value;
use tokio::task::{JoinSet, block_in_place};

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(4);

/// What a client knows of one request.
#[derive(Clone)]
struct Told {
    order_id: String,
    status: u16,
    body: Value,
}

/// Whether an answer says that the event is surely not in the log.
fn is_not_published(body: &Value) -> bool {
    body["type"] == "urn:order-pipeline:problem:not-published"
}

async fn world() -> World {
    World::own().await.with("DELIVERY_TIMEOUT", "4s")
}

/// Creates one order after the other until `enough` of them were taken after the outage.
async fn client(cart: Arc<Service>, number: usize, outage_over: Arc<AtomicBool>) -> Vec<Told> {
    let mut told = Vec::new();
    let mut taken_after = 0;
    for count in 0.. {
        let order_id = format!("ORDER-{number}-{count}");
        let began = Instant::now();
        let over = outage_over.load(Ordering::SeqCst);
        let answer = cart.create(&order_id, 1).await;
        let took = began.elapsed();
        assert!(took < DELIVERY_TIMEOUT + Duration::from_secs(1), "{took:?} until {}", answer.text);
        match answer.status.as_u16() {
            201 if over => taken_after += 1,
            201 => {}
            // Without a key, only what surely did not arrive is to be sent again.
            503 => assert_eq!(
                answer.header("retry-after").is_some(),
                is_not_published(&answer.json),
                "{}",
                answer.text
            ),
            _ => panic!("{}", answer.text),
        }
        told.push(Told { order_id, status: answer.status.as_u16(), body: answer.json });
        if taken_after == 5 {
            break;
        }
    }
    told
}

/// Breaks the broker while clients create orders, mends it when they have felt it, then compares what they were
/// told with the log.
async fn outage(break_it: fn(&Server), mend_it: fn(&Server)) {
    let world = world().await;
    let (cart, orders) = (Arc::new(world.cart().await), world.orders().await);
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..8 {
        clients.spawn(client(cart.clone(), number, over.clone()));
    }
    let created = |status: u16| {
        let name = format!(r#"http_requests_total{{method="POST",route="/create-order",status="{status}"}}"#);
        let cart = &cart;
        async move { cart.metric(&name).await.unwrap_or(0.0) }
    };
    eventually("orders are taken", async || (created(201).await > 50.0).then_some(())).await;
    let broker = world.stack().broker();
    block_in_place(|| break_it(broker));
    eventually("orders are refused", async || (created(503).await >= 8.0).then_some(())).await;
    block_in_place(|| {
        mend_it(broker);
        broker.wait_ready(Duration::from_secs(60)).unwrap();
    });
    over.store(true, Ordering::SeqCst);

    let told = clients.join_all().await.concat();
    let records = world.events().read();
    let count = records.len();
    let log: HashMap<String, Record> = records
        .into_iter()
        .map(|record| (String::from_utf8(record.key.clone().unwrap()).unwrap(), record))
        .collect();
    // Also of those of which it was not known: a client that is told so may send nothing again, and nobody else does.
    assert_eq!(log.len(), count, "an event is in the log twice");
    let taken: Vec<_> = told.iter().filter(|told| told.status == 201).collect();
    let refused = told.len() - taken.len();
    assert!(refused > 0, "the outage was not felt");
    let unknown = "urn:order-pipeline:problem:delivery-unknown";
    assert!(told.iter().any(|told| told.body["type"] == unknown), "of some it was not known");
    for told in &taken {
        let record = &log[&told.order_id];
        assert_eq!(told.body["kafka"]["partition"], record.partition, "{}", told.order_id);
        assert_eq!(told.body["kafka"]["offset"], record.offset, "{}", told.order_id);
        assert_eq!(record.header("ce_id").as_deref(), told.body["eventId"].as_str());
    }
    for told in &told {
        let surely_not_there = told.status == 503 && is_not_published(&told.body);
        assert!(!(surely_not_there && log.contains_key(&told.order_id)), "{}: {}", told.order_id, told.body);
    }
    let orders = orders.ready().await;
    for told in taken {
        orders.order(&told.order_id, |order| order["items"] == told.body["order"]["items"]).await;
    }
    let ids = orders.get(&format!("/getAllOrderIdsFromTopic?topic={}", world.topic())).await;
    assert_eq!(ids.json["count"], log.len(), "every order of the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_stopped_and_started_loses_nothing() {
    outage(|broker| broker.stop().unwrap(), |broker| broker.start().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_started_loses_nothing() {
    outage(|broker| broker.kill().unwrap(), |broker| broker.start().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_loses_nothing() {
    outage(|broker| broker.pause().unwrap(), |broker| broker.resume().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_served_while_the_broker_is_away_and_readiness_says_so() {
    let world = world().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;

    block_in_place(|| world.stack().broker().stop()).unwrap();
    for service in [&cart, &orders] {
        eventually("it is not ready", async || {
            (service.get("/health/ready").await.status == 503).then_some(())
        })
        .await;
        assert_eq!(service.get("/health/live").await.status, 200);
    }
    assert_eq!(orders.get("/order-details?orderId=ORDER-1").await.status, 200);

    block_in_place(|| world.stack().broker().start()).unwrap();
    let (cart, orders) = (cart.ready().await, orders.ready().await);
    assert_eq!(cart.create("ORDER-2", 1).await.status, 201);
    orders.order("ORDER-2", |_| true).await;
}
