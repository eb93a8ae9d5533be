//! One promise: a request and what its answer must be.

use reqwest::{Client, Method};
use serde_json::Value;

use crate::{Answer, at, jq};

/// A request, and what is promised of its answer.
pub struct Row {
    promise: &'static str,
    to: To,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    status: u16,
    checks: Vec<Check>,
}

/// Whom a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// cart-service.
    Cart,
    /// order-service.
    Orders,
}

/// A service that is asked.
pub struct Site {
    http: Client,
    port: u16,
}

impl Site {
    /// One that listens on this port.
    pub fn local(port: u16) -> Self {
        Self { http: Client::new(), port }
    }
}

enum Check {
    /// The value at a path like jq's.
    Json(&'static str, Value),
    /// There is nothing at a path like jq's.
    NoJson(&'static str),
    /// What is at a path like jq's has this type.
    Type(&'static str, &'static str),
    /// A header; `*` stands for anything.
    Header(&'static str, &'static str),
    NoHeader(&'static str),
    /// The places of `errors`, in any order.
    Faults(&'static [&'static str]),
    /// The last part of a problem's `type`.
    Problem(&'static str),
    /// The text has this in it.
    Text(&'static str),
}

/// A request to cart-service.
pub fn cart(promise: &'static str, method: &'static str, path: &str) -> Row {
    Row::new(To::Cart, promise, method, path)
}

/// A request to order-service.
pub fn orders(promise: &'static str, path: &str) -> Row {
    Row::new(To::Orders, promise, "GET", path)
}

impl Row {
    fn new(to: To, promise: &'static str, method: &'static str, path: &str) -> Self {
        let (headers, checks) = (Vec::new(), Vec::new());
        Self { promise, to, method, path: path.to_owned(), headers, body: None, status: 200, checks }
    }

    /// Whom it goes to.
    pub fn to(&self) -> To {
        self.to
    }

    /// With a body of JSON.
    #[must_use]
    pub fn json_body(self, body: &str) -> Self {
        self.with("content-type", "application/json").body(body)
    }

    /// With any body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// With another method than GET.
    #[must_use]
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// The answer has this status.
    #[must_use]
    pub fn gives(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// It has this value at a path like jq's.
    #[must_use]
    pub fn json(mut self, path: &'static str, value: impl Into<Value>) -> Self {
        self.checks.push(Check::Json(path, value.into()));
        self
    }

    /// It has nothing there.
    #[must_use]
    pub fn no_json(mut self, path: &'static str) -> Self {
        self.checks.push(Check::NoJson(path));
        self
    }

    /// What it has there is of this type.
    #[must_use]
    pub fn is(mut self, path: &'static str, kind: &'static str) -> Self {
        self.checks.push(Check::Type(path, kind));
        self
    }

    /// It has this header; `*` stands for anything.
    #[must_use]
    pub fn header(mut self, name: &'static str, pattern: &'static str) -> Self {
        self.checks.push(Check::Header(name, pattern));
        self
    }

    /// It has no such header.
    #[must_use]
    pub fn no_header(mut self, name: &'static str) -> Self {
        self.checks.push(Check::NoHeader(name));
        self
    }

    /// Its text has this in it.
    #[must_use]
    pub fn text(mut self, part: &'static str) -> Self {
        self.checks.push(Check::Text(part));
        self
    }

    /// It is a problem with this status and the last part of this type.
    #[must_use]
    pub fn problem(mut self, status: u16, slug: &'static str) -> Self {
        self.checks.push(Check::Problem(slug));
        self.gives(status)
    }

    /// It is a 400 with faults at these places, in any order.
    #[must_use]
    pub fn faults(mut self, places: &'static [&'static str]) -> Self {
        self.checks.push(Check::Faults(places));
        self.problem(400, "invalid-request")
    }

    /// What is wrong with the answer; nothing if the promise is kept.
    pub async fn check(&self, site: &Site) -> Vec<String> {
        let url = format!("http://127.0.0.1:{}{}", site.port, self.path);
        let mut request = site.http.request(self.method.parse::<Method>().unwrap(), url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let answer = Answer::to(request).await;
        let mut wrong: Vec<String> = self.checks.iter().filter_map(|check| check.fails(&answer)).collect();
        if answer.status != self.status {
            wrong.push(format!("the status is {}, not {}", answer.status.as_u16(), self.status));
        }
        if answer.status.as_u16() >= 400 && self.method != "HEAD" {
            wrong.extend(no_problem(&answer, self.path.starts_with("/health")));
        }
        let told = |fault| {
            let text: String = answer.text.chars().take(400).collect();
            format!("{}\n  {} {}: {fault}\n  {text}", self.promise, self.method, self.path)
        };
        wrong.into_iter().map(told).collect()
    }
}

impl Check {
    fn fails(&self, answer: &Answer) -> Option<String> {
        let header = |name: &str| answer.header(name).unwrap_or("(missing)").to_owned();
        let wrong = |is: &Value| {
            let kinds = [is.is_string(), is.is_number(), is.is_array(), is.is_object()];
            let names = ["string", "number", "array", "object"];
            kinds.iter().zip(names).find(|(is, _)| **is).map_or("other", |(_, name)| name)
        };
        match self {
            Self::Json(path, expected) => match at(&answer.json, path) {
                None => Some(format!("{path} is missing")),
                Some(found) if found != expected => Some(format!("{path} is {found}, not {expected}")),
                Some(_) => None,
            },
            Self::NoJson(path) => at(&answer.json, path).map(|found| format!("{path} is {found}")),
            Self::Type(path, kind) => {
                let found = wrong(jq(&answer.json, path));
                (found != *kind).then(|| format!("{path} is {found}, not {kind}"))
            }
            Self::Header(name, pattern) => (!matches(&header(name), pattern))
                .then(|| format!("{name} is {}, not {pattern}", header(name))),
            Self::NoHeader(name) => answer.header(name).map(|value| format!("there is {name}: {value}")),
            Self::Faults(places) => {
                let errors = answer.json["errors"].as_array();
                let mut found: Vec<_> =
                    errors.into_iter().flatten().map(|error| error["pointer"].as_str().unwrap()).collect();
                let mut expected = places.to_vec();
                found.sort_unstable();
                expected.sort_unstable();
                (found != expected).then(|| format!("faults are {found:?}, not {expected:?}"))
            }
            Self::Problem(slug) => {
                let found = answer.json["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap();
                (found != *slug).then(|| format!("the problem is {found}, not {slug}"))
            }
            Self::Text(part) => (!answer.text.contains(part)).then(|| format!("{part:?} is missing")),
        }
    }
}

/// Why an answer is no problem as RFC 9457 has it, if it is none. A health report may be one of its own kind.
fn no_problem(answer: &Answer, may_report: bool) -> Option<String> {
    if may_report && answer.header("content-type") == Some("application/json") {
        return None;
    }
    if answer.header("content-type") != Some("application/problem+json") {
        return Some("it is no problem+json".to_owned());
    }
    let is_whole = answer.json["status"] == answer.status.as_u16()
        && ["type", "title", "detail"]
            .iter()
            .all(|member| !answer.json[member].as_str().unwrap_or_default().is_empty());
    (!is_whole).then(|| "its type, title, status or detail is missing or wrong".to_owned())
}

/// Whether a text is as a pattern says, with `*` for anything.
fn matches(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}
