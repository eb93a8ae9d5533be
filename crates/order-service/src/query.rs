//! Query strings, read so that every fault is told at once and spellings may differ.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use service_runtime::{Fault, Problem};

/// A query string's pairs, and the faults found in it so far.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { pairs, faults: Vec::new() }
    }

    /// The one value under any of `names`; `None` if there is none. Values that disagree are a fault.
    pub fn optional(&mut self, names: &[&str]) -> Option<String> {
        let mut found = self.pairs.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let (first_name, first) = found.next()?;
        match found.find(|(_, other)| other != first) {
            Some((name, other)) => {
                let detail = format!("is {first:?} as {first_name} but {other:?} as {name}");
                self.faults.push(Fault::query(names[0], detail));
                None
            }
            None => Some(first.clone()),
        }
    }

    /// As [`optional`](Self::optional), but a missing one is a fault.
    pub fn required(&mut self, names: &[&str]) -> Option<String> {
        if !self.pairs.iter().any(|(name, _)| names.contains(&name.as_str())) {
            self.faults.push(Fault::query(names[0], "is missing"));
        }
        self.optional(names)
    }

    /// `outcome`'s value; notes its error as a fault of `name`.
    pub fn checked<T>(&mut self, name: &str, outcome: Result<T, String>) -> Option<T> {
        outcome.map_err(|detail| self.faults.push(Fault::query(name, detail))).ok()
    }

    /// `outcome`'s value; notes its error, a fault found elsewhere.
    pub fn noted<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        outcome.map_err(|fault| self.faults.push(fault)).ok()
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

/// A number from 0 on.
///
/// # Errors
/// What is expected instead.
pub fn whole_number(text: &str) -> Result<i64, String> {
    let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.ok_or_else(|| "must be a whole number from 0".to_owned())
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.path_and_query().and_then(PathAndQuery::query).unwrap_or_default()))
    }
}
