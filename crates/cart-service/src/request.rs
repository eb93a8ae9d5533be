//! Bodies of requests, read so that every fault is told at once.
//!
//! A typed deserializer stops at its first fault and forgets a key that comes twice; this keeps the body as
//! the pairs that the client sent and collects faults while the fields are taken out.

use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use order_events::{OrderId, Status};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use service_runtime::{Fault, Problem, ProblemType};

/// The names under which an order id may come; the first is the canonical one.
pub const ORDER_ID: &[&str] = &["orderId", "order_id"];
/// The names under which the number of items may come.
pub const ITEMS_COUNT: &[&str] =
    &["itemsCount", "itemsNum", "numberOfItems", "number_of_items", "numItems", "numOfItems"];
/// The name under which a status comes.
pub const STATUS: &[&str] = &["status"];

/// A JSON object as it was sent, and the faults found in it so far.
#[derive(Debug)]
pub struct Body {
    entries: Vec<(String, Value)>,
    faults: Vec<Fault>,
}

impl Body {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice::<Entries>(bytes) {
            Ok(Entries(entries)) => Ok(Self { entries, faults: Vec::new() }),
            Err(error) => {
                let detail = format!("must be a JSON object: {error}");
                Err(Problem::invalid(vec![Fault { pointer: "#".into(), detail }]))
            }
        }
    }

    /// Notes a fault found elsewhere, in a header for example.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// The order id, under any of its names.
    pub fn order_id(&mut self, prefix: &str) -> Option<OrderId> {
        let text = self.text(ORDER_ID, "must be a string")?;
        self.checked(ORDER_ID, OrderId::parse(&text, prefix).map_err(|error| error.to_string()))
    }

    /// The number of items, under any of its names.
    pub fn items_count(&mut self, max: u32) -> Option<u32> {
        let value = self.value(ITEMS_COUNT)?;
        let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
        let fault = || format!("must be a whole number from 1 to {max}, this is {}", brief(&value));
        self.checked(ITEMS_COUNT, count.filter(|count| (1..=max).contains(count)).ok_or_else(fault))
    }

    /// The status of an update; `new` is for orders that are made.
    pub fn status(&mut self) -> Option<Status> {
        let text = self.text(STATUS, "must be a string")?;
        let status = match text.parse() {
            Ok(Status::New) => Err("new is reserved for orders that are created; use pending, confirmed, \
                                    processing, shipped, delivered or cancelled"
                .to_owned()),
            Ok(status) => Ok(status),
            Err(_) if text.trim().is_empty() => Err("must not be blank".to_owned()),
            Err(unknown) => Err(format!("{} {unknown}", brief(&Value::String(text)))),
        };
        self.checked(STATUS, status)
    }

    /// `outcome`, unless any fault was found.
    ///
    /// # Errors
    /// A 400 with every fault.
    pub fn finish<T>(self, outcome: Option<T>) -> Result<T, Problem> {
        match outcome {
            Some(outcome) if self.faults.is_empty() => Ok(outcome),
            _ => Err(Problem::invalid(self.faults)),
        }
    }

    fn text(&mut self, names: &[&str], expected: &str) -> Option<String> {
        match self.value(names)? {
            Value::String(text) => Some(text),
            other => self.checked(names, Err(format!("{expected}, this is {}", brief(&other)))),
        }
    }

    /// The one value under any of `names`; notes a fault if there is none, or several that disagree.
    fn value(&mut self, names: &[&str]) -> Option<Value> {
        let mut found = self.entries.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let Some((first_name, first)) = found.next() else {
            return self.checked(names, Err("is missing".to_owned()));
        };
        match found.find(|(_, other)| other != first) {
            Some((name, other)) => {
                let detail = format!("is {} as {first_name} but {} as {name}", brief(first), brief(other));
                self.checked(names, Err(detail))
            }
            None => Some(first.clone()),
        }
    }

    fn checked<T>(&mut self, names: &[&str], outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|detail| self.faults.push(Fault::body(names[0], detail))).ok()
    }
}

