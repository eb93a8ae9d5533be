//! A shared secret that a request must show: `Authorization: Bearer <token>` (RFC 6750).

use std::convert::Infallible;
use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq;

use crate::problem::{Problem, ProblemType};

const UNAUTHORIZED: ProblemType =
    ProblemType { slug: "unauthorized", title: "A token is needed", status: StatusCode::UNAUTHORIZED };

/// The secret. Has no `Debug`: it would show it.
#[derive(Clone)]
pub struct BearerToken(Box<str>);

impl FromStr for BearerToken {
    type Err = Infallible;

    fn from_str(token: &str) -> Result<Self, Infallible> {
        Ok(Self(token.into()))
    }
}

impl BearerToken {
    /// Lets a request pass that shows the token; the comparison takes the same time for every token of the same
    /// length. `setting` is where the token is set, for who is refused.
    ///
    /// # Errors
    /// A 401.
    pub fn check(&self, headers: &HeaderMap, setting: &str) -> Result<(), Problem> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
        });
        if shown.is_some_and(|shown| shown.ct_eq(self.0.as_bytes()).into()) {
            return Ok(());
        }
        let detail = match shown {
            Some(_) => format!("The token is not the service's {setting}."),
            None => format!("Show the service's {setting}: -H 'Authorization: Bearer <token>'."),
        };
        Err(Problem::new(UNAUTHORIZED, detail).challenge())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_passes() {
        let Ok(token) = "secret".parse::<BearerToken>();
        let check = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            token.check(&headers, "ADMIN_TOKEN").is_ok()
        };
        assert!(check("Bearer secret") && check("bearer  secret"));
        for bad in ["secret", "Bearer", "Bearer ", "Bearer Secret", "Bearer secret2", "Basic secret"] {
            assert!(!check(bad), "{bad}");
        }
        assert!(token.check(&HeaderMap::new(), "ADMIN_TOKEN").is_err());
    }
}
