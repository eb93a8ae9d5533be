//! What cannot be processed is told with why, in Kafka and over HTTP, and goes back when the cause is mended.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use end_to_end_tests::{Record, Service, World, eventually, within};
use futures_util::{StreamExt, stream};
use order_events::Reason;
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dead_letter_cases::{Case, cases, failing_create, in_partition};

/// The letters that `/dlq/messages` shows, by their place in the events topic.
async fn shown(orders: &Service) -> BTreeMap<(i64, i64), Value> {
    let page = orders.get("/dlq/messages?limit=1000").await;
    assert_eq!(page.status, 200, "{}", page.text);
    let messages = page.json["messages"].as_array().unwrap().clone();
    assert_eq!(page.json["count"], messages.len());
    let place =
        |row: &Value| (row["original_partition"].as_i64().unwrap(), row["original_offset"].as_i64().unwrap());
    messages.into_iter().map(|row| (place(&row), row)).collect()
}

/// Every header that a letter adds, with its bytes.
fn added_headers(
    world: &World,
    case: &Case,
    event: &Record,
    letter: &Record,
) -> Vec<(String, Option<Vec<u8>>)> {
    let detail = letter.header("__connect.errors.exception.message").unwrap();
    assert!(detail.contains(case.says), "{detail:?} lacks {:?}", case.says);
    let failed_at = letter.header("dlq-failed-at").unwrap();
    assert!(failed_at.parse::<jiff::Timestamp>().is_ok(), "{failed_at}");
    let retried = case.reason == Reason::ProcessingFailed;
    let timestamp = letter.headers.iter().find(|(name, _)| name == "kafka_dlt-original-timestamp");
    let timestamp = timestamp.unwrap().1.clone().unwrap();
    let age =
        jiff::Timestamp::now().as_millisecond() - i64::from_be_bytes(timestamp.clone().try_into().unwrap());
    assert!((0..120_000).contains(&age), "{age}");
    let topic = world.topic().as_bytes().to_vec();
    let headers: [(&str, Vec<u8>); 15] = [
        ("kafka_dlt-original-topic", topic.clone()),
        ("kafka_dlt-original-partition", event.partition.to_be_bytes().into()),
        ("kafka_dlt-original-offset", event.offset.to_be_bytes().into()),
        ("kafka_dlt-original-timestamp", timestamp),
        ("kafka_dlt-exception-fqcn", format!("com.ecommerce.order.{}", case.reason.as_str()).into()),
        ("kafka_dlt-exception-message", detail.clone().into()),
        ("__connect.errors.topic", topic),
        ("__connect.errors.partition", event.partition.to_string().into()),
        ("__connect.errors.offset", event.offset.to_string().into()),
        ("__connect.errors.exception.message", detail.into()),
        ("dlq-reason", case.reason.as_str().into()),
        ("dlq-category", if retried { b"RETRY_THEN_DLQ".to_vec() } else { b"NO_RETRY_DLQ".to_vec() }),
        ("dlq-retry-count", if retried { b"2".to_vec() } else { b"0".to_vec() }),
        ("dlq-failed-at", failed_at.into()),
        ("dlq-consumer-group", world.group().into()),
    ];
    headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect()
}

