//! Records as older versions wrote them: see `tests/golden/README.md`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, Uri};
use axum::{Json, Router};
use order_events::codec::{AvroRecord, Codec};
use order_events::config::RegistryConfig;
use order_events::{OrderEvent, SchemaRegistry};
use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::changelog::ChangelogEntry;

/// The schema ids in the frames of the sets.
const CHANGELOG_ID: u32 = 7;
const EVENTS_ID: u32 = 5;

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

/// A codec as it was when the set was written, and the codec of today, which finds the set's schemas in the registry.
pub(crate) struct Codecs<T> {
    pub(crate) then: Codec<T>,
    pub(crate) today: Codec<T>,
}

impl<T: AvroRecord> Codecs<T> {
    pub(crate) async fn new(set: &str, topic: &str) -> Self {
        let of_set = |name, today: &str| file(set, name, || today.to_owned());
        let changelog = of_set("changelog.avsc", ChangelogEntry::SCHEMA);
        let events = of_set("order-event.avsc", OrderEvent::SCHEMA);
        let registry = async |ids: [u32; 2]| {
            let known = [(CHANGELOG_ID, changelog.clone()), (EVENTS_ID, events.clone())];
            let registry = registry(ids, known).await;
            Codec::register(registry, topic).await.unwrap()
        };
        Self { then: registry([CHANGELOG_ID, EVENTS_ID]).await, today: registry([900, 901]).await }
    }
}

/// A registry that gives the schemas of the changelog and of the events these ids, and knows others.
async fn registry([changelog, events]: [u32; 2], known: [(u32, String); 2]) -> Arc<SchemaRegistry> {
    let answer = move |method: Method, uri: Uri| async move {
        let path = uri.path();
        let schema = known.iter().find(|(id, _)| path == format!("/schemas/ids/{id}"));
        Json(match (method, schema) {
            (_, Some((_, schema))) => json!({ "schema": schema }),
            (Method::POST, None) if path.contains("changelog") => json!({ "id": changelog }),
            (Method::POST, None) => json!({ "id": events }),
            _ => json!({ "compatibilityLevel": "FULL_TRANSITIVE" }),
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let timeout = Duration::from_secs(5);
    Arc::new(
        SchemaRegistry::new(RegistryConfig { url, basic_auth: None, auto_register: true, timeout }).unwrap(),
    )
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
