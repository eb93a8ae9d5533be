//! Records that are no events do not stop the events behind them.

use end_to_end_tests::{World, eventually, load, murmur2, python};
use order_events::{CreateOrderPayload, EventCodec, OrderEvent, OrderItem, Payload};
use serde_json::{Value, json};
use tokio::task::block_in_place;

#[tokio::test]
async fn consumption_goes_on_behind_every_kind_of_rubbish() {
    let world = World::shared().await;
    let cart = world.cart().await;
    let created = cart.create("ORDER-1", 2).await;
    let events = world.events();
    let good = events.read().remove(0);
    let value = good.value.as_deref().unwrap();
    let truncated = &value[..value.len() - 1];
    let trailing = [value, &[0]].concat();
    let unknown_schema = [&[0, 0x7f, 0xff, 0xff, 0xff], &value[5..]].concat();
    let key = good.key.as_deref();

    events.write(key, None, &[]).await;
    for rubbish in [b"".as_slice(), b"{\"json\": true}", truncated, &trailing, &[0; 4]] {
        events.write(key, Some(rubbish), &[]).await;
    }
    events.write(key, Some(&unknown_schema), &[]).await;
    events.write(None, Some(value), &[]).await;
    events.write(Some(b"another key"), Some(value), &[]).await;
    // The same event once more, known by its id; and once more without one.
    let id = created.json["eventId"].as_str().unwrap();
    events.write(key, Some(value), &[("ce_id", id)]).await;
    events.write(key, Some(value), &[]).await;

    let orders = world.orders().await;
    cart.update("ORDER-1", "shipped").await;
    orders.order("ORDER-1", |order| order["status"] == "shipped").await;

    let counted = [
        (r#"outcome="dead_lettered",reason="undecodable""#, 6.0),
        (r#"outcome="dead_lettered",reason="unknown_schema""#, 1.0),
        (r#"outcome="dead_lettered",reason="invalid_event""#, 2.0),
        (r#"outcome="dead_lettered",reason="duplicate_order""#, 1.0),
        (r#"outcome="duplicate",reason="""#, 1.0),
        (r#"outcome="applied",reason="""#, 2.0),
    ];
    for (labels, count) in counted {
        let name = format!("order_events_consumed_total{{{labels}}}");
        eventually(&format!("{name} is {count}"), async || {
            orders.metric(&name).await.filter(|value| *value == count)
        })
        .await;
    }
    let ids = orders.get(&format!("/getAllOrderIdsFromTopic?topic={}", world.topic())).await;
    assert_eq!(ids.json["orderIds"], serde_json::json!(["ORDER-1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_whose_name_is_not_text_is_one_dead_letter() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 2).await;
    let value = world.events().read().remove(0).value.unwrap();
    let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let servers = world.stack().bootstrap_servers();
    block_in_place(|| python::run("odd_headers.py", &[&servers, world.topic(), "ORDER-1"], &value));
    cart.update("ORDER-1", "shipped").await;
    orders.order("ORDER-1", |order| order["status"] == "shipped").await;
    let letters = world.dead_letters().read();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter.header("dlq-reason").as_deref(), Some("invalid_event"));
    // What can be kept of its headers is.
    assert_eq!(letter.header("fine").as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_record_that_a_broker_takes_is_one_dead_letter() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let large = vec![b'x'; 1_048_400];
    world.events().write(Some(b"ORDER-1"), Some(&large), &[]).await;
    cart.create("ORDER-1", 1).await;
    orders.order("ORDER-1", |_| true).await;
    let letters = world.dead_letters().read();
    assert_eq!((letters.len(), letters[0].value.as_ref()), (1, Some(&large)));
}

/// An order id whose events are in this partition.
fn order_in(partition: i32, number: usize) -> String {
    let mut ids = (0..).map(|more| format!("ORDER-{number}-{more}"));
    ids.find(|id| murmur2::partition(id.as_bytes(), 3) == partition).unwrap()
}

/// Each byte of the key is no text, and takes three when it is quoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_key_is_one_dead_letter_with_a_short_message() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    cart.create("ORDER-1", 1).await;
    let event = world.events().read().remove(0);
    let key = vec![0xff; 900_000];
    let (partition, _) = world.events().write(Some(&key), event.value.as_deref(), &[]).await;
    let behind = order_in(partition, 0);
    assert_eq!(cart.create(&behind, 1).await.status, 201);
    orders.order(&behind, |_| true).await;
    let letters = world.dead_letters().read();
    let [letter] = letters.as_slice() else { panic!("{} letters", letters.len()) };
    assert_eq!((letter.key.as_ref(), letter.value.as_ref()), (Some(&key), event.value.as_ref()));
    assert_eq!(letter.header("dlq-reason").as_deref(), Some("invalid_event"));
    assert!(letter.header("kafka_dlt-exception-message").unwrap().len() < 1100);
    let page = orders.get("/dlq/messages").await;
    assert_eq!(page.json["messages"][0]["orderId"], Value::Null);
}

fn large_create(codec: &EventCodec, order_id: &str) -> Vec<u8> {
    let payload = Payload::Create(CreateOrderPayload {
        customer_id: "c".repeat(2_000_000),
        order_date: "2026-01-30T15:00:00Z".to_owned(),
        items: vec![OrderItem { item_id: "ITEM-1".to_owned(), quantity: 1, price: 1.0 }],
        total_amount: 1.0,
        currency: "USD".to_owned(),
        status: "new".to_owned(),
    });
    let (event_type, timestamp) = (payload.event_type(), "2026-01-30T15:00:00Z".to_owned());
    let mut value = Vec::new();
    let event = OrderEvent { event_type, order_id: order_id.to_owned(), timestamp, payload };
    codec.encode(&event, &mut value).unwrap();
    value
}

/// Brokers limit what is compressed, clients what is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_be_written_back_is_one_dead_letter() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let (large, huge, behind) = (order_in(1, 0), order_in(1, 1), order_in(1, 2));
    let event = large_create(&load::codec(&world).await, &large);
    let garbage = vec![1; 8_000_000];
    for (id, value) in [(&large, &event), (&huge, &garbage)] {
        world.events().write_compressed(Some(id.as_bytes()), Some(value), &[("own", "1")], "zstd").await;
    }
    // It would fit, if its headers did not take some bytes more than their content.
    let content = "b".repeat(38);
    let headers = vec![("a", content.as_str()); 99_000];
    world.events().write_compressed(Some(huge.as_bytes()), Some(b"x"), &headers, "zstd").await;
    assert_eq!(cart.create(&behind, 1).await.status, 201);
    orders.order(&behind, |_| true).await;
    let letters = world.dead_letters().read();
    let [whole, told, of_headers] = letters.as_slice() else { panic!("{} letters", letters.len()) };
    assert_eq!((of_headers.value.as_ref(), of_headers.header("a")), (None, None));
    assert_eq!((whole.value.as_ref(), whole.header("own").as_deref()), (Some(&event), Some("1")));
    assert_eq!(whole.header("dlq-reason").as_deref(), Some("invalid_event"));
    assert_eq!((told.value.as_ref(), told.header("own")), (None, None));
    assert_eq!(told.key.as_deref(), Some(huge.as_bytes()));
    let size = (huge.len() + garbage.len() + "own1".len() + 10).to_string();
    assert_eq!(told.header("dlq-omitted").as_deref(), Some(size.as_str()));
    for letter in [whole, told] {
        let path = format!("/dlq/messages/{}/redrive", letter.offset);
        assert_eq!(orders.send("POST", &path, &json!({})).await.status, 422);
    }
}
