//! Records that are no events do not stop the events behind them.

use end_to_end_tests::{World, eventually};

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
