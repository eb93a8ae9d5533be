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
    /// The preference among a request's headers. Of several, the first one counts.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let values = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
        let wait = values.flat_map(|value| value.split(',')).find_map(|preference| {
            let token = preference.split(';').next()?;
            let (name, value) = token.split_once('=')?;
            if !name.trim().eq_ignore_ascii_case("wait") {
                return None;
            }
            value.trim().trim_matches('"').parse().ok()
        });
        Self { wait: wait.map(|seconds: u64| seconds.min(MAX_WAIT)) }
    }

    /// How long the client is willing to wait, if it said so.
    pub fn wait(self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }

    /// Tells the client that its preference was followed; a part of a response.
    pub fn applied(self) -> Option<[(HeaderName, String); 1]> {
        self.wait.map(|seconds| [(PREFERENCE_APPLIED, format!("wait={seconds}"))])
    }

    /// The preference as a request's header; whole seconds, rounded up.
    pub fn header(wait: Duration) -> (HeaderName, HeaderValue) {
        let seconds = wait.as_millis().div_ceil(1000);
        let value = HeaderValue::try_from(format!("wait={seconds}"));
        (PREFER, value.unwrap_or(HeaderValue::from_static("wait=0")))
    }
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
    }

    #[test]
    fn what_is_no_wait_is_passed_over() {
        for other in ["respond-async", "wait", "wait=", "wait=soon", "wait=-1", "waiting=5"] {
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
