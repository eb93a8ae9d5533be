//! What sending a request again does, when nobody knows what became of it.

use axum::extract::Request;

/// The headers with a key that a client gives its request, so that sending it again does no harm: the draft standard's
/// name (draft-ietf-httpapi-idempotency-key-header), and the older one.
pub const IDEMPOTENCY_KEYS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// Whether a service recognises a write that is sent again by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritesHaveKeys {
    /// It looks at [`IDEMPOTENCY_KEYS`].
    Yes,
    /// It knows no keys.
    No,
}

/// What sending a request again does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// Nothing: it only reads (RFC 9110, section 9.2.1).
    OfRead,
    /// Nothing more: its key tells that it is the same.
    WithKey,
    /// Perhaps the same once more, which a key would have prevented.
    WithoutKey,
    /// Perhaps the same once more.
    Unprotected,
}

impl Repetition {
    pub(crate) fn of(request: &Request, keys: WritesHaveKeys) -> Self {
        let has_key = || IDEMPOTENCY_KEYS.iter().any(|name| request.headers().contains_key(*name));
        match keys {
            _ if request.method().is_safe() => Self::OfRead,
            WritesHaveKeys::No => Self::Unprotected,
            WritesHaveKeys::Yes if has_key() => Self::WithKey,
            WritesHaveKeys::Yes => Self::WithoutKey,
        }
    }
}
