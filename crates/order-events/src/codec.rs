//! Values to bytes and back: Avro in the registry's framing.
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
use std::sync::{Arc, PoisonError, RwLock};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::model::OrderEvent;
use crate::schema_size;

/// A schema's number in the registry.
pub type SchemaId = u32;

/// The first byte of a framed value; four bytes of schema id follow, the most significant first.
const MAGIC: u8 = 0;

/// The length of the frame before the Avro bytes.
pub const FRAME_LEN: usize = 5;

/// The most memory that one declared length may take while decoding; a record's limit in Kafka is far below.
const MAX_ALLOCATION: usize = 32 * 1024 * 1024;

/// A Rust type with an Avro schema of its own.
pub trait AvroRecord: Serialize + DeserializeOwned {
    /// The schema's text, as it is registered.
    const SCHEMA: &'static str;

    /// The schema, parsed once.
    fn schema() -> &'static Schema;

    /// Appends the Avro bytes of the value, if the type has a way of its own to write them, and tells whether it
    /// did; they must be those that apache-avro's serializer makes.
    fn write(&self, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Whether another program's schema is one of this type at all; looked at once, before anything is read.
    ///
    /// # Errors
    /// What it is instead.
    fn check_written(schema: &Schema) -> Result<(), String>;

    /// Takes a value that was read with another program's `schema`.
    ///
    /// # Errors
    /// What keeps it from being one of ours.
    fn from_written(value: Value, schema: &Schema) -> Result<Self, String>;
}

/// Why bytes are not a value of ours and never will be.
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
    /// The bytes are not what the schema says, or what it says is not ours.
    #[error("the value cannot be read with the schema with id {id}: {reason}")]
    Mismatch {
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
    /// The codec does not know the schema yet: [`Codec::learn`] it, then decode again.
    #[error("the schema with id {0} is not known yet")]
    SchemaNeeded(SchemaId),
}

/// A value that does not fit its own schema; the types make this all but impossible.
#[derive(Debug, Error)]
#[error("the value cannot be encoded: {0}")]
pub struct EncodeError(Box<apache_avro::Error>);

/// The codec of the events.
pub type EventCodec = Codec<OrderEvent>;

/// Encodes and decodes the values of one topic. It never asks the network: whoever decodes gets the schemas and lets the
/// codec learn them. Every method takes `&self`.
pub struct Codec<T> {
    own_id: SchemaId,
    writer: GenericDatumWriter<'static>,
    schemas: RwLock<HashMap<SchemaId, Arc<WriterSchema<T>>>>,
}

impl<T: AvroRecord> Codec<T> {
    /// A codec that writes with the schema of `T`, which has `own_id` in the registry, and reads no other yet.
    #[expect(
        clippy::expect_used,
        reason = "the schemas are part of the program, and every test goes through here"
    )]
    pub fn new(own_id: SchemaId) -> Self {
        apache_avro::util::max_allocation_bytes(MAX_ALLOCATION);
        let writer = GenericDatumWriter::builder(T::schema()).build().expect("the schema resolves");
        let own = WriterSchema::new(T::schema()).expect("the schema resolves");
        Self { own_id, writer, schemas: RwLock::new(HashMap::from([(own_id, Arc::new(own))])) }
    }

    /// Appends the framed bytes of `value` to `out`. On an error `out` is as it was.
    ///
    /// # Errors
    /// The value does not fit the schema.
    pub fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.push(MAGIC);
        out.extend_from_slice(&self.own_id.to_be_bytes());
        if value.write(out) {
            return Ok(());
        }
        match self.writer.write_ser(out, value) {
            Ok(_) => Ok(()),
            Err(error) => {
                out.truncate(start);
                Err(EncodeError(Box::new(error)))
            }
        }
    }

    /// Decodes a record's value.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(&self, value: Option<&[u8]>) -> Result<T, DecodeError> {
        let (id, body) = unframe(value)?;
        let schema = self.known(id).ok_or(DecodeError::SchemaNeeded(id))?;
        schema.decode(body).map_err(|reason| Undecodable::Mismatch { id, reason }.into())
    }

    /// Whether framed bytes were written with this program's own schema, under this codec's id of it.
    pub fn is_own(&self, value: &[u8]) -> bool {
        unframe(Some(value)).is_ok_and(|(id, _)| id == self.own_id)
    }

    fn known(&self, id: SchemaId) -> Option<Arc<WriterSchema<T>>> {
        self.schemas.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Takes a schema that other programs write with, so that [`decode`](Self::decode) knows it from now on. An id that
    /// is known keeps its schema.
    ///
    /// # Errors
    /// [`Undecodable::UnusableSchema`]: no value that it describes could be one of ours.
    pub fn learn(&self, id: SchemaId, schema: &Schema) -> Result<(), Undecodable> {
        if self.known(id).is_some() {
            return Ok(());
        }
        let schema = WriterSchema::of_others(schema);
        let schema = schema.map_err(|reason| Undecodable::UnusableSchema { id, reason })?;
        let mut schemas = self.schemas.write().unwrap_or_else(PoisonError::into_inner);
        schemas.entry(id).or_insert_with(|| Arc::new(schema));
        Ok(())
    }
}

