//! Large events.

use std::time::Duration;

use order_events::headers::EventHeaders;
use order_events::{CreateOrderPayload, EventType, OrderEvent, OrderItem, Payload, TraceContext};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::load::codec;
use crate::world::World;

/// With items of some 110 bytes, the event has 1.4 MB.
const ITEMS: usize = 12_600;

/// Puts copies of one event into a world's topic, into its partitions by turns. Each has 1.4 MB, of which compression leaves
/// some hundred bytes: what a broker sends in one answer may become thousands of times as large.
pub async fn write_copies(world: &World, copies: usize, partitions: usize) {
    let timestamp = "2026-01-30T15:00:00.123Z".to_owned();
    let item = OrderItem { item_id: format!("ITEM-{:095}", 1), quantity: 1, price: 19.99 };
    let payload = Payload::Create(CreateOrderPayload {
        customer_id: "CUST-1".into(),
        order_date: timestamp.clone(),
        items: vec![item; ITEMS],
        total_amount: 251_874.0,
        currency: "USD".into(),
        status: "new".into(),
    });
    let event_type = EventType::Create;
    let event = OrderEvent { event_type, order_id: "LARGE".into(), timestamp, payload };
    let mut value = Vec::new();
    codec(world).await.encode(&event, &mut value).unwrap();
    let (id, trace) = (Uuid::new_v4().to_string(), TraceContext::start());
    let headers = EventHeaders { id: &id, event_type, source: "/large", time: &event.timestamp, trace };
    let headers = headers.to_kafka();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", world.stack().bootstrap_servers())
        .set("compression.type", "zstd")
        .set("message.max.bytes", "2000000")
        .set("queue.buffering.max.kbytes", "131072")
        .create()
        .unwrap();
    block_in_place(|| {
        for partition in (0..partitions).cycle().take(copies) {
            let mut record = BaseRecord::to(world.topic())
                .partition(i32::try_from(partition).unwrap())
                .key(&event.order_id)
                .payload(&value)
                .headers(headers.clone());
            while let Err((error, back)) = producer.send(record) {
                assert!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "{error}"
                );
                record = back;
                producer.poll(Duration::from_millis(10));
            }
        }
        producer.flush(Duration::from_secs(120)).unwrap();
    });
}