/// Sends a letter again, and waits for what becomes of it.
async fn redrive(orders: &Service, dlq_offset: &Value) -> Result<Value, (StatusCode, String)> {
    let sent = orders.send("POST", &format!("/dlq/messages/{dlq_offset}/redrive"), &json!({})).await;
    if sent.status != 200 {
        return Err((
            sent.status,
            sent.json["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned(),
        ));
    }
    let event =
        orders.request(Method::GET, sent.json["follow"].as_str().unwrap()).header("prefer", "wait=30");
    let event: Value = event.send().await.unwrap().json().await.unwrap();
    let path = format!("/dlq/messages/{dlq_offset}");
    Ok(eventually("the letter tells what became of it", async || {
        let redrive = orders.get(&path).await.json["redrive"].clone();
        let is_over = redrive["outcome"] == event["outcome"]
            && (redrive["outcome"] == "applied" || redrive["dead_again"].is_i64());
        is_over.then_some(redrive)
    })
    .await)
}

#[tokio::test]
async fn every_reason_is_told_in_kafka_and_over_http_and_may_go_back() {
    let world = World::shared().await.with("STATUS_TRANSITIONS", "strict").with("UPDATE_GRACE", "200ms");
    let retries = world.fork().with("PROCESSING_RETRIES", "100ms,200ms");
    let failing = retries.fork().with("FAILURE_INJECTION_CUSTOMER_SUFFIX", "f");
    let (cart, orders) = (world.cart().await, failing.orders().await);
    let cases = cases(&world, &cart, &orders).await;
    assert_eq!(cases.len(), Reason::ALL.len());

    let letters = eventually("all letters are there", async || {
        let shown = shown(&orders).await;
        (shown.len() == cases.len()).then_some(shown)
    })
    .await;
    let (events, records) = (world.events().read(), world.dead_letters().read());
    for case in &cases {
        let row = &letters[&(case.place.0.into(), case.place.1)];
        let event = events.iter().find(|event| (event.partition, event.offset) == case.place).unwrap();
        let letter = records.iter().find(|record| row["dlq_offset"] == record.offset).unwrap();
        assert_eq!((&letter.key, &letter.value), (&event.key, &event.value), "{:?}", case.reason);
        let headers = [event.headers.clone(), added_headers(&world, case, event, letter)].concat();
        assert_eq!(letter.headers, headers, "{:?}", case.reason);

        assert_eq!(row["reason"], case.reason.as_str());
        assert_eq!(row["error_category"], letter.header("dlq-category").unwrap());
        assert_eq!(row["error_message"], letter.header("kafka_dlt-exception-message").unwrap());
        assert_eq!(row["retry_count"].to_string(), letter.header("dlq-retry-count").unwrap());
        assert_eq!(row["timestamp"], letter.header("dlq-failed-at").unwrap());
        assert_eq!(row["original_topic"], world.topic());
        assert_eq!(row["original_value"], STANDARD.encode(event.value.as_deref().unwrap()));
        assert_eq!(row["event"].is_null(), case.redriven == Err(422), "{row}");
        assert_eq!(row["redrive"], Value::Null);
        assert_eq!(orders.get(&format!("/dlq/messages/{}", row["dlq_offset"])).await.json, *row);
    }
    let stats = orders.get("/dlq/stats").await.json;
    assert_eq!(stats["total_messages"], cases.len());
    assert_eq!(stats["error_categories"], json!({ "NO_RETRY_DLQ": 7, "RETRY_THEN_DLQ": 1 }));
    assert_eq!(stats["topic"], world.dead_letters().name());

    // The causes that can be mended are: the order comes, and nothing fails any more.
    orders.stop().await;
    let orders = retries.orders().await;
    assert_eq!(cart.create("NOBODY", 1).await.status, 201);
    orders.order("NOBODY", |_| true).await;
    for case in &cases {
        let row = &letters[&(case.place.0.into(), case.place.1)];
        let redriven = redrive(&orders, &row["dlq_offset"]).await;
        match (&redriven, case.redriven) {
            (Ok(redrive), Ok(outcome)) => {
                assert_eq!((&redrive["outcome"], &redrive["attempt"]), (&json!(outcome), &json!(1)));
                let again = if outcome == "applied" { Value::Null } else { row["reason"].clone() };
                assert_eq!(redrive["reason"], again);
            }
            (Err((status, kind)), Err(expected)) => {
                assert_eq!(
                    (status.as_u16(), kind.as_str()),
                    (expected, "not-redrivable"),
                    "{:?}",
                    case.reason
                );
            }
            _ => panic!("{:?}: {redriven:?}", case.reason),
        }
    }
    orders.order("NOBODY", |order| order["status"] == "confirmed").await;
    orders.order("FAILS", |order| order["status"] == "new").await;
}

#[tokio::test]
async fn letters_are_found_by_what_they_are_in_pages_on_every_instance() {
    let world = World::shared().await.with("UPDATE_GRACE", "0s").with("DLQ_INDEX_MAX", "5");
    let (cart, orders) = (world.cart().await, world.orders().await);
    for number in 0..8 {
        cart.update(&format!("{}", 100 + number % 2), "pending").await;
    }
    world.events().write(None, Some(b"rubbish"), &[]).await;
    let other = world.orders().await;
    for service in [&orders, &other] {
        eventually("it has all letters", async || {
            (service.get("/dlq/stats").await.json["total_messages"] == 9).then_some(())
        })
        .await;
        let offsets = async |query: &str| {
            let page = service.get(&format!("/dlq/messages?{query}")).await.json;
            page["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["dlq_offset"].as_i64().unwrap())
                .collect::<Vec<_>>()
        };
        // Only the newest ones are in memory, and the newest comes first.
        let all = offsets("").await;
        assert_eq!(all.len(), 5);
        assert!(all.is_sorted_by(|newer, older| newer > older), "{all:?}");
        assert_eq!(offsets("limit=2&offset=1").await, all[1..3]);
        assert_eq!(
            offsets("reason=undecodable").await.len() + offsets("reason=unknown_order").await.len(),
            5
        );
        assert_eq!(offsets("category=RETRY_THEN_DLQ").await, Vec::<i64>::new());
        let of_orders = offsets("orderId=100").await.len() + offsets("order_id=ORD-101").await.len();
        assert_eq!(of_orders, offsets("reason=unknown_order").await.len());
        // Older ones are read from the topic.
        let oldest = service.get("/dlq/messages/0").await;
        assert_eq!((oldest.status.as_u16(), &oldest.json["dlq_offset"]), (200, &json!(0)), "{}", oldest.text);
    }
    for (path, status) in [
        ("/dlq/messages?limit=0&offset=-1&category=X&reason=y&orderId=%20", 400),
        ("/dlq/messages/x", 400),
        ("/dlq/messages/1000000", 404),
    ] {
        let refused = orders.get(path).await;
        assert_eq!(refused.status, status, "{}", refused.text);
        if path.contains("limit") {
            assert_eq!(refused.json["errors"].as_array().unwrap().len(), 5, "{}", refused.text);
        }
    }
}

#[tokio::test]
async fn a_page_has_no_more_than_4_mib_of_values() {
    let world = World::shared().await;
    let orders = world.orders().await;
    let (value, fitting) = (vec![0xff; 16 << 10], 256);
    let producer: FutureProducer = world.events().client().create().unwrap();
    let record = || FutureRecord::to(world.topic()).key("X").payload(&value);
    let sent: Vec<_> = (0..fitting + 2).map(|_| producer.send_result(record()).unwrap()).collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
    let rows = eventually("all letters are there", async || {
        let page = orders.get("/dlq/messages?limit=1000").await.json;
        page["messages"].as_array().filter(|rows| rows.len() == fitting + 2).cloned()
    })
    .await;
    let (shown, beyond) = rows.split_at(fitting);
    assert!(shown.iter().all(|row| row["original_value"].is_string()));
    assert!(beyond.iter().all(|row| row["original_value"].is_null()));
    let alone = orders.get(&format!("/dlq/messages/{}", beyond[0]["dlq_offset"])).await.json;
    assert_eq!(alone["original_value"], STANDARD.encode(&value));
}

#[tokio::test]
async fn an_update_is_not_given_up_while_its_create_waits_behind_a_failure() {
    let world = World::shared()
        .await
        // Long enough to write the failing event and the CREATE meanwhile; shorter than the failing one waits.
        .with("UPDATE_GRACE", "1s")
        .with("PROCESSING_RETRIES", "4s")
        .with("FAILURE_INJECTION_CUSTOMER_SUFFIX", "f");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let (failing, late) = (in_partition(0, "F"), in_partition(0, "LATE"));
    let elsewhere = in_partition(1, "ELSEWHERE");
    cart.update(&late, "confirmed").await;
    let place = failing_create(&world, &cart, &failing).await;
    cart.create(&late, 1).await;
    // Another partition goes on meanwhile.
    cart.create(&elsewhere, 1).await;
    orders.order(&elsewhere, |_| true).await;
    assert_eq!(orders.get(&format!("/order-details?orderId={late}")).await.status, 404);
    orders.order(&late, |order| order["status"] == "confirmed").await;
    // It is listed once it is read back from its topic.
    let letters = eventually("a letter is listed", async || {
        Some(shown(&orders).await).filter(|letters| !letters.is_empty())
    })
    .await;
    assert_eq!(letters.keys().copied().collect::<Vec<_>>(), [(place.0.into(), place.1)]);
    assert_eq!(orders.metric("order_events_retried_total").await, Some(1.0));
}

#[tokio::test]
async fn nothing_is_committed_past_a_letter_that_cannot_be_written() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let id = in_partition(0, "BEHIND");
    // Too little for a letter, enough for control records.
    world.dead_letters().configure("max.message.bytes", "300").await;
    let rubbish = world.events().write(Some(in_partition(0, "X").as_bytes()), Some(b"rubbish"), &[]).await;
    cart.create(&id, 1).await;
    let said = format!("dead letters cannot be written to {}", world.dead_letters().name());
    eventually("it says what is wrong", async || {
        orders.get("/health/ready").await.text.contains(&said).then_some(())
    })
    .await;
    assert_eq!(orders.get(&format!("/order-details?orderId={id}")).await.status, 404);
    let event = format!("/events/{}/{}/{}", world.topic(), rubbish.0, rubbish.1);
    assert_eq!(orders.get(&event).await.json["outcome"], "pending");
    world.dead_letters().configure("max.message.bytes", "1000000").await;
    orders.order(&id, |_| true).await;
    assert_eq!(world.dead_letters().read().len(), 1);
    orders.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_send_over_http_stops_nothing() {
    const UPDATES: usize = 6000;
    let world = World::shared().await.with("UPDATE_GRACE", "0s").with("RUST_LOG", "info");
    let (cart, orders) = (world.cart().await, world.orders().await);
    stream::iter(0..UPDATES)
        .for_each_concurrent(32, async |number| {
            let updated = cart.update(&format!("MADE-UP-{number}"), "pending").await;
            assert_eq!(updated.status, 200, "{}", updated.text);
        })
        .await;
    cart.create("HONEST", 1).await;
    orders.order("HONEST", |_| true).await;
    eventually("each update is a dead letter", async || {
        (orders.get("/dlq/stats").await.json["total_messages"] == UPDATES).then_some(())
    })
    .await;
    assert_eq!(orders.metric("order_dead_letter_limit_reached").await, Some(0.0));
    let ready = orders.get("/health/ready").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
}

#[tokio::test]
async fn a_flood_of_letters_stops_its_partition_until_a_probe_is_good() {
    let world = World::shared().await.with("RUST_LOG", "info").with("DLQ_LIMIT", "50%/20/1h");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let [flooded, behind] = ["FLOODED", "BEHIND"].map(|start| in_partition(0, start));
    let elsewhere = in_partition(1, "ELSEWHERE");
    for _ in 0..50 {
        world.events().write(Some(flooded.as_bytes()), Some(b"rubbish"), &[]).await;
    }
    let ready = eventually("it stops", async || {
        let ready = orders.get("/health/ready").await;
        ready.text.contains("DLQ_LIMIT=50%/20/1h").then_some(ready)
    })
    .await;
    assert_eq!(ready.status, 503);
    assert!(ready.text.contains("partition 0 is stopped until"), "{}", ready.text);
    assert_eq!(orders.metric("order_dead_letter_limit_reached").await, Some(1.0));
    for (partition, stopped) in [(0, 1.0), (1, 0.0)] {
        let metric = format!(r#"order_partition_stopped{{partition="{partition}"}}"#);
        assert_eq!(orders.metric(&metric).await, Some(stopped));
    }
    let health = orders.get("/health").await;
    let at = |name: &str| health.json["partitions"][0]["stopped"][name].as_str().unwrap().parse().unwrap();
    let (since, until): (jiff::Timestamp, jiff::Timestamp) = (at("since"), at("until"));
    assert_eq!(until.as_second() - since.as_second(), 60, "{}", health.text);
    assert_eq!(health.json["partitions"][1]["stopped"], Value::Null, "{}", health.text);
    assert_eq!(
        orders.log().lines().filter(|line| line.contains("ERROR") && line.contains("DLQ_LIMIT")).count(),
        1
    );
    assert_eq!(world.dead_letters().read().len(), 20);
    // What is there can still be looked at, and the other partitions go on.
    assert_eq!(orders.get("/dlq/stats").await.json["total_messages"], 20);
    assert_eq!(orders.get("/health/live").await.status, 200);
    cart.create(&elsewhere, 1).await;
    orders.order(&elsewhere, |_| true).await;

    // After a restart it counts anew.
    orders.stop().await;
    let orders = world.orders_starting().await;
    eventually("it stops again", async || {
        let ready = orders.get("/health/ready").await;
        (ready.text.contains("partition 0 is stopped")).then_some(())
    })
    .await;
    assert_eq!(world.dead_letters().read().len(), 40);
    // The cause is mended: of the 100 events of the probe only the last ten of the flood are letters.
    cart.create(&behind, 1).await;
    for _ in 0..99 {
        assert_eq!(cart.update(&behind, "confirmed").await.status, 200);
    }
    let resumed = async || (orders.get("/health/ready").await.status == 200).then_some(());
    within(Duration::from_secs(120), "a probe is processed and is good", resumed).await;
    orders.order(&behind, |order| order["status"] == "confirmed").await;
    assert_eq!(orders.metric("order_dead_letter_limit_reached").await, Some(0.0));
    assert_eq!(world.dead_letters().read().len(), 50);
}
