//! JSON as it was sent: an object keeps every pair, also a name that comes twice.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value. Unlike `serde_json::Value`, it forgets nothing that the client sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number that a 64-bit integer or a double holds.
    Number(Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object's pairs, as they came.
    Object(Vec<(String, Json)>),
}

/// A text as it is shown to a person: in quotation marks, without control characters, and short.
pub(crate) fn shown(text: &str) -> String {
    Json::Text(text.to_owned()).to_string()
}

impl fmt::Display for Json {
    /// As it is shown in a fault: short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 40;
        let text = match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        };
        match text.char_indices().nth(MAX) {
            Some((end, _)) => write!(f, "{}...", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("the number is too large"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Json::Object(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_keeps_every_pair() {
        let json: Json = serde_json::from_str(r#"{"a": 1, "a": [null, true, "x"]}"#).unwrap();
        let Json::Object(pairs) = json else { panic!("an object is expected") };
        assert_eq!(pairs[0], ("a".into(), Json::Number(1.into())));
        assert_eq!(pairs[1].1, Json::List(vec![Json::Null, Json::Bool(true), Json::Text("x".into())]));
    }

    #[test]
    fn what_is_long_is_shown_short() {
        let long = Json::Text("é".repeat(100)).to_string();
        assert_eq!(long.chars().count(), 43);
        assert_eq!(Json::Object(Vec::new()).to_string(), "an object");
    }

    #[test]
    fn huge_numbers_and_deep_nesting_are_errors_and_no_more() {
        for bad in ["1e400".to_owned(), "[".repeat(100_000), r#"{"a":"#.repeat(100_000)] {
            assert!(serde_json::from_str::<Json>(&bad).is_err());
        }
    }
}
