//! Query strings.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;

use super::{finish, one_value, the_value};
use crate::problem::{Fault, Problem};

/// A query string's pairs, and the faults found in it so far.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, Quoted)>,
    faults: Vec<Fault>,
}

/// A text that is shown with quotation marks.
#[derive(Debug, PartialEq)]
struct Quoted(String);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self { pairs: pairs.map(|(name, value)| (name, Quoted(value))).collect(), faults: Vec::new() }
    }

    /// The one value under any of `names`, read; `None` and a fault if there is none, if several disagree or
    /// if it cannot be read.
    pub fn required<T>(&mut self, names: &[&str], read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let outcome = the_value(&self.pairs, names).and_then(|value| read(&value.0));
        self.checked(outcome.map_err(|detail| Fault::query(names[0], detail)))
    }

    /// As [`required`](Self::required), but there may be none.
    pub fn optional<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let value = one_value(&self.pairs, names);
        let outcome = value.and_then(|value| value.map(|value| read(&value.0)).transpose());
        self.checked(outcome.map_err(|detail| Fault::query(names[0], detail)))
    }

    /// `outcome`'s value; notes its error, a fault found elsewhere, in the path for example.
    pub fn checked<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// `outcome`, unless any fault was found.
    ///
    /// # Errors
    /// A 400 with every fault.
    pub fn finish<T>(self, outcome: Option<T>) -> Result<T, Problem> {
        finish(outcome, self.faults)
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
            "?id is \"a\" as id but \"b\" as order_id",
            "?topic is missing",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}
