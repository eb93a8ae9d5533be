//! Query strings.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::path::NOT_UTF8;
use super::{Body, Json, text};
use crate::problem::{Fault, Problem};

/// A query string's pairs, and the faults found in it so far: the fields of an object whose values are texts.
#[derive(Debug)]
pub struct Query(Body);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut faults = Vec::new();
        if percent_decode_str(query).decode_utf8().is_err() {
            faults.push(Fault { pointer: "?".to_owned(), detail: NOT_UTF8.to_owned() });
        }
        Self(Body { pairs: pairs.map(|(name, value)| (name, Json::Text(value))).collect(), faults })
    }

    /// As [`Fields::required`](super::Fields::required).
    pub fn required<T: PartialEq>(
        &mut self,
        names: &[&str],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.0.fields_at("?").required(names, |value| read(text(value)?))
    }

    /// As [`required`](Self::required), but there may be none.
    pub fn optional<T: PartialEq>(
        &mut self,
        names: &[&str],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        self.0.fields_at("?").optional(names, |value| read(text(value)?))
    }

    /// The faults of a query that should be empty: what was meant is sent in the body.
    pub fn unexpected(mut self) -> Vec<Fault> {
        let fault = |name: &str| Fault::query(name, "is not known here; send it in the body");
        let unexpected: Vec<_> = self.0.unique_names().into_iter().map(fault).collect();
        self.0.faults.extend(unexpected);
        self.0.faults
    }

    /// `outcome`'s value; notes its error, a fault found elsewhere, in the path for example.
    pub fn checked<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        self.0.checked(outcome)
    }

    /// `outcome`, unless any fault was found.
    ///
    /// # Errors
    /// A 400 with every fault.
    pub fn finish<T>(self, outcome: Option<T>) -> Result<T, Problem> {
        self.0.finish(outcome)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.path_and_query().and_then(PathAndQuery::query).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_whole_number;
    use super::*;

    #[test]
    fn all_faults_are_found_at_once() {
        let mut query = Query::parse("limit=%2B1&id=a&order_id=b");
        let limit = query.optional(&["limit"], |text| parse_whole_number(text, 1..=10));
        let id = query.required(&["id", "order_id"], |id| Ok(id.to_owned()));
        let topic = query.required(&["topic"], |topic| Ok(topic.to_owned()));
        let problem = query.finish(limit.zip(id).zip(topic)).unwrap_err();
        let told = problem.errors().iter().map(|fault| format!("{} {}", fault.pointer, fault.detail));
        let expected = [
            "?limit must be a whole number from 1 to 10, this is \"+1\"",
            "?order_id is \"a\" as id but \"b\" as order_id",
            "?topic is missing",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_fault_names_the_parameter_that_was_sent() {
        let mut query = Query::parse("order_id=&max=x");
        let id = query.required(&["id", "order_id"], |_| Err::<(), _>("must not be blank".to_owned()));
        let limit = query.optional(&["limit", "max"], |text| parse_whole_number(text, 1..=10));
        let problem = query.finish(id.zip(limit)).unwrap_err();
        let told: Vec<_> = problem.errors().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(told, ["?order_id", "?max"]);
    }

    #[test]
    fn what_is_no_text_is_a_fault() {
        let problem = Query::parse("a=%FF").finish(Some(())).unwrap_err();
        assert_eq!(problem.errors()[0].pointer, "?");
        assert!(Query::parse("a=%C3%A9+b").finish(Some(())).is_ok());
    }
}
