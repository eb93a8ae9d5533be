//! `CORS_ALLOWED_ORIGINS`: which web pages may call the service.

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::observe::REQUEST_ID;
use crate::repetition::IDEMPOTENCY_KEYS;

/// How long a browser may remember what it was allowed, in seconds.
const MAX_AGE: u64 = 600;

/// Lets pages of these origins call the service and read its headers.
pub(crate) fn layer(origins: Vec<HeaderValue>) -> CorsLayer {
    let own = HeaderName::from_static;
    let [key, older_key] = IDEMPOTENCY_KEYS.map(own);
    let allow =
        if origins.iter().any(|origin| origin == "*") { Any.into() } else { AllowOrigin::list(origins) };
    CorsLayer::new()
        .allow_origin(allow)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            key,
            own("prefer"),
            own("traceparent"),
            older_key,
            REQUEST_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            own("order-position"),
            own("preference-applied"),
            REQUEST_ID,
        ])
        .max_age(std::time::Duration::from_secs(MAX_AGE))
}