/// A value as it is shown in a fault: short.
fn brief(value: &Value) -> String {
    const MAX: usize = 40;
    let text = match value {
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        scalar => scalar.to_string(),
    };
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

/// The body of a request, whatever its faults.
impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if !is_json(request.headers()) {
            return Err(not_json(request.headers()).into_response());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Self::parse(&bytes).map_err(IntoResponse::into_response)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn not_json(headers: &HeaderMap) -> Problem {
    let sent = match headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) {
        Some(Ok(sent)) => format!("Content-Type is {sent}"),
        Some(Err(_)) => "Content-Type is unreadable".to_owned(),
        None => "Content-Type is missing".to_owned(),
    };
    let detail = format!("{sent}; it must be application/json (curl: -H 'Content-Type: application/json').");
    Problem::new(ProblemType::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: &str, read: impl Fn(&mut Body)) -> Vec<(String, String)> {
        let mut body = Body::parse(body.as_bytes()).unwrap();
        read(&mut body);
        body.faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    fn create_faults(body: &str) -> Vec<(String, String)> {
        faults(body, |body| {
            body.order_id("ORD");
            body.items_count(1000);
        })
    }

    #[test]
    fn every_alias_is_read() {
        for name in ITEMS_COUNT {
            let mut body = Body::parse(format!(r#"{{"order_id": " 12 ", "{name}": 3}}"#).as_bytes()).unwrap();
            assert_eq!(body.order_id("ORD").unwrap().as_str(), "ORD-12");
            assert_eq!(body.items_count(1000), Some(3));
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let faults = create_faults(r#"{"orderId": 7, "itemsCount": "3"}"#);
        assert_eq!(
            faults,
            [
                ("#/orderId".into(), "must be a string, this is 7".into()),
                ("#/itemsCount".into(), "must be a whole number from 1 to 1000, this is \"3\"".into()),
            ]
        );
        assert_eq!(create_faults("{}").len(), 2);
    }

    #[test]
    fn only_whole_numbers_in_range_are_counts() {
        for bad in ["0", "-1", "1.5", "1e9", "1001", "true", "null", "\"3\"", "[3]", "18446744073709551616"] {
            let body = format!(r#"{{"orderId": "A", "itemsCount": {bad}}}"#);
            assert_eq!(create_faults(&body).len(), 1, "{bad}");
        }
        for good in ["1", "1000"] {
            assert_eq!(create_faults(&format!(r#"{{"orderId": "A", "itemsCount": {good}}}"#)), []);
        }
    }

    #[test]
    fn spellings_and_repeated_keys_must_agree() {
        assert_eq!(create_faults(r#"{"orderId": "A", "order_id": "A", "itemsNum": 1}"#), []);
        let both = create_faults(r#"{"orderId": "A", "order_id": "B", "itemsNum": 1, "itemsNum": 2}"#);
        assert_eq!(both[0], ("#/orderId".into(), "is \"A\" as orderId but \"B\" as order_id".into()));
        assert_eq!(both[1], ("#/itemsCount".into(), "is 1 as itemsNum but 2 as itemsNum".into()));
    }

    #[test]
    fn statuses_are_known_and_new_is_reserved() {
        let status = |text: &str| {
            faults(&format!(r#"{{"status": {text}}}"#), |body| {
                body.status();
            })
        };
        assert_eq!(status("\"Confirmed\""), []);
        assert!(status("\"NEW\"")[0].1.contains("reserved"));
        assert!(status("\"done\"")[0].1.contains("is not one of"));
        assert_eq!(status("\" \"")[0].1, "must not be blank");
        assert_eq!(status("1")[0].1, "must be a string, this is 1");
    }

    #[test]
    fn what_is_no_object_is_one_fault() {
        for bad in ["", "[]", "\"x\"", "{", "{\"a\":}", "null", &"[".repeat(1000)] {
            let problem = Body::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), 400, "{bad}");
        }
    }
}
