//! Events by the hundred thousand, straight into Kafka.

use std::ops::Range;
use std::time::Duration;

use order_events::config::RegistryConfig;
use order_events::headers::EventHeaders;
use order_events::{
    CreateOrderPayload, EventCodec, EventType, OrderEvent, OrderItem, Payload, SchemaRegistry, TraceContext,
    UpdateOrderPayload,
};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use uuid::Uuid;

use crate::world::World;

/// Writes events as cart-service does, with its headers and its partitioner.
pub struct Load {
    codec: EventCodec,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
    topic: String,
}

impl Load {
    /// Into the events topic of a world.
    pub async fn new(world: &World) -> Self {
        let codec = codec(world).await;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", world.stack().bootstrap_servers())
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .create()
            .unwrap();
        Self { codec, producer, topic: world.topic().to_owned() }
    }

    /// An order of three items for each number.
    pub async fn creates(&self, numbers: Range<u32>) {
        for number in numbers {
            self.write(number, create(number));
        }
        self.flush();
    }

    /// A new status for each number.
    pub async fn updates(&self, numbers: Range<u32>) {
        for number in numbers {
            self.write(number, Payload::Update(UpdateOrderPayload { status: "confirmed".into() }));
        }
        self.flush();
    }

    fn write(&self, number: u32, payload: Payload) {
        let event_type: EventType = payload.event_type();
        let timestamp = "2026-01-30T15:00:00.123Z".to_owned();
        let event = OrderEvent { event_type, order_id: format!("ORD-{number}"), timestamp, payload };
        let mut value = Vec::with_capacity(256);
        self.codec.encode(&event, &mut value).unwrap();
        let id = Uuid::new_v4().to_string();
        let trace = TraceContext::start();
        let headers =
            EventHeaders { id: &id, event_type, source: "/cart-service", time: &event.timestamp, trace };
        let mut record =
            BaseRecord::to(&self.topic).key(&event.order_id).payload(&value).headers(headers.to_kafka());
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }
}

/// The codec of a world's events.
pub async fn codec(world: &World) -> EventCodec {
    registry(world).codec(world.topic()).await.unwrap()
}

/// A client of a world's schema registry.
pub fn registry(world: &World) -> SchemaRegistry {
    let config = RegistryConfig {
        url: world.stack().registry_url(),
        basic_auth: None,
        auto_register: true,
        timeout: Duration::from_secs(30),
    };
    SchemaRegistry::new(config).unwrap()
}

fn create(number: u32) -> Payload {
    let items = (0..3).map(|item| OrderItem {
        item_id: format!("ITEM-{:08}", number.wrapping_mul(31) + item),
        quantity: 1 + i32::try_from(item).unwrap(),
        price: 19.99 + f64::from(item),
    });
    Payload::Create(CreateOrderPayload {
        customer_id: format!("CUST-{:08}", number % 10_000),
        order_date: "2026-01-30T15:00:00.123Z".into(),
        items: items.collect(),
        total_amount: 130.94,
        currency: "USD".into(),
        status: "new".into(),
    })
}
