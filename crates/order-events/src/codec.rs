//! Events to bytes and back: Avro in the registry's framing.
//!
//! A union of records has several decoding paths in apache-avro that swap branches or take half a record for
//! a whole one without an error (apache/avro-rs#365 is one). The paths here are those that do neither:
//!
//! - our own schema, by whatever id: straight into the Rust type, which fails on every missing byte;
//! - any other schema: into a generic value with the *writer's* schema and no resolution, then the branch by
//!   the *name* that the writer's union gives it, never by its place or by what fits;
//! - never a byte too few or too many: a reader that remembers having hit the end, and a look at what is left.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use thiserror::Error;

use crate::model::{OrderEvent, Payload};
use crate::registry::{FetchError, RegisterError, Registry, SchemaId};

/// The schema of the events, as in `schemas/order-event.avsc`.
pub const ORDER_EVENT_SCHEMA: &str = include_str!("../../../schemas/order-event.avsc");

/// The first byte of a framed value; four bytes of schema id follow, the most significant first.
const MAGIC: u8 = 0;
const FRAME_LEN: usize = 5;

/// The most memory that one declared length may take while decoding; a record's limit in Kafka is far below.
const MAX_ALLOCATION: usize = 32 * 1024 * 1024;

const EVENT: &str = "com.ecommerce.order.OrderEvent";
const CREATE: &str = "com.ecommerce.order.CreateOrderPayload";
const UPDATE: &str = "com.ecommerce.order.UpdateOrderPayload";

static OWN_SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
    #[expect(clippy::expect_used, reason = "the text is part of the program, and a test parses it")]
    Schema::parse_str(ORDER_EVENT_SCHEMA).expect("schemas/order-event.avsc is an Avro schema")
});

/// Why bytes are not an event and never will be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Undecodable {
    /// A tombstone: a key with no value.
    #[error("the record has no value")]
    NoValue,
    /// The value does not begin with the magic byte and a schema id.
    #[error("the value is not framed by a schema registry (a zero byte and a 4-byte schema id)")]
    NotFramed,
    /// The registry knows no schema with this id.
    #[error("the schema registry knows no schema with id {id}")]
    UnknownSchema {
        /// The id in the frame.
        id: SchemaId,
    },
    /// The registry has that id, but what it has is of no use.
    #[error("the schema with id {id} cannot be used: {reason}")]
    UnusableSchema {
        /// The id in the frame.
        id: SchemaId,
        /// Why not.
        reason: String,
    },
    /// The bytes are not what the schema says, or what it says is not an order event.
    #[error("the value is not an order event by the schema with id {id}: {reason}")]
    NotAnEvent {
        /// The id in the frame.
        id: SchemaId,
        /// Why not.
        reason: String,
    },
}

/// Why a value was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// For ever.
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    /// The schema was not fetched yet: [`EventCodec::fetch_schema`], then decode again.
    #[error("the schema with id {0} was not fetched yet")]
    SchemaNeeded(SchemaId),
}

/// An event that does not fit its own schema; the types make this all but impossible.
#[derive(Debug, Error)]
#[error("the event cannot be encoded: {0}")]
pub struct EncodeError(Box<apache_avro::Error>);

/// Encodes and decodes the events of one topic. Cheap to share by reference; every method takes `&self`.
pub struct EventCodec {
    registry: Arc<Registry>,
    own_id: SchemaId,
    writer: GenericDatumWriter<'static>,
    schemas: RwLock<HashMap<SchemaId, Arc<WriterSchema>>>,
}

impl EventCodec {
    /// Registers (or looks up) the schema of the events under `<topic>-value` (TopicNameStrategy).
    ///
    /// # Errors
    /// See [`RegisterError`]; only `Unavailable` is worth another attempt.
    pub async fn register(registry: Arc<Registry>, topic: &str) -> Result<Self, RegisterError> {
        let own_id = registry.schema_id(&format!("{topic}-value"), ORDER_EVENT_SCHEMA).await?;
        Ok(Self::new(registry, own_id))
    }

    #[expect(
        clippy::expect_used,
        reason = "the schema is part of the program, and every test goes through here"
    )]
    fn new(registry: Arc<Registry>, own_id: SchemaId) -> Self {
        let writer = GenericDatumWriter::builder(&OWN_SCHEMA).build().expect("the schema resolves");
        let own = WriterSchema::new(&OWN_SCHEMA).expect("the schema resolves");
        Self { registry, own_id, writer, schemas: RwLock::new(HashMap::from([(own_id, Arc::new(own))])) }
    }

    /// Appends the framed bytes of `event` to `out`. On an error `out` is as it was.
    ///
    /// # Errors
    /// The event does not fit the schema.
    pub fn encode(&self, event: &OrderEvent, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.push(MAGIC);
        out.extend_from_slice(&self.own_id.to_be_bytes());
        match self.writer.write_ser(out, event) {
            Ok(_) => Ok(()),
            Err(error) => {
                out.truncate(start);
                Err(EncodeError(Box::new(error)))
            }
        }
    }

    /// Decodes a record's value. Never asks the network: see [`DecodeError::SchemaNeeded`].
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(&self, value: Option<&[u8]>) -> Result<OrderEvent, DecodeError> {
        let (id, body) = unframe(value)?;
        let schema = self.schemas.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let schema = schema.ok_or(DecodeError::SchemaNeeded(id))?;
        schema.decode(body).map_err(|reason| Undecodable::NotAnEvent { id, reason }.into())
    }

    /// Fetches the schema with this id, so that [`decode`](Self::decode) knows it from now on.
    ///
    /// # Errors
    /// See [`FetchError`]; only `Unavailable` is worth another attempt.
    pub async fn fetch_schema(&self, id: SchemaId) -> Result<(), FetchError> {
        let fetched = self.registry.schema(id).await?;
        // A schema lives as long as the program, each id once: what is leaked is what the cache would keep.
        let schema: &'static Schema = Box::leak(Box::new(fetched.parsed.clone()));
        let schema =
            WriterSchema::new(schema).map_err(|reason| Undecodable::UnusableSchema { id, reason })?;
        self.schemas.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(schema));
        Ok(())
    }
}

