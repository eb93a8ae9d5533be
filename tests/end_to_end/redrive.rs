//! Dead letters are sent again once, by whom may, and never over what came later.

use end_to_end_tests::{Answer, Service, World, eventually, load};
use order_events::{OrderEvent, Payload, UpdateOrderPayload};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::dead_letter_cases::in_partition;

/// Waits until there are so many letters; gives their offsets, the oldest first.
async fn letters(orders: &Service, count: usize) -> Vec<i64> {
    eventually(&format!("{count} letters"), async || {
        let page = orders.get("/dlq/messages?limit=1000").await.json;
        let rows = page["messages"].as_array()?;
        let offsets = rows.iter().rev().map(|row| row["dlq_offset"].as_i64().unwrap()).collect();
        (rows.len() == count).then_some(offsets)
    })
    .await
}

async fn redrive(orders: &Service, dlq_offset: i64, body: &Value) -> Answer {
    orders.send("POST", &format!("/dlq/messages/{dlq_offset}/redrive"), body).await
}

/// What became of a letter's event after it was sent again.
async fn outcome(orders: &Service, dlq_offset: i64) -> Value {
    eventually("the event is processed", async || {
        let letter = orders.get(&format!("/dlq/messages/{dlq_offset}")).await.json;
        let redrive = &letter["redrive"];
        let is_over = redrive["outcome"] == "applied" || redrive["dead_again"].is_i64();
        is_over.then(|| redrive.clone())
    })
    .await
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.json["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap())
}

#[tokio::test]
async fn a_letter_goes_back_with_its_bytes_and_once() {
    let world = World::shared().await.with("UPDATE_GRACE", "0s").with("REDRIVE_MAX_ATTEMPTS", "2");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let sent = cart.update("LATE", "confirmed").await;
    let letter = letters(&orders, 1).await[0];
    cart.create("LATE", 1).await;
    orders.order("LATE", |_| true).await;

    let redriven = redrive(&orders, letter, &json!({ "requestedBy": "Ada" })).await;
    assert_eq!(redriven.status, 200, "{}", redriven.text);
    orders.order("LATE", |order| order["status"] == "confirmed").await;
    let seen = outcome(&orders, letter).await;
    assert_eq!(
        (&seen["outcome"], &seen["by"], &seen["attempt"]),
        (&json!("applied"), &json!("Ada"), &json!(1))
    );
    assert_eq!((&seen["position"], &seen["at"]), (&redriven.json["position"], &redriven.json["at"]));

    let events = world.events().read();
    let at = |partition: &Value, offset: &Value| {
        events.iter().find(|event| event.partition == *partition && event.offset == *offset).unwrap()
    };
    let first = at(&sent.json["kafka"]["partition"], &sent.json["kafka"]["offset"]);
    let again = at(&redriven.json["partition"], &redriven.json["offset"]);
    assert_eq!((&again.key, &again.value, again.partition), (&first.key, &first.value, first.partition));
    assert_eq!(again.headers[..first.headers.len()], first.headers);
    let added: Vec<&str> =
        again.headers[first.headers.len()..].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(added, ["dlq-redrive-attempt", "dlq-redrive-origin"]);

    // Not once more, here or after a restart; but if it must be, and as often as is allowed.
    assert_eq!(told(&redrive(&orders, letter, &json!({})).await), (409, "already-redriven"));
    orders.stop().await;
    let orders = world.orders().await;
    assert_eq!(outcome(&orders, letter).await, seen);
    assert_eq!(told(&redrive(&orders, letter, &json!({})).await), (409, "already-redriven"));
    let forced = redrive(&orders, letter, &json!({ "force": true })).await;
    assert_eq!((forced.status.as_u16(), &forced.json["attempt"]), (200, &json!(2)), "{}", forced.text);
    assert_eq!(told(&redrive(&orders, letter, &json!({ "force": true })).await), (409, "too-many-redrives"));
    assert_eq!(told(&redrive(&orders, 1_000_000, &json!({})).await), (404, "unknown-dead-letter"));
    assert_eq!(
        told(&redrive(&orders, letter, &json!({ "force": 1, "fore": true })).await),
        (400, "invalid-request")
    );
}

#[tokio::test]
async fn an_update_does_not_undo_a_later_one() {
    let world = World::shared().await.with("STATUS_TRANSITIONS", "strict").with("UPDATE_GRACE", "0s");
    let (cart, orders) = (world.cart().await, world.orders().await);
    // Three updates before their order: the first two go back, in their order.
    for status in ["pending", "confirmed", "shipped"] {
        cart.update("EARLY", status).await;
    }
    let offsets = letters(&orders, 3).await;
    cart.create("EARLY", 1).await;
    orders.order("EARLY", |_| true).await;
    let dry =
        orders.send("POST", "/dlq/redrive", &json!({ "orderId": "EARLY", "limit": 2, "dryRun": true })).await;
    assert_eq!((dry.json["redriven"].as_array().unwrap().len(), &dry.json["remaining"]), (2, &json!(1)));
    assert_eq!(dry.json["next"], offsets[1]);
    assert_eq!(orders.get(&format!("/dlq/messages/{}", offsets[0])).await.json["redrive"], Value::Null);
    let body = json!({ "reason": "unknown_order", "category": "NO_RETRY_DLQ", "limit": 2 });
    let bulk = orders.send("POST", "/dlq/redrive", &body).await;
    assert_eq!((&bulk.json["dryRun"], &bulk.json["refused"]), (&json!(false), &json!([])), "{}", bulk.text);
    orders.order("EARLY", |order| order["status"] == "confirmed").await;
    assert_eq!(outcome(&orders, offsets[0]).await["outcome"], "applied");
    assert_eq!(outcome(&orders, offsets[1]).await["outcome"], "applied");

    // What is refused does not stand in the way of the rest.
    let rest = orders.send("POST", "/dlq/redrive", &json!({ "limit": 1, "after": offsets[2] })).await;
    assert_eq!((&rest.json["redriven"], &rest.json["next"]), (&json!([]), &Value::Null), "{}", rest.text);

    // Then the order goes on, and the third one is late.
    cart.update("EARLY", "delivered").await;
    orders.order("EARLY", |order| order["status"] == "delivered").await;
    assert_eq!(told(&redrive(&orders, offsets[2], &json!({})).await), (409, "superseded"));
    let bulk = orders.send("POST", "/dlq/redrive", &json!({})).await;
    assert_eq!(bulk.json["redriven"], json!([]));
    assert_eq!(bulk.json["refused"][0]["dlq_offset"], offsets[2]);
    assert_eq!(bulk.json["refused"][0]["problem"]["type"], "urn:order-pipeline:problem:superseded");
    let forced = redrive(&orders, offsets[2], &json!({ "force": true })).await;
    assert_eq!(forced.status, 200, "{}", forced.text);
    // The fold judges it by the rules of every update: delivered is the end.
    let end = outcome(&orders, offsets[2]).await;
    assert_eq!((&end["outcome"], &end["reason"]), (&json!("dead_lettered"), &json!("illegal_transition")));
}

#[tokio::test]
async fn a_letter_is_sent_once_also_if_that_was_forgotten() {
    let world = World::shared().await.with("UPDATE_GRACE", "0s").with("DLQ_INDEX_MAX", "1");
    let (cart, orders) = (world.cart().await, world.orders().await);
    for number in 0..4 {
        cart.update(&format!("N{number}"), "pending").await;
    }
    // Nothing creates the orders, so each becomes a letter again.
    let total = async |orders: &Service, count: usize| {
        eventually("the letters are there", async || {
            (orders.get("/dlq/stats").await.json["total_messages"] == count).then_some(())
        })
        .await;
    };
    total(&orders, 4).await;
    let records = world.dead_letters().read();
    for (sent, letter) in records[..3].iter().enumerate() {
        assert_eq!(redrive(&orders, letter.offset, &json!({})).await.status, 200);
        total(&orders, 4 + sent + 1).await;
    }
    // One letter and one note are in memory.
    let again = world.orders().await;
    total(&again, 7).await;
    for instance in [&orders, &again] {
        for letter in &records[..3] {
            let shown = instance.get(&format!("/dlq/messages/{}", letter.offset)).await.json;
            assert_eq!(shown["redrive"]["attempt"], 1, "{shown}");
            let refused = redrive(instance, letter.offset, &json!({})).await;
            assert_eq!(told(&refused), (409, "already-redriven"), "{}", refused.text);
        }
        let fourth = instance.get(&format!("/dlq/messages/{}", records[3].offset)).await.json;
        assert_eq!(fourth["redrive"], Value::Null);
    }
    assert_eq!(redrive(&again, records[3].offset, &json!({})).await.status, 200);
}

#[tokio::test]
async fn instances_that_are_asked_at_once_send_a_letter_once() {
    let world = World::shared().await.with("UPDATE_GRACE", "0s");
    let (cart, one, two) = (world.cart().await, world.orders().await, world.orders().await);
    for number in 0..10 {
        cart.update(&in_partition(number % 3, &format!("N{number}")), "pending").await;
    }
    let offsets = letters(&one, 10).await;
    assert_eq!(letters(&two, 10).await, offsets);
    let body = json!({});
    for letter in &offsets {
        let (first, second) = tokio::join!(redrive(&one, *letter, &body), redrive(&two, *letter, &body));
        // Who is not the one that did it is refused, or thrown out by the other.
        for answer in [first, second] {
            assert!(
                matches!(
                    told(&answer),
                    (200, _) | (409, "already-redriven") | (503, "redrive-failed" | "redrive-unknown")
                ),
                "{}",
                answer.text
            );
        }
    }
    eventually("each of them is sent", async || {
        let mut sent = 0;
        for letter in &offsets {
            sent += usize::from(redrive(&one, *letter, &json!({})).await.status == 409);
        }
        (sent == offsets.len()).then_some(())
    })
    .await;
    let sent_again =
        world.events().read().into_iter().filter(|event| event.header("dlq-redrive-attempt").is_some());
    assert_eq!(sent_again.count(), offsets.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_that_nothing_was_sent_while_kafka_is_away() {
    let world = World::own().await.with("UPDATE_GRACE", "0s");
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.update("LATE", "pending").await;
    let letter = letters(&orders, 1).await[0];
    let broker = world.stack().broker();
    block_in_place(|| broker.pause().unwrap());
    let failed = redrive(&orders, letter, &json!({})).await;
    block_in_place(|| broker.resume().unwrap());
    assert_eq!(told(&failed), (503, "redrive-failed"), "{}", failed.text);
    assert!(failed.header("retry-after").is_some());
    eventually("it is sent", async || {
        matches!(told(&redrive(&orders, letter, &json!({})).await), (200, _) | (409, "already-redriven"))
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_letter_is_told_without_kafka() {
    let world = World::own().await.with("UPDATE_GRACE", "0s");
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.update("LATE", "pending").await;
    let letter = letters(&orders, 1).await[0];
    assert_eq!(redrive(&orders, letter, &json!({})).await.status, 200);
    outcome(&orders, letter).await;
    let records = world.dead_letters().read();
    let note = records.iter().find(|record| record.header("dlq-redrive-of").is_some()).unwrap().offset;
    block_in_place(|| world.stack().broker().pause().unwrap());
    // Behind every transaction is a mark of its end.
    for offset in [note, note + 1, letter + 1, 1_000_000] {
        let missing = orders.get(&format!("/dlq/messages/{offset}")).await;
        assert_eq!(told(&missing), (404, "unknown-dead-letter"), "{offset}");
    }
    block_in_place(|| world.stack().broker().resume().unwrap());
}

#[tokio::test]
async fn with_a_token_only_who_has_it_sends_letters_again() {
    let world = World::shared().await.with("UPDATE_GRACE", "0s").with("ADMIN_TOKEN", "a-secret-of-sixteen");
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.update("NOBODY", "pending").await;
    let letter = letters(&orders, 1).await[0];
    for path in [format!("/dlq/messages/{letter}/redrive"), "/dlq/redrive".to_owned()] {
        let refused = orders.send("POST", &path, &json!({})).await;
        assert_eq!(told(&refused), (401, "unauthorized"));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"orders\""));
        let wrong = Answer::to(orders.request(Method::POST, &path).bearer_auth("another")).await;
        assert_eq!(wrong.status, 401);
    }
    let path = format!("/dlq/messages/{letter}/redrive");
    let sent = Answer::to(orders.request(Method::POST, &path).bearer_auth("a-secret-of-sixteen")).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    assert!(!orders.log().contains("a-secret-of-sixteen"));
}

/// It is larger than the topic takes, as it is when it is not compressed.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_compressed_goes_back_compressed() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    assert_eq!(cart.create("ORDER-1", 1).await.status, 201);
    let codec = load::codec(&world).await;
    let update = Payload::Update(UpdateOrderPayload { status: "s".repeat(1_200_000) });
    let (event_type, timestamp) = (update.event_type(), "2026-01-30T15:00:00Z".to_owned());
    let event = OrderEvent { event_type, order_id: "ORDER-2".to_owned(), timestamp, payload: update };
    let mut value = Vec::new();
    codec.encode(&event, &mut value).unwrap();
    world.events().write_compressed(Some(b"ORDER-2"), Some(&value), &[], "zstd").await;
    let letter = letters(&orders, 1).await[0];
    let answer = redrive(&orders, letter, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}
