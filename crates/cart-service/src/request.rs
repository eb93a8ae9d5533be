//! Bodies of requests, read so that every fault is told at once.
//!
//! A typed deserializer stops at its first fault and forgets a key that comes twice; this keeps the body as
//! the client sent it and collects faults while the fields are taken out.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use order_events::{OrderId, Status, money};
use rust_decimal::prelude::ToPrimitive;
use service_runtime::media_type::check_json;
use service_runtime::{Fault, Problem};

use crate::json::Json;

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
    pairs: Vec<(String, Json)>,
    faults: Vec<Fault>,
}

/// The fields of one object in a body. What is wrong with them goes to the body's faults.
pub struct Fields<'a, 'f> {
    pairs: &'a [(String, Json)],
    /// The object's place, as a JSON pointer in a URI fragment (RFC 6901, section 6): `#`, `#/items/0`.
    place: String,
    faults: &'f mut Vec<Fault>,
}

impl Body {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let fault = match serde_json::from_slice(bytes) {
            Ok(Json::Object(pairs)) => return Ok(Self { pairs, faults: Vec::new() }),
            Ok(other) => format!("must be a JSON object, this is {other}"),
            Err(error) => format!("must be a JSON object: {error}"),
        };
        Err(Problem::invalid(vec![Fault { pointer: "#".into(), detail: fault }]))
    }

    /// `outcome`'s value; notes its error, a fault found elsewhere, in a header for example.
    pub fn checked<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// The fields of the body itself.
    pub fn fields(&mut self) -> Fields<'_, '_> {
        Fields { pairs: &self.pairs, place: "#".to_owned(), faults: &mut self.faults }
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
}

impl<'a> Fields<'a, '_> {
    /// The order id, under any of its names.
    pub fn order_id(&mut self, prefix: &str) -> Option<OrderId> {
        self.required(ORDER_ID, |value| order_id(value, prefix))
    }

    /// The number of items, under any of its names.
    pub fn items_count(&mut self, max: u32) -> Option<u32> {
        self.required(ITEMS_COUNT, |value| {
            let count = whole_number(value, max.into())?;
            Ok(u32::try_from(count).unwrap_or(max))
        })
    }

    /// The status of an update; `new` is for orders that are made.
    pub fn status(&mut self) -> Option<Status> {
        self.required(STATUS, |value| match text(value)?.parse() {
            Ok(Status::New) => Err("new is reserved for orders that are created; use pending, confirmed, \
                                    processing, shipped, delivered or cancelled"
                .to_owned()),
            Ok(status) => Ok(status),
            Err(_) if text(value)?.trim().is_empty() => Err("must not be blank".to_owned()),
            Err(unknown) => Err(format!("{value} {unknown}")),
        })
    }

    /// The one value under any of `names`, read; `None` and a fault if there is none, if several disagree or
    /// if it cannot be read.
    pub fn required<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(&'a Json) -> Result<T, String>,
    ) -> Option<T> {
        let outcome = self.value(names).and_then(|value| value.ok_or_else(|| "is missing".to_owned()));
        self.noted(names, outcome.and_then(read))
    }

    /// As [`required`](Self::required), but there may be none.
    pub fn optional<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(&'a Json) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let outcome = self.value(names).and_then(|value| value.map(read).transpose());
        self.noted(names, outcome)
    }

    /// What `read` makes of each object of a list of 1 to `max`. `None` and faults if anything is wrong.
    pub fn list<T>(
        &mut self,
        names: &[&str],
        max: u32,
        mut read: impl FnMut(&mut Fields<'a, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.required(names, |value| match value {
            Json::List(list) if (1..=max as usize).contains(&list.len()) => Ok(list),
            Json::List(list) => Err(format!("must have 1 to {max} entries, this has {}", list.len())),
            other => Err(format!("must be a list, this is {other}")),
        })?;
        let mut found = Some(Vec::with_capacity(list.len()));
        for (index, entry) in list.iter().enumerate() {
            let place = format!("{}/{}/{index}", self.place, names[0]);
            let read = self.entry(entry, place).and_then(|mut fields| read(&mut fields));
            found = found.zip(read).map(|(mut found, read)| {
                found.push(read);
                found
            });
        }
        found
    }

    fn entry(&mut self, entry: &'a Json, place: String) -> Option<Fields<'a, '_>> {
        match entry {
            Json::Object(pairs) => Some(Fields { pairs, place, faults: self.faults }),
            other => {
                let detail = format!("must be an object, this is {other}");
                self.faults.push(Fault { pointer: place, detail });
                None
            }
        }
    }

    /// The one value under any of `names`.
    fn value(&self, names: &[&str]) -> Result<Option<&'a Json>, String> {
        let mut found = self.pairs.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let Some((first_name, first)) = found.next() else { return Ok(None) };
        match found.find(|(_, other)| other != first) {
            Some((name, other)) => Err(format!("is {first} as {first_name} but {other} as {name}")),
            None => Ok(Some(first)),
        }
    }

    fn noted<T>(&mut self, names: &[&str], outcome: Result<T, String>) -> Option<T> {
        let fault = |detail| Fault { pointer: format!("{}/{}", self.place, names[0]), detail };
        outcome.map_err(|detail| self.faults.push(fault(detail))).ok()
    }
}

/// Reads a string.
///
/// # Errors
/// What it is instead.
pub fn text(value: &Json) -> Result<&str, String> {
    match value {
        Json::Text(text) => Ok(text),
        other => Err(format!("must be a string, this is {other}")),
    }
}

/// Reads an order id.
///
/// # Errors
/// The rule that it breaks.
pub fn order_id(value: &Json, prefix: &str) -> Result<OrderId, String> {
    OrderId::parse(text(value)?, prefix).map_err(|error| error.to_string())
}

/// Reads the id of something else than an order, which keeps the same rules and has no prefix.
///
/// # Errors
/// The rule that it breaks.
pub fn id(value: &Json) -> Result<String, String> {
    order_id(value, "").map(OrderId::into_string)
}

fn integer(number: f64) -> Option<u64> {
    // By way of a decimal, which has no casts that lose anything.
    money::from_wire(number)?.to_u64()
}

/// Reads a whole number from 1 to `max`.
///
/// # Errors
/// What it is instead.
pub fn whole_number(value: &Json, max: u64) -> Result<u64, String> {
    let number = match value {
        // For JSON, 3 and 3.0 are one number.
        Json::Number(number) => number.as_f64().filter(|number| number.fract() == 0.0).and_then(integer),
        _ => None,
    };
    number
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("must be a whole number from 1 to {max}, this is {value}"))
}

/// The body of a request, whatever its faults.
impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        check_json(request.headers()).map_err(IntoResponse::into_response)?;
        let bytes = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        Self::parse(&bytes).map_err(IntoResponse::into_response)
    }
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
            body.fields().order_id("ORD");
            body.fields().items_count(1000);
        })
    }

    #[test]
    fn every_alias_is_read() {
        for name in ITEMS_COUNT {
            let mut body = Body::parse(format!(r#"{{"order_id": " 12 ", "{name}": 3}}"#).as_bytes()).unwrap();
            assert_eq!(body.fields().order_id("ORD").unwrap().as_str(), "ORD-12");
            assert_eq!(body.fields().items_count(1000), Some(3));
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
        for good in ["1", "1000", "3.0", "1e2"] {
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
                body.fields().status();
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
