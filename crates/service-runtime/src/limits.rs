//! What a client may do to a service: how long, how much at once, how often, and who may write.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::HeaderValue;
use clap::Args;
use url::Url;

use crate::api_token::ApiToken;
use crate::prefer::MAX_WAIT;
use crate::settings::{duration, positive_duration};

/// The limits of the HTTP server; the same for every service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// How long a client may take to send a request's head, and again for its body.
    #[arg(long, env = "READ_TIMEOUT", default_value = "10s", value_parser = positive_duration)]
    pub read_timeout: Duration,

    /// How long a client may take nothing of its answer, before it is let go.
    #[arg(long, env = "WRITE_TIMEOUT", default_value = "30s", value_parser = positive_duration)]
    pub write_timeout: Duration,

    /// How long an answer may take; more than the 30s that a client may ask to wait.
    #[arg(long, env = "REQUEST_TIMEOUT", default_value = "60s", value_parser = request_timeout)]
    pub request_timeout: Duration,

    /// How many requests may run at once; more are answered with 503. Health and metrics do not count.
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_concurrent_requests: u32,

    /// How many requests a second a client's address may send; more are answered with 429. No limit if unset.
    #[arg(long, env = "RATE_LIMIT", value_name = "REQUESTS")]
    pub rate_limit: Option<NonZeroU32>,

    /// A secret that writes must bring as `Authorization: Bearer <token>`. Nobody is asked if unset.
    #[arg(long, env = "API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub api_token: Option<ApiToken>,

    /// Web origins whose pages may call the service, separated by commas; * is any.
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_allowed_origins: Vec<HeaderValue>,
}

fn request_timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        long_enough if long_enough > Duration::from_secs(MAX_WAIT) => Ok(long_enough),
        _ => Err(format!("more than {MAX_WAIT}s is needed: so long a client may ask to wait")),
    }
}

/// As browsers send it (RFC 6454, section 6.1): scheme and host, and a port if it is not the usual one.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let text = text.trim();
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https");
    let url = Url::parse(text).ok().filter(is_web);
    let is_origin = text == "*" || url.is_some_and(|url| url.origin().ascii_serialization() == text);
    let value = HeaderValue::try_from(text).ok().filter(|_| is_origin);
    value.ok_or_else(|| "origins such as https://shop.example are expected, without a path; or *".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_no_path() {
        for good in ["*", "https://shop.example", " http://localhost:3000"] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "shop.example",
            "https://shop.example/",
            "https://shop.example:443",
            "https://a b",
            "http://a:99999",
            "ftp://a",
            "https://",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_may_take_longer_than_the_longest_wait() {
        assert!(request_timeout("30s").is_err());
        assert_eq!(request_timeout("31s"), Ok(Duration::from_secs(31)));
    }
}
