//! The codec and Python's fastavro write the same bytes for the same event, and read each other's.

use std::fmt::Write;

use end_to_end_tests::{World, load, python, seed};
use order_events::codec::AvroRecord;
use order_events::{CreateOrderPayload, OrderEvent, OrderItem, Payload, UpdateOrderPayload};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const EVENTS: usize = 2000;

#[tokio::test]
async fn both_write_the_same_bytes_and_read_each_other() {
    let world = World::shared().await;
    let codec = load::codec(&world).await;
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);

    // Ours: fastavro reads the value that we wrote, and writes it with the same bytes.
    let mut frame = [0; 5];
    let mut ours = OrderEvent::SCHEMA.replace('\n', " ") + "\n";
    for _ in 0..EVENTS {
        let event = random_event(&mut rng);
        let mut bytes = Vec::new();
        codec.encode(&event, &mut bytes).unwrap();
        frame.copy_from_slice(&bytes[..5]);
        writeln!(ours, "{}", json!({ "event": to_json(&event), "bytes": to_hex(&bytes[5..]) })).unwrap();
    }

    // Theirs: the script checks ours, then prints as many of its own.
    let theirs = python::run("avro_peer.py", &[&seed.to_string()], &ours);
    let mut read = 0;
    for line in theirs.lines() {
        let peer: Value = serde_json::from_str(line).unwrap();
        let framed = [&frame[..], &from_hex(peer["bytes"].as_str().unwrap())].concat();
        let event =
            codec.decode(Some(&framed)).unwrap_or_else(|error| panic!("seed {seed}: {error}: {line}"));
        assert_eq!(to_json(&event), peer["event"], "seed {seed}");
        let mut bytes = Vec::new();
        codec.encode(&event, &mut bytes).unwrap();
        assert_eq!(bytes, framed, "seed {seed}: {line}");
        read += 1;
    }
    assert_eq!(read, EVENTS);
}

fn random_event(rng: &mut StdRng) -> OrderEvent {
    let payload = if rng.random_bool(0.6) {
        let items = match rng.random_range(0..4) {
            0 => 0,
            1 => 200,
            _ => rng.random_range(1..8),
        };
        let item = |rng: &mut StdRng| OrderItem {
            item_id: text(rng),
            quantity: *[0, 1, -1, i32::MIN, i32::MAX, rng.random()].choose(rng).unwrap(),
            price: double(rng),
        };
        Payload::Create(CreateOrderPayload {
            customer_id: text(rng),
            order_date: text(rng),
            items: (0..items).map(|_| item(rng)).collect(),
            total_amount: double(rng),
            currency: text(rng),
            status: text(rng),
        })
    } else {
        Payload::Update(UpdateOrderPayload { status: text(rng) })
    };
    OrderEvent { event_type: payload.event_type(), order_id: text(rng), timestamp: text(rng), payload }
}

fn text(rng: &mut StdRng) -> String {
    let parts = ["", "a", "order", "é", "漢字", "\u{1f6d2}", "\u{0}", "\"\\\n", "\u{202e}", " "];
    (0..rng.random_range(0..12)).map(|_| *parts.choose(rng).unwrap()).collect()
}

fn double(rng: &mut StdRng) -> f64 {
    let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 0.1, 59.98];
    if rng.random() { *special.choose(rng).unwrap() } else { f64::from_bits(rng.random()) }
}

/// The event as JSON, doubles by their bits: JSON has no NaN. Every NaN is the same one.
fn to_json(event: &OrderEvent) -> Value {
    let bits = |double: f64| {
        if double.is_nan() { json!("nan") } else { json!(format!("{:016x}", double.to_bits())) }
    };
    let payload = match &event.payload {
        Payload::Create(create) => json!({
            "customerId": create.customer_id,
            "orderDate": create.order_date,
            "items": create.items.iter().map(|item| {
                json!({ "itemId": item.item_id, "quantity": item.quantity, "price": bits(item.price) })
            }).collect::<Vec<_>>(),
            "totalAmount": bits(create.total_amount),
            "currency": create.currency,
            "status": create.status,
        }),
        Payload::Update(update) => json!({ "status": update.status }),
    };
    json!({
        "eventType": event.event_type.as_str(),
        "orderId": event.order_id,
        "timestamp": event.timestamp,
        "payload": payload,
    })
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