/// Splits a value into its schema id and its Avro bytes.
///
/// # Errors
/// There is no value, or no frame.
fn unframe(value: Option<&[u8]>) -> Result<(SchemaId, &[u8]), Undecodable> {
    let value = value.ok_or(Undecodable::NoValue)?;
    match value.split_first_chunk::<FRAME_LEN>() {
        Some((&[MAGIC, a, b, c, d], body)) => Ok((SchemaId::from_be_bytes([a, b, c, d]), body)),
        _ => Err(Undecodable::NotFramed),
    }
}

/// A schema that records were written with, ready to read them.
struct WriterSchema<T> {
    schema: &'static Schema,
    reader: GenericDatumReader<'static>,
    is_ours: bool,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: AvroRecord> WriterSchema<T> {
    /// Another program's schema. One that is of use lives as long as the program: what is leaked is what the cache would
    /// keep.
    fn of_others(schema: &Schema) -> Result<Self, String> {
        schema_size::check(schema)?;
        T::check_written(schema)?;
        Self::new(Box::leak(Box::new(schema.clone())))
    }

    fn new(schema: &'static Schema) -> Result<Self, String> {
        let reader = GenericDatumReader::builder(schema).build().map_err(|error| error.to_string())?;
        // Other programs register their own text of our schema under another id. Two schemas with the same
        // Parsing Canonical Form write the same bytes.
        let is_ours = schema.canonical_form() == T::schema().canonical_form();
        Ok(Self { schema, reader, is_ours, of: std::marker::PhantomData })
    }

    fn decode(&self, body: &[u8]) -> Result<T, String> {
        let mut input = Input { rest: body, hit_the_end: false };
        let value = if self.is_ours {
            self.reader.read_deser(&mut input).map_err(|error| error.to_string())
        } else {
            let value = self.reader.read_value(&mut input).map_err(|error| error.to_string());
            value.and_then(|value| T::from_written(value, self.schema))
        };
        if input.hit_the_end {
            return Err("it ends too early".to_owned());
        }
        match input.rest.len() {
            0 => value,
            _ if value.is_err() => value,
            left => Err(format!("{left} bytes follow its end")),
        }
    }
}

/// The full name of the variant that a value of a writer's `union` is of. `None` if it has no such name: a
/// primitive, or a value of no union.
pub fn variant_name(union: &Schema, value: &Value) -> Option<String> {
    let (Schema::Union(union), Value::Union(index, _)) = (union, value) else { return None };
    Some(union.variants().get(*index as usize)?.name()?.fullname(None))
}

/// Turns a generic value into a Rust type by the names of its fields.
///
/// # Errors
/// What does not fit.
pub fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
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
