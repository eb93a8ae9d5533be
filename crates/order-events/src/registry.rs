//! The schema registry, seen with one question in mind: is an answer final, or may it change by itself?
//!
//! schema_registry_converter asks and caches; its own flags for "retriable" call a 500, a time-out of a
//! proxy or half an answer permanent, and then keep that answer. So the errors are told apart here:
//! a complete answer of the registry is final ([`Undecodable`], [`RegisterError::Refused`]), everything else
//! is an outage ([`RegistryUnavailable`]), which a caller waits out.

use std::sync::Arc;
use std::time::Duration;

use schema_registry_converter::async_impl::avro::AvroDecoder;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, perform_sr_call, post_schema,
};
use schema_registry_converter::avro_common::AvroSchema;
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SrCall, SuppliedSchema};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use tracing::{info, warn};

use crate::codec::{AvroRecord, Codec, DecodeError, SchemaId, Undecodable};
use crate::config::RegistryConfig;

/// What a subject is set to when it has no level of its own. Records of any age are read by programs of any
/// age, so a change must be readable in both directions, against every version. `BACKWARD` would let a third
/// branch into the payload's union, which running consumers could not read.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";

/// Confluent's error code for "no schema has this id" (and, for a subject, "not this schema").
const SCHEMA_NOT_FOUND: u32 = 40403;
const SUBJECT_NOT_FOUND: u32 = 40401;

/// No usable answer came from the registry; the same question may be answered later.
#[derive(Debug, Clone, Error)]
#[error("the schema registry at {url} gives no usable answer: {reason}")]
pub struct RegistryUnavailable {
    /// Where it was asked.
    pub url: String,
    /// What came instead of an answer.
    pub reason: String,
}

/// No client of the registry can be made on this system.
#[derive(Debug, Error)]
#[error("no HTTP client for the schema registry can be made: {0}")]
pub struct RegistryClientError(String);

/// Why a schema has no id for us.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// May pass: try again.
    #[error(transparent)]
    Unavailable(#[from] RegistryUnavailable),
    /// The registry understood and said no: an incompatible schema, an invalid one, or no permission.
    #[error("the schema registry at {url} refuses the schema of subject {subject}: {reason}")]
    Refused {
        /// Where it was asked.
        url: String,
        /// The subject, `<topic>-value`.
        subject: String,
        /// The registry's own words.
        reason: String,
    },
    /// `SCHEMA_AUTO_REGISTER=false`, and nobody has registered the schema.
    #[error(
        "subject {subject} in the schema registry at {url} does not have this program's schema, and \
         SCHEMA_AUTO_REGISTER is false: register it, or set SCHEMA_AUTO_REGISTER=true"
    )]
    NotRegistered {
        /// Where it was asked.
        url: String,
        /// The subject, `<topic>-value`.
        subject: String,
    },
}

