//! One event for each reason to be dead-lettered.

use end_to_end_tests::{Answer, Record, Service, World, murmur2};
use order_events::Reason;
use reqwest::Method;
use serde_json::{Value, json};

/// An event that cannot be processed.
pub(crate) struct Case {
    /// Why.
    pub(crate) reason: Reason,
    /// Where it is in the events topic.
    pub(crate) place: (i32, i64),
    /// A part of what people are told.
    pub(crate) says: &'static str,
    /// What becomes of it when it is sent again after the causes are mended; or the status of the refusal.
    pub(crate) redriven: Result<&'static str, u16>,
}

/// An order id of three partitions' first, second or third, that begins so.
pub(crate) fn in_partition(partition: i32, start: &str) -> String {
    let mut ids = (0..).map(|number| format!("{start}-{number}"));
    ids.find(|id| murmur2::partition(id.as_bytes(), 3) == partition).unwrap()
}

fn place(answer: &Answer) -> (i32, i64) {
    assert!(answer.status.is_success(), "{}", answer.text);
    let kafka = &answer.json["kafka"];
    (i32::try_from(kafka["partition"].as_i64().unwrap()).unwrap(), kafka["offset"].as_i64().unwrap())
}

async fn event_at(world: &World, place: (i32, i64)) -> Record {
    let mut events = world.events().read().into_iter();
    events.find(|event| (event.partition, event.offset) == place).unwrap()
}

/// Writes a CREATE whose customer ends with f.
pub(crate) async fn failing_create(world: &World, cart: &Service, id: &str) -> (i32, i64) {
    // Any order with an id of the same length has the same bytes around it.
    let other: String = "Z".repeat(id.len());
    let mut value = event_at(world, place(&cart.create(&other, 1).await)).await.value.unwrap();
    let at = |value: &[u8], text: &str| {
        value.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
    };
    let start = at(&value, &other);
    value[start..start + id.len()].copy_from_slice(id.as_bytes());
    let customer = at(&value, "CUST-");
    value[customer + "CUST-12345678".len() - 1] = b'f';
    world.events().write(Some(id.as_bytes()), Some(&value), &[]).await
}

async fn with_key(cart: &Service, path: &str, body: &Value) -> Answer {
    let request = cart.request(Method::POST, path).header("idempotency-key", "one key").json(body);
    Answer::to(request).await
}

/// An event for each reason; what had to come before it is applied.
pub(crate) async fn cases(world: &World, cart: &Service, orders: &Service) -> Vec<Case> {
    let created = place(&cart.create("SHIPPED", 1).await);
    cart.update("SHIPPED", "shipped").await;
    with_key(cart, "/create-order", &json!({ "orderId": "KEYED", "itemsCount": 1 })).await;
    orders.order("SHIPPED", |order| order["status"] == "shipped").await;
    orders.order("KEYED", |_| true).await;
    let value = event_at(world, created).await.value.unwrap();
    let unknown_schema = [&[0, 0x7f, 0xff, 0xff, 0xff], &value[5..]].concat();
    let reused = with_key(cart, "/update-order", &json!({ "orderId": "KEYED", "status": "pending" })).await;

    let events = world.events();
    let case = |reason, place, says, redriven| Case { reason, place, says, redriven };
    let dead = Ok("dead_lettered");
    vec![
        case(
            Reason::Undecodable,
            events.write(Some(b"SHIPPED"), Some(b"rubbish"), &[("own", "header")]).await,
            "",
            Err(422),
        ),
        case(
            Reason::UnknownSchema,
            events.write(Some(b"SHIPPED"), Some(&unknown_schema), &[]).await,
            "2147483647",
            Err(422),
        ),
        case(Reason::InvalidEvent, events.write(Some(b"ANOTHER"), Some(&value), &[]).await, "ANOTHER", dead),
        case(Reason::DuplicateOrder, place(&cart.create("SHIPPED", 1).await), "exists already", dead),
        case(
            Reason::UnknownOrder,
            place(&cart.update("NOBODY", "confirmed").await),
            "no CREATE",
            Ok("applied"),
        ),
        case(
            Reason::IllegalTransition,
            place(&cart.update("SHIPPED", "pending").await),
            "cannot become",
            dead,
        ),
        case(Reason::IdempotencyConflict, place(&reused), "the same id", dead),
        case(
            Reason::ProcessingFailed,
            failing_create(world, cart, "FAILS").await,
            "FAILURE_INJECTION_CUSTOMER_SUFFIX",
            Ok("applied"),
        ),
    ]
}
