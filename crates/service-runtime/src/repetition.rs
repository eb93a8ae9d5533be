//! What a client should do when nobody knows what became of its request.

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

/// What to do when nobody knows what became of a request, and whether repeating it is safe.
pub(crate) fn advice(request: &Request, keys: WritesHaveKeys) -> (&'static str, bool) {
    let has_key = IDEMPOTENCY_KEYS.iter().any(|name| request.headers().contains_key(*name));
    match keys {
        // RFC 9110, section 9.2.1.
        _ if request.method().is_safe() => ("Try again.", true),
        WritesHaveKeys::No => ("Whether it was carried out is not known: look before you try again.", false),
        WritesHaveKeys::Yes if has_key => (
            "Whether it was carried out is not known. Send the same request again, with the same Idempotency-Key.",
            true,
        ),
        WritesHaveKeys::Yes => (
            "Whether it was carried out is not known: look first, since without an Idempotency-Key the same request \
             may be carried out twice.",
            false,
        ),
    }
}