/// Why the schema of a record cannot be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// May pass: wait, and ask again. The record may be perfectly good.
    #[error(transparent)]
    Unavailable(#[from] RegistryUnavailable),
    /// The registry answered, and with that answer the record will never decode.
    #[error(transparent)]
    Permanent(#[from] Undecodable),
}

/// A subject's compatibility level, as the registry tells it.
#[derive(Deserialize)]
struct Level {
    #[serde(rename = "compatibilityLevel")]
    name: String,
}

/// A client of one schema registry (Confluent's API: Confluent, Apicurio's `ccompat`, Karapace, Redpanda).
pub struct SchemaRegistry {
    config: RegistryConfig,
    settings: SrSettings,
    schemas: AvroDecoder,
    http: reqwest::Client,
}

impl SchemaRegistry {
    /// A client with the configured address, credentials and time-out. Asks nothing yet.
    ///
    /// # Errors
    /// The system's TLS library cannot be set up.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryClientError> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .build()
            .map_err(|error| RegistryClientError(with_causes(&error)))?;
        let mut builder = SrSettings::new_builder(config.url.clone());
        builder.set_timeout(config.timeout);
        if let Some((user, password)) = config.credentials() {
            builder.set_basic_authorization(user, Some(password));
        }
        let settings = builder.build().map_err(|error| RegistryClientError(with_causes(&error)))?;
        Ok(Self { schemas: AvroDecoder::new(settings.clone()), settings, http, config })
    }

    /// The codec of the values in `topic`. Registers its schema under `<topic>-value` (TopicNameStrategy), or only looks
    /// it up when `SCHEMA_AUTO_REGISTER` is false.
    ///
    /// # Errors
    /// See [`RegisterError`]; only `Unavailable` is worth another attempt.
    pub async fn codec<T: AvroRecord>(&self, topic: &str) -> Result<Codec<T>, RegisterError> {
        Ok(Codec::new(self.schema_id(&format!("{topic}-value"), T::SCHEMA).await?))
    }

    /// Decodes a record's value with `codec`, and teaches it the schema first if need be.
    ///
    /// # Errors
    /// See [`FetchError`]; only `Unavailable` is worth another attempt.
    pub async fn decode<T: AvroRecord>(
        &self,
        codec: &Codec<T>,
        value: Option<&[u8]>,
    ) -> Result<T, FetchError> {
        loop {
            match codec.decode(value) {
                Ok(decoded) => return Ok(decoded),
                Err(DecodeError::Undecodable(reason)) => return Err(reason.into()),
                Err(DecodeError::SchemaNeeded(id)) => self.teach(codec, id).await?,
            }
        }
    }

    /// Fetches the schema with this id, and lets `codec` learn it. A schema that the registry refuses is asked for anew
    /// each time: a registry can be mended.
    ///
    /// # Errors
    /// See [`FetchError`]; only `Unavailable` is worth another attempt.
    pub async fn teach<T: AvroRecord>(&self, codec: &Codec<T>, id: SchemaId) -> Result<(), FetchError> {
        Ok(codec.learn(id, &self.schema(id).await?.parsed)?)
    }

    /// The id of `schema` under `subject`. Registering again what is registered gives the same id.
    async fn schema_id(&self, subject: &str, schema: &str) -> Result<SchemaId, RegisterError> {
        if !self.config.auto_register {
            return self.look_up(subject, schema).await;
        }
        let had_a_level = self.ensure_compatibility_level(subject).await?;
        // When two services register a subject's first schema at once, Apicurio tells one of them that the
        // subject exists already; then it does. A refusal for good is repeated.
        let id = match self.register(subject, schema).await {
            Err(RegisterError::Refused { .. }) => self.register(subject, schema).await?,
            registered => registered?,
        };
        if !had_a_level {
            self.ensure_compatibility_level(subject).await?;
        }
        info!(subject, id, "schema registered");
        Ok(id)
    }

    async fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegisterError> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.to_owned());
        match post_schema(&self.settings, subject.to_owned(), supplied).await {
            Ok(registered) => Ok(registered.id),
            Err(error) => Err(self.refusal(subject, &error)),
        }
    }

    async fn look_up(&self, subject: &str, schema: &str) -> Result<SchemaId, RegisterError> {
        let body = json!({ "schema": schema, "schemaType": "AVRO" }).to_string();
        match perform_sr_call(&self.settings, SrCall::PostForVersion(subject, &body)).await {
            Ok(found) => found.id.ok_or_else(|| self.unavailable("an answer without an id").into()),
            Err(error) if matches!(code(&error), Some(SCHEMA_NOT_FOUND | SUBJECT_NOT_FOUND)) => {
                Err(RegisterError::NotRegistered {
                    url: self.config.url.clone(),
                    subject: subject.to_owned(),
                })
            }
            Err(error) => Err(self.refusal(subject, &error)),
        }
    }

    /// Sets the subject's compatibility level if it has none, or the level NONE. Returns whether the subject was
    /// there to have one. A registry that does not let us is asked no further: its level is its business.
    async fn ensure_compatibility_level(&self, subject: &str) -> Result<bool, RegistryUnavailable> {
        let url = format!("{}/config/{}", self.config.url, subject.replace('/', "%2F"));
        let now = self.send(self.http.get(&url)).await?;
        if now.status().is_success() {
            let level: Level = now.json().await.map_err(|error| self.unavailable(with_causes(&error)))?;
            // Apicurio says NONE where none is set.
            if level.name != "NONE" {
                return Ok(true);
            }
        }
        let set = self.send(self.http.put(&url).json(&json!({ "compatibility": COMPATIBILITY }))).await?;
        match set.status() {
            status if status.is_success() => {
                info!(subject, level = COMPATIBILITY, "compatibility level set");
                Ok(true)
            }
            // Not there yet, or just being made by another service.
            reqwest::StatusCode::NOT_FOUND | reqwest::StatusCode::CONFLICT => Ok(false),
            status => {
                warn!(subject, %status, "the registry does not let us set a compatibility level");
                Ok(true)
            }
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, RegistryUnavailable> {
        let request = match self.config.credentials() {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.unavailable(with_causes(&error)))?;
        match response.status() {
            status if status.is_server_error() => Err(self.unavailable(status)),
            _ => Ok(response),
        }
    }

    /// The schema with this id, from the cache if it was fetched before.
    async fn schema(&self, id: SchemaId) -> Result<Arc<AvroSchema>, FetchError> {
        let error = match self.schemas.get_schema(id).await {
            Ok(schema) => return Ok(schema),
            Err(error) => error,
        };
        // Otherwise one bad answer would be repeated for ever.
        self.schemas.remove_errors_from_cache();
        if code(&error) == Some(SCHEMA_NOT_FOUND) {
            return Err(Undecodable::UnknownSchema { id }.into());
        }
        if let Some(reason) = unusable_schema(&error) {
            return Err(Undecodable::UnusableSchema { id, reason }.into());
        }
        // A schema of another type is refused with words only; ask for the type itself.
        match get_schema_by_id(id, &self.settings).await {
            Ok(other) if other.schema_type != SchemaType::Avro => {
                let reason = format!("it is of type {:?}, not Avro", other.schema_type);
                Err(Undecodable::UnusableSchema { id, reason }.into())
            }
            _ => Err(self.unavailable(with_causes(&error)).into()),
        }
    }

    fn unavailable(&self, reason: impl ToString) -> RegistryUnavailable {
        RegistryUnavailable { url: self.config.url.clone(), reason: reason.to_string() }
    }

    /// A registry's "no" is final only when the registry itself says it: with a 4xx and its error code, or
    /// with a 401 or 403.
    fn refusal(&self, subject: &str, error: &SRCError) -> RegisterError {
        let said_no = matches!(code(error), Some(code) if is_client_error(code));
        let locked_out =
            ["401", "403"].iter().any(|status| error.error.contains(&format!("status {status}")));
        if said_no || locked_out {
            let reason = if said_no { error.cause.clone() } else { None };
            let reason = reason.unwrap_or_else(|| error.error.clone());
            return RegisterError::Refused {
                url: self.config.url.clone(),
                subject: subject.to_owned(),
                reason,
            };
        }
        self.unavailable(with_causes(error)).into()
    }
}

/// Waits this long between two attempts while the registry is away: 2, 5, 10 s, then 10 s for ever.
pub fn outage_backoff() -> impl Iterator<Item = Duration> {
    [2, 5].into_iter().chain(std::iter::repeat(10)).map(Duration::from_secs)
}

/// The registry's own error code, if the error is an answer of the registry.
fn code(error: &SRCError) -> Option<u32> {
    let answer = std::error::Error::source(error)?.downcast_ref::<RawError>()?;
    (answer.error_code != 0).then_some(answer.error_code)
}

/// Confluent's codes are an HTTP status, or one with two more digits (409, 42201). A 408 and a 429 pass.
fn is_client_error(code: u32) -> bool {
    let status = if code >= 10_000 { code / 100 } else { code };
    (400..500).contains(&status) && status != 408 && status != 429
}

/// The reason why a schema that arrived whole is no usable Avro schema.
fn unusable_schema(error: &SRCError) -> Option<String> {
    let source = std::error::Error::source(error)?;
    let not_avro = source.is::<apache_avro::Error>() || source.is::<serde_json::Error>();
    not_avro.then(|| source.to_string())
}

/// An error with its causes, which reqwest and others keep to themselves.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
