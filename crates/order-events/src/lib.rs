//! The contract between the services: event models, the Avro codec, topics and Kafka client settings.
//!
//! `cart-service` writes [`OrderEvent`]s and `order-service` reads them; what both must agree on is here, and
//! nothing else. An event goes through [`EventCodec`] into a record's value, [`headers`] beside it and the
//! [order id](OrderId) as its key.

pub mod bootstrap;
pub mod client_log;
pub mod codec;
pub mod config;
pub mod event_report;
mod event_schema;
pub mod headers;
pub mod model;
pub mod money;
pub mod order_id;
pub mod partitioner;
pub mod permission;
pub mod position;
pub mod registry;
mod schema_size;
pub mod status;
pub mod topic_settings;
pub mod topics;
pub mod trace_context;

pub use client_log::ClientLog;
pub use codec::EventCodec;
pub use event_report::{EventOutcome, EventReport, Reason};
pub use model::{CreateOrderPayload, EventType, OrderEvent, OrderItem, Payload, UpdateOrderPayload};
pub use order_id::OrderId;
pub use partitioner::partition_of;
pub use position::{Place, Position};
pub use registry::SchemaRegistry;
pub use status::Status;
pub use trace_context::TraceContext;
