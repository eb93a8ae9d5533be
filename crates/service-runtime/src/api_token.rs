//! `API_TOKEN`: only those who know it may write.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::HeaderMapExt;
use headers::authorization::{Authorization, Bearer};
use subtle::ConstantTimeEq;

use crate::problem::{Problem, ProblemType};

/// The fewest characters of a token: fewer can be guessed.
const MIN_LENGTH: usize = 16;

/// A secret. It is never shown, not even by `Debug`.
#[derive(Clone)]
pub struct ApiToken(Arc<str>);

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl FromStr for ApiToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() >= MIN_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(format!("at least {MIN_LENGTH} printable characters without blanks are expected"))
        }
    }
}

impl ApiToken {
    /// In a time that tells nothing of the token but its length.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// Middleware: writes need the token (RFC 6750); reads do not.
pub(crate) async fn protect(State(token): State<ApiToken>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let given = request.headers().typed_get::<Authorization<Bearer>>();
    let (detail, challenge) = match given {
        Some(Authorization(bearer)) if token.is(bearer.token()) => return next.run(request).await,
        Some(_) => ("The token is not the right one.", "Bearer realm=\"orders\", error=\"invalid_token\""),
        None => (
            "This service needs a token for writes (curl: -H 'Authorization: Bearer <token>').",
            "Bearer realm=\"orders\"",
        ),
    };
    let problem = Problem::new(ProblemType::UNAUTHORIZED, detail);
    problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_never_shown() {
        let token: ApiToken = "0123456789abcdef".parse().unwrap();
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is(""));
        assert_eq!(format!("{token:?}"), "(not shown)");
        assert!("short".parse::<ApiToken>().is_err() && "0123456789 abcdef".parse::<ApiToken>().is_err());
    }
}
