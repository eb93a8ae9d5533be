//! `schemas/order-event.avsc`, and how an event is taken out of what another version of it wrote.

use std::collections::HashMap;
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::types::Value;

use crate::codec::{AvroRecord, typed, variant_name};
use crate::model::{OrderEvent, Payload};

const EVENT: &str = "com.ecommerce.order.OrderEvent";
const CREATE: &str = "com.ecommerce.order.CreateOrderPayload";
const UPDATE: &str = "com.ecommerce.order.UpdateOrderPayload";

impl AvroRecord for OrderEvent {
    const SCHEMA: &'static str = include_str!("../../../schemas/order-event.avsc");

    fn schema() -> &'static Schema {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the text is part of the program, and every test parses it"
            )]
            Schema::parse_str(OrderEvent::SCHEMA).expect("schemas/order-event.avsc is an Avro schema")
        });
        &SCHEMA
    }

    fn check_written(schema: &Schema) -> Result<(), String> {
        match schema.name().map(|name| name.fullname(None)) {
            Some(name) if name == EVENT && matches!(schema, Schema::Record(_)) => Ok(()),
            Some(name) => Err(format!("it is {name}, not {EVENT}")),
            None => Err(format!("it is not {EVENT}")),
        }
    }

    fn from_written(value: Value, schema: &Schema) -> Result<Self, String> {
        let (Schema::Record(record), Value::Record(fields)) = (schema, value) else {
            return Err("it is not a record".to_owned());
        };
        let mut fields: HashMap<String, Value> = fields.into_iter().collect();
        let mut field = |name: &str| fields.remove(name).ok_or_else(|| format!("it has no {name}"));
        let payload = field("payload")?;
        let union = record.fields.iter().find(|field| field.name == "payload").map(|field| &field.schema);
        let branch = union.and_then(|union| variant_name(union, &payload));
        let payload = match (branch.as_deref(), payload) {
            (Some(CREATE), Value::Union(_, create)) => Payload::Create(typed(&create)?),
            (Some(UPDATE), Value::Union(_, update)) => Payload::Update(typed(&update)?),
            (other, _) => return Err(format!("its payload is {}", other.unwrap_or("no record"))),
        };
        Ok(Self {
            event_type: typed(&field("eventType")?)?,
            order_id: typed(&field("orderId")?)?,
            timestamp: typed(&field("timestamp")?)?,
            payload,
        })
    }
}
