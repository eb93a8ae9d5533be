//! Bodies of requests: JSON objects.

use std::collections::BTreeSet;

use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http_body::Body as _;

use super::Json;
use super::media_type::check_json;
use crate::problem::{Fault, Problem};
use crate::request_body::BODY_LIMIT;

/// How many unknown names are told.
const MAX_NAMES: usize = 100;

/// A JSON object as it was sent, and the faults found in it so far. The default is an empty one.
#[derive(Debug, Default)]
pub struct Body {
    pub(super) pairs: Vec<(String, Json)>,
    pub(super) faults: Vec<Fault>,
}

/// The fields of one object in a body. What is wrong with them goes to the body's faults.
pub struct Fields<'a, 'f> {
    pairs: &'a [(String, Json)],
    /// What comes before a field's name in a fault's pointer: the object's place as a JSON pointer in a URI fragment
    /// (RFC 6901, section 6), `#/` or `#/items/0/`; `?` in a query.
    place: String,
    faults: &'f mut Vec<Fault>,
}

impl Body {
    /// Reads a body.
    ///
    /// # Errors
    /// A 400 if it is no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let fault = match serde_json::from_slice(bytes) {
            Ok(Json::Object(pairs)) => return Ok(Self { pairs, faults: Vec::new() }),
            _ if bytes.is_empty() => "must be a JSON object, this is empty".to_owned(),
            Ok(other) => format!("must be a JSON object, this is {other}"),
            Err(error) => format!("must be a JSON object: {error}"),
        };
        Err(Problem::invalid(vec![Fault::whole_body(fault)]))
    }

    /// `outcome`'s value; notes its error, a fault found elsewhere, in a header for example.
    pub fn checked<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// Notes faults that were found elsewhere, in the query for example.
    pub fn blame(&mut self, faults: Vec<Fault>) {
        self.faults.extend(faults);
    }

    /// The fields of the body itself.
    pub fn fields(&mut self) -> Fields<'_, '_> {
        self.fields_at("#/")
    }

    pub(super) fn fields_at(&mut self, place: &str) -> Fields<'_, '_> {
        Fields { pairs: &self.pairs, place: place.to_owned(), faults: &mut self.faults }
    }

    /// Takes every field that is none of `names` for a fault.
    pub fn only(&mut self, names: &[&[&str]]) {
        let names = names.concat();
        let detail = format!("is not known; expected are {}", names.join(", "));
        let unknown = self.unique_names().into_iter().filter(|name| !names.contains(name));
        let unknown: Vec<_> = unknown.map(|name| Fault::body(name, detail.clone())).collect();
        self.faults.extend(unknown);
    }

    /// Each name once, and not too many of them: nobody reads more.
    pub(super) fn unique_names(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.into_iter().take(MAX_NAMES).collect()
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
    /// The one value under any of `names`, read; `None` and a fault if there is none, if several disagree or
    /// if it cannot be read.
    pub fn required<T: PartialEq>(
        &mut self,
        names: &[&str],
        read: impl Fn(&'a Json) -> Result<T, String>,
    ) -> Option<T> {
        self.sent(names, read).map(|(_, value)| value)
    }

    /// As [`required`](Self::required), with the name under which it was sent.
    fn sent<T: PartialEq>(
        &mut self,
        names: &[&str],
        read: impl Fn(&'a Json) -> Result<T, String>,
    ) -> Option<(&'a str, T)> {
        let found = self.one(names, read)?;
        if found.is_none() {
            // It is missing under the first of its names.
            self.fault(names[0], "is missing".to_owned());
        }
        found
    }

    /// As [`required`](Self::required), but there may be none, or `null`.
    pub fn optional<T: PartialEq>(
        &mut self,
        names: &[&str],
        read: impl Fn(&'a Json) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let found = self.one(names, |value| match value {
            Json::Null => Ok(None),
            value => read(value).map(Some),
        })?;
        Some(found.and_then(|(_, value)| value))
    }

    /// What `read` makes of the value under any of `names`, and under which one it was sent, if there is one; `None` and
    /// a fault if a value cannot be read, or two disagree. Several must come to the same: `123` and `ORD-123` may be one
    /// order, 3 and 3.0 are one number.
    fn one<T: PartialEq>(
        &mut self,
        names: &[&str],
        read: impl Fn(&'a Json) -> Result<T, String>,
    ) -> Option<Option<(&'a str, T)>> {
        let mut first: Option<(&str, &Json, T)> = None;
        for (name, value) in self.pairs.iter().filter(|(name, _)| names.contains(&name.as_str())) {
            let read = read(value).map_err(|detail| self.fault(name, detail)).ok()?;
            match &first {
                Some((other_name, other, same)) if *same != read => {
                    self.fault(name, format!("is {other} as {other_name} but {value} as {name}"));
                    return None;
                }
                Some(_) => {}
                None => first = Some((name, value, read)),
            }
        }
        Some(first.map(|(name, _, value)| (name, value)))
    }

    /// What `read` makes of each object of a list of 1 to `max`. `None` and faults if anything is wrong.
    pub fn list<T>(
        &mut self,
        names: &[&str],
        max: usize,
        mut read: impl FnMut(&mut Fields<'a, '_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (name, list) = self.sent(names, |value| match value {
            Json::List(list) if (1..=max).contains(&list.len()) => Ok(list),
            Json::List(list) => Err(format!("must have 1 to {max} entries, this has {}", list.len())),
            other => Err(format!("must be a list, this is {other}")),
        })?;
        let mut found = Some(Vec::with_capacity(list.len()));
        for (index, entry) in list.iter().enumerate() {
            let read = self.entry(entry, format!("{name}/{index}")).and_then(|mut fields| read(&mut fields));
            found = found.zip(read).map(|(mut found, read)| {
                found.push(read);
                found
            });
        }
        found
    }

    fn entry(&mut self, entry: &'a Json, name: String) -> Option<Fields<'a, '_>> {
        match entry {
            Json::Object(pairs) => {
                Some(Fields { pairs, place: format!("{}{name}/", self.place), faults: self.faults })
            }
            other => {
                self.fault(&name, format!("must be an object, this is {other}"));
                None
            }
        }
    }

    fn fault(&mut self, name: &str, detail: String) {
        self.faults.push(Fault { pointer: format!("{}{name}", self.place), detail });
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        check_json(request.headers()).map_err(IntoResponse::into_response)?;
        Self::parse(&bytes(request).await?).map_err(IntoResponse::into_response)
    }
}

async fn bytes(request: Request) -> Result<Vec<u8>, Response> {
    // A body that says it is too large is not even asked for (`Expect: 100-continue`).
    if request.body().size_hint().lower() > BODY_LIMIT as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE.into_response());
    }
    let mut parts = request.into_body().into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = parts.next().await {
        let Ok(part) = part else {
            let fault = Fault::whole_body("ended before it was whole");
            return Err(Problem::invalid(vec![fault]).into_response());
        };
        if bytes.len() + part.len() > BODY_LIMIT {
            return Err(StatusCode::PAYLOAD_TOO_LARGE.into_response());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// A body that may be missing, or `null`.
impl<S: Send + Sync> OptionalFromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, Response> {
        let is_json = check_json(request.headers());
        let bytes = bytes(request).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        is_json.map_err(IntoResponse::into_response)?;
        if bytes.trim_ascii() == b"null" {
            return Ok(None);
        }
        Self::parse(&bytes).map(Some).map_err(IntoResponse::into_response)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use axum::body::Body as Content;
    use axum::http::header;
    use futures_util::stream;

    use super::super::{text, whole_number};
    use super::*;

    fn faults(body: &str, read: impl Fn(&mut Body)) -> Vec<(String, String)> {
        let mut body = Body::parse(body.as_bytes()).unwrap();
        read(&mut body);
        body.faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    fn read_both(body: &str) -> Vec<(String, String)> {
        faults(body, |body| {
            let mut fields = body.fields();
            fields.required(&["orderId", "order_id"], text);
            fields.required(&["count"], |value| whole_number(value, 1..=1000));
        })
    }

    #[tokio::test]
    async fn a_body_has_a_limit_whether_it_tells_its_length_or_not() {
        let refusal = async |body| {
            let request = Request::builder().header(header::CONTENT_TYPE, "application/json");
            let read = <Body as FromRequest<()>>::from_request(request.body(body).unwrap(), &()).await;
            read.err().map(|refused| refused.status())
        };
        let too_large = Some(StatusCode::PAYLOAD_TOO_LARGE);
        for (length, expected) in [(BODY_LIMIT, None), (BODY_LIMIT + 1, too_large)] {
            let json = format!("{{{}}}", " ".repeat(length - 2));
            let parts: Vec<_> =
                json.as_bytes().chunks(1000).map(|part| io::Result::Ok(part.to_vec())).collect();
            assert_eq!(refusal(Content::from(json)).await, expected, "{length} bytes at once");
            assert_eq!(refusal(Content::from_stream(stream::iter(parts))).await, expected, "{length} bytes");
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        assert_eq!(
            read_both(r#"{"orderId": 7, "count": "3"}"#),
            [
                ("#/orderId".into(), "must be a string, this is 7".into()),
                ("#/count".into(), "must be a whole number from 1 to 1000, this is \"3\"".into()),
            ]
        );
        assert_eq!(read_both("{}").len(), 2);
    }

    #[test]
    fn only_whole_numbers_in_range_are_counts() {
        for bad in ["0", "-1", "1.5", "1e9", "1001", "true", "null", "\"3\"", "[3]", "18446744073709551616"] {
            let body = format!(r#"{{"orderId": "A", "count": {bad}}}"#);
            assert_eq!(read_both(&body).len(), 1, "{bad}");
        }
        for good in ["1", "1000", "3.0", "1e2"] {
            assert_eq!(read_both(&format!(r#"{{"orderId": "A", "count": {good}}}"#)), []);
        }
    }

    #[test]
    fn spellings_and_repeated_names_must_agree() {
        assert_eq!(read_both(r#"{"orderId": "A", "order_id": "A", "count": 1, "count": 1.0}"#), []);
        let both = read_both(r#"{"orderId": "A", "order_id": "B", "count": 1, "count": 2}"#);
        assert_eq!(both[0], ("#/order_id".into(), "is \"A\" as orderId but \"B\" as order_id".into()));
        assert_eq!(both[1], ("#/count".into(), "is 1 as count but 2 as count".into()));
    }

    #[test]
    fn a_fault_is_where_the_client_sent_it() {
        let found = faults(r#"{"order_id": 7, "order_items": [{"count": 0}, 7, {}]}"#, |body| {
            let mut fields = body.fields();
            fields.required(&["orderId", "order_id"], text);
            fields.optional(&["id", "order_id"], text);
            fields.required(&["customerId", "customer_id"], text);
            fields.list(&["orderItems", "order_items"], 3, |item| {
                item.required(&["itemCount", "count"], |value| whole_number(value, 1..=9))
            });
        });
        let places: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        let expected = [
            "#/order_id",
            "#/order_id",
            "#/customerId",
            "#/order_items/0/count",
            "#/order_items/1",
            "#/order_items/2/itemCount",
        ];
        assert_eq!(places, expected, "what is missing has no place but that of its first name");
    }

    #[test]
    fn null_is_as_good_as_missing_where_a_field_may_be_missing() {
        let mut body = Body::parse(br#"{"a": null}"#).unwrap();
        assert_eq!(body.fields().optional(&["a"], text), Some(None));
        assert_eq!(body.fields().optional(&["b"], text), Some(None));
        let mut both = Body::parse(br#"{"a": "x", "b": null}"#).unwrap();
        assert_eq!(both.fields().optional(&["a", "b"], text), None, "a name says x, the other says nothing");
        assert_eq!(body.fields().required(&["a"], text), None);
    }

    #[test]
    fn an_unknown_field_is_a_fault_where_it_may_be_a_typing_mistake() {
        let faults = faults(r#"{"force": true, "a/b": 1}"#, |body| body.only(&[&["force"]]));
        assert_eq!(faults, [("#/a~1b".into(), "is not known; expected are force".into())]);
    }

    #[test]
    fn what_is_no_object_is_one_fault() {
        for bad in ["", "[]", "\"x\"", "{", "{\"a\":}", "null", &"[".repeat(1000)] {
            let problem = Body::parse(bad.as_bytes()).unwrap_err();
            assert_eq!(problem.status(), 400, "{bad}");
        }
    }
}
