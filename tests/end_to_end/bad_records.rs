//! Records that are no events do not stop the events behind them.

use end_to_end_tests::{World, eventually, python};
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
