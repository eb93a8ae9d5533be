//! Event ids: a consumer ignores the second of two events with the same id.

use std::fmt;

use axum::http::HeaderMap;
use order_events::OrderId;
use service_runtime::{Fault, IDEMPOTENCY_KEYS};
use uuid::Uuid;

const MAX_CHARS: usize = 128;

/// The namespace of the ids made from idempotency keys (RFC 9562, version 5); never to be changed.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_0c0e_7a55_4b0c_9c1e_2f4c_6f72_6472);

/// The key that a client gave its request, so that sending it again does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key among the headers, if there is one.
    ///
    /// # Errors
    /// It is unusable, or two of its spellings disagree.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let mut found: Option<(&str, &str)> = None;
        for name in IDEMPOTENCY_KEYS {
            for value in headers.get_all(name) {
                let printable = value.to_str().ok().filter(|key| !key.contains('\t'));
                let key = printable.ok_or_else(|| Fault::header(name, "must be printable ASCII"))?;
                // A structured field writes the key in quotes; it is the same key.
                let key = key.trim();
                let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key).trim();
                match found {
                    Some((first, other)) if other != key => {
                        let detail = format!("disagrees with {first}: send one of them");
                        return Err(Fault::header(name, detail));
                    }
                    _ => found = Some((name, key)),
                }
            }
        }
        match found {
            Some((name, "")) => Err(Fault::header(name, "must not be blank")),
            Some((name, key)) if key.len() > MAX_CHARS => Err(Fault::header(
                name,
                format!("must have at most {MAX_CHARS} characters, this has {}", key.len()),
            )),
            Some((_, key)) => Ok(Some(Self(key.to_owned()))),
            None => Ok(None),
        }
    }
}

/// The id of an event, `ce_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The id itself.
    pub uuid: Uuid,
    /// Whether the same request, sent again, makes the same id: only then sending it again does no harm.
    pub is_repeatable: bool,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}

/// The id of a new event about `order`: made from the client's key if there is one, so that the same request
/// makes the same id on every instance; else random. A key belongs to one order: consumers know an order's
/// events together, not the events of all orders.
pub(crate) fn event_id(order: &OrderId, key: Option<&IdempotencyKey>) -> EventId {
    let uuid = match key {
        // An order id has no control characters, so the two parts cannot run into each other.
        Some(IdempotencyKey(key)) => Uuid::new_v5(&NAMESPACE, format!("{order}\n{key}").as_bytes()),
        None => Uuid::new_v4(),
    };
    EventId { uuid, is_repeatable: key.is_some() }
}

/// The id of a new order whose client chose none. It follows from the key, if there is one: the same request
/// must be about the same order.
pub(crate) fn order_id(prefix: &str, key: Option<&IdempotencyKey>) -> OrderId {
    let id = match key {
        Some(IdempotencyKey(key)) => Uuid::new_v5(&NAMESPACE, key.as_bytes()),
        None => Uuid::new_v4(),
    };
    OrderId::generated(prefix, id.as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn key(all: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let key = IdempotencyKey::from_headers(&headers(all));
        key.map(|key| key.map(|IdempotencyKey(key)| key)).map_err(|fault| fault.detail)
    }

    #[test]
    fn both_headers_are_read_and_quotes_do_not_matter() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[("idempotency-key", "k1")]), Ok(Some("k1".into())));
        assert_eq!(key(&[("x-idempotency-key", " \"k1\" ")]), Ok(Some("k1".into())));
        assert_eq!(key(&[("idempotency-key", "k1"), ("x-idempotency-key", "k1")]), Ok(Some("k1".into())));
    }

    #[test]
    fn unusable_keys_are_refused() {
        assert!(key(&[("idempotency-key", "")]).is_err() && key(&[("idempotency-key", "\" \"")]).is_err());
        assert!(key(&[("idempotency-key", "a\tb")]).is_err());
        assert!(key(&[("idempotency-key", &"k".repeat(129))]).is_err());
        assert!(
            key(&[("idempotency-key", "k1"), ("x-idempotency-key", "k2")]).unwrap_err().contains("disagrees")
        );
    }

    #[test]
    fn the_same_key_gives_the_same_id_for_one_order_only() {
        let (a, b) = (OrderId::parse("A", "").unwrap(), OrderId::parse("B", "").unwrap());
        let key = IdempotencyKey("k".into());
        assert_eq!(event_id(&a, Some(&key)), event_id(&a, Some(&key)));
        assert_ne!(event_id(&a, Some(&key)), event_id(&b, Some(&key)));
        assert_ne!(event_id(&a, None), event_id(&a, None));
        assert!(event_id(&a, Some(&key)).is_repeatable && !event_id(&a, None).is_repeatable);
        // Clients retry across upgrades: the id of a key is fixed for ever.
        assert_eq!(event_id(&a, Some(&key)).to_string(), "800b4d27-3a20-5e4d-943c-fd39d46d6989");
    }
}
