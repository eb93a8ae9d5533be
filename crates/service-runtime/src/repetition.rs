//! What sending a request again does, when nobody knows what became of it.

use axum::extract::Request;

/// The headers with a key that a client gives its request, so that sending it again does no harm: the draft standard's
/// name (draft-ietf-httpapi-idempotency-key-header), and the older one.
pub const IDEMPOTENCY_KEYS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// What sending a request again does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// Nothing: it only reads (RFC 9110, section 9.2.1).
    OfRead,
    /// Nothing more: its key tells that it is the same.
    WithKey,
    /// Perhaps the same once more.
    WithoutKey,
}

impl Repetition {
    pub(crate) fn of(request: &Request) -> Self {
        if request.method().is_safe() {
            Self::OfRead
        } else if IDEMPOTENCY_KEYS.iter().any(|name| request.headers().contains_key(*name)) {
            Self::WithKey
        } else {
            Self::WithoutKey
        }
    }
}
