//! `Prefer: wait=N` (RFC 7240, section 4.3): how long a client is willing to wait for its answer.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The longest that a request waits, in seconds. A client that prefers more gets this.
pub const MAX_WAIT: u64 = 30;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a client prefers. What it prefers beyond waiting is passed over, as the RFC has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    wait: Option<u64>,
}

impl Prefer {
    /// The preference among a request's headers. Of several, only the first one counts (RFC 7240, section 2).
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let values = headers.get_all(PREFER).into_iter();
        let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let first = values.iter().flat_map(|value| preferences(value)).find_map(|preference| {
            let token = preference.split(';').next()?;
            let (name, value) = token.split_once('=').unwrap_or((token, ""));
            name.trim().eq_ignore_ascii_case("wait").then(|| seconds(value))
        });
        Self { wait: first.flatten() }
    }

    /// How long the client is willing to wait, if it said so.
    pub fn wait(self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }

    /// Tells the client that its preference was followed; a part of a response.
    pub fn applied(self) -> Option<[(HeaderName, HeaderValue); 1]> {
        let value = self.wait.map(|seconds| HeaderValue::try_from(format!("wait={seconds}")));
        value?.ok().map(|value| [(PREFERENCE_APPLIED, value)])
    }

    /// The preference as a request's header; whole seconds, rounded to the nearest.
    pub fn header(wait: Duration) -> (HeaderName, HeaderValue) {
        let seconds = wait.as_secs_f64().round();
        let value = HeaderValue::try_from(format!("wait={seconds}"));
        (PREFER, value.unwrap_or(HeaderValue::from_static("wait=0")))
    }
}

/// The preferences in one header: a comma between quotation marks is part of one.
fn preferences(value: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    value.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
}

/// Any number of digits is a number, and the largest ones are no more than the most.
fn seconds(value: &str) -> Option<u64> {
    let digits = value.trim().trim_matches('"');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(MAX_WAIT).min(MAX_WAIT))
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, value.parse().unwrap());
        }
        Prefer::from_headers(&headers).wait
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        assert_eq!(wait(&["wait=5"]), Some(5));
        assert_eq!(wait(&["respond-async, Wait = \"7\"; x=y"]), Some(7));
        assert_eq!(wait(&["return=minimal", "wait=3"]), Some(3));
        assert_eq!(wait(&["wait=1, wait=2"]), Some(1));
        assert_eq!(wait(&["wait=86400"]), Some(MAX_WAIT));
        assert_eq!(wait(&["wait=99999999999999999999"]), Some(MAX_WAIT));
        assert_eq!(wait(&["foo=\"a, wait=1\", wait=2"]), Some(2));
    }

    #[test]
    fn what_is_no_wait_is_passed_over() {
        for other in
            ["respond-async", "wait", "wait=", "wait=soon", "wait=-1", "waiting=5", "wait=soon, wait=5"]
        {
            assert_eq!(wait(&[other]), None, "{other}");
        }
        assert_eq!(Prefer::default().applied(), None);
    }

    #[test]
    fn a_header_is_read_back() {
        let (name, value) = Prefer::header(Duration::from_millis(1500));
        let headers = HeaderMap::from_iter([(name, value)]);
        assert_eq!(Prefer::from_headers(&headers).wait(), Some(Duration::from_secs(2)));
    }
}
