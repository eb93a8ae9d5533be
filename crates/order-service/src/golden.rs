//! Records as older versions wrote them: see `tests/golden/README.md`.

use std::fs;
use std::path::PathBuf;

use apache_avro::Schema;
use order_events::OrderEvent;
use order_events::codec::{AvroRecord, Codec, SchemaId};
use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::changelog::ChangelogEntry;

/// The schema ids in the frames of the sets.
const CHANGELOG_ID: SchemaId = 7;
const EVENTS_ID: SchemaId = 5;

/// None of them: the schemas of the sets are read as another program's.
const TODAYS_ID: SchemaId = 900;

/// One record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// What it is, for people.
    pub about: String,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

impl Line {
    pub(crate) fn new(
        about: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(to_hex)));
        Self {
            about: about.to_owned(),
            key: key.map(to_hex),
            value: value.map(to_hex),
            headers: headers.collect(),
        }
    }

    /// The record as a consumer gives it.
    pub(crate) fn record(&self, topic: &str, offset: i64) -> OwnedMessage {
        let headers = self.headers.iter().fold(OwnedHeaders::new(), |all, (name, value)| {
            all.insert(Header { key: name, value: value.as_deref().map(from_hex).as_deref() })
        });
        let (key, value) = (self.key.as_deref().map(from_hex), self.value.as_deref().map(from_hex));
        let timestamp = Timestamp::CreateTime(1_700_000_000_000);
        let headers = (!self.headers.is_empty()).then_some(headers);
        OwnedMessage::new(value, key, topic.to_owned(), timestamp, 0, offset, headers)
    }
}

/// The lines of a file; one that is missing is written with `today` if that is asked for.
pub(crate) fn lines(set: &str, name: &str, today: &[Line]) -> Vec<Line> {
    let text =
        file(set, name, || today.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn file(set: &str, name: &str, today: impl FnOnce() -> String) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(set).join(name);
    if !path.exists() && std::env::var_os("NEW_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, today()).unwrap();
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A codec as it was when the set was written, and the codec of today, which knows the set's schema.
pub(crate) struct Codecs<T> {
    pub(crate) then: Codec<T>,
    pub(crate) today: Codec<T>,
}

impl Codecs<ChangelogEntry> {
    pub(crate) fn changelog(set: &str) -> Self {
        Self::new(set, "changelog.avsc", CHANGELOG_ID)
    }
}

impl Codecs<OrderEvent> {
    pub(crate) fn events(set: &str) -> Self {
        Self::new(set, "order-event.avsc", EVENTS_ID)
    }
}

impl<T: AvroRecord> Codecs<T> {
    fn new(set: &str, schema: &str, id: SchemaId) -> Self {
        let schema = Schema::parse_str(&file(set, schema, || T::SCHEMA.to_owned())).unwrap();
        let today = Codec::new(TODAYS_ID);
        today.learn(id, &schema).unwrap();
        Self { then: Codec::new(id), today }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// As JSON, for values without an equality of their own.
pub(crate) fn shown(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}