/// Splits a value into its schema id and its Avro bytes.
fn unframe(value: Option<&[u8]>) -> Result<(SchemaId, &[u8]), Undecodable> {
    let value = value.ok_or(Undecodable::NoValue)?;
    match value.split_first_chunk::<FRAME_LEN>() {
        Some((&[MAGIC, a, b, c, d], body)) => Ok((SchemaId::from_be_bytes([a, b, c, d]), body)),
        _ => Err(Undecodable::NotFramed),
    }
}

/// A schema that records were written with, ready to read them.
struct WriterSchema {
    reader: GenericDatumReader<'static>,
    /// The writer's payload branches in its own order, or `None` when the schema is ours word for word.
    branches: Option<Vec<Branch>>,
}

/// What a branch of a writer's payload union is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branch {
    Create,
    Update,
    /// Of a newer writer; nothing we could fold.
    Unknown,
}

impl WriterSchema {
    fn new(schema: &'static Schema) -> Result<Self, String> {
        let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
        // Other programs register their own text of our schema under another id. Two schemas with the same
        // Parsing Canonical Form write the same bytes.
        let is_ours = schema.canonical_form() == OWN_SCHEMA.canonical_form();
        let branches = if is_ours { None } else { Some(branches(schema)?) };
        Ok(Self { reader, branches })
    }

    fn decode(&self, body: &[u8]) -> Result<OrderEvent, String> {
        let mut input = Input { rest: body, hit_the_end: false };
        let event = match &self.branches {
            None => self.reader.read_deser(&mut input).map_err(|error| error.to_string()),
            Some(branches) => {
                let value = self.reader.read_value(&mut input).map_err(|error| error.to_string());
                value.and_then(|value| from_writers_value(value, branches))
            }
        };
        if input.hit_the_end {
            return Err("it ends too early".to_owned());
        }
        match input.rest.len() {
            0 => event,
            _ if event.is_err() => event,
            left => Err(format!("{left} bytes follow its end")),
        }
    }
}

/// The branches of the payload's union in a writer's schema of the event.
fn branches(schema: &Schema) -> Result<Vec<Branch>, String> {
    let Schema::Record(record) = schema else {
        return Err("it is not a record".to_owned());
    };
    let name = record.name.fullname(None);
    if name != EVENT {
        return Err(format!("it is {name}, not {EVENT}"));
    }
    let payload = record.fields.iter().find(|field| field.name == "payload").map(|field| &field.schema);
    let Some(Schema::Union(payload)) = payload else {
        return Err("it has no union called payload".to_owned());
    };
    let branch = |variant: &Schema| match variant.name().map(|name| name.fullname(None)).as_deref() {
        Some(CREATE) => Branch::Create,
        Some(UPDATE) => Branch::Update,
        _ => Branch::Unknown,
    };
    Ok(payload.variants().iter().map(branch).collect())
}

/// Takes an event out of a value that was read with the writer's schema.
fn from_writers_value(value: Value, branches: &[Branch]) -> Result<OrderEvent, String> {
    let Value::Record(fields) = value else {
        return Err("it is not a record".to_owned());
    };
    let mut fields: HashMap<String, Value> = fields.into_iter().collect();
    let mut field = |name: &str| fields.remove(name).ok_or_else(|| format!("it has no {name}"));
    let payload = match field("payload")? {
        Value::Union(index, payload) => match branches.get(index as usize) {
            Some(Branch::Create) => Payload::Create(typed(&payload)?),
            Some(Branch::Update) => Payload::Update(typed(&payload)?),
            Some(Branch::Unknown) | None => return Err("its payload is of a kind unknown here".to_owned()),
        },
        _ => return Err("its payload is not a union".to_owned()),
    };
    Ok(OrderEvent {
        event_type: typed(&field("eventType")?)?,
        order_id: typed(&field("orderId")?)?,
        timestamp: typed(&field("timestamp")?)?,
        payload,
    })
}

fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, String> {
    apache_avro::from_value(value).map_err(|error| error.to_string())
}

/// Bytes that remember when more were asked for than there are: apache-avro reads a string or a union that
/// is cut off as null.
struct Input<'a> {
    rest: &'a [u8],
    hit_the_end: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.hit_the_end |= buffer.len() > self.rest.len();
        self.rest.read(buffer)
    }
}
