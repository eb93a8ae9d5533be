//! What an order id is, for both services and for every spelling a client may use.

use std::fmt;

use thiserror::Error;
use utoipa::ToSchema;

/// The most characters an order id may have.
pub const MAX_CHARS: usize = 128;

/// An order id that keeps the rules: not blank, at most [`MAX_CHARS`] characters, no control characters, no
/// white space around it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
// So many digits would be too long with their prefix.
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^(?!\s*([0-9]{125,}|\.\.?)\s*$)[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$",
    example = "ORD-1001"
)]
pub struct OrderId(String);

impl OrderId {
    /// Reads an id as a person types it: trims it and, when it is digits only, puts `prefix` and a dash
    /// before it (`123` is `ORD-123`). An empty prefix leaves digits as they are.
    ///
    /// # Errors
    /// The rule that the id breaks.
    pub fn parse(typed: &str, prefix: &str) -> Result<Self, OrderIdError> {
        let trimmed = typed.trim();
        let digits = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit());
        let id =
            if digits && !prefix.is_empty() { format!("{prefix}-{trimmed}") } else { trimmed.to_owned() };
        Self::check(&id)?;
        if matches!(id.as_str(), "." | "..") {
            return Err(OrderIdError::Dots);
        }
        Ok(Self(id))
    }

    /// An id that nobody chose: the prefix, a dash, and `unique` as 32 hexadecimal digits.
    pub fn generated(prefix: &str, unique: u128) -> Self {
        let dash = if prefix.is_empty() { "" } else { "-" };
        Self(format!("{prefix}{dash}{unique:032x}"))
    }

    /// Whether `id`, as it stands in an event, keeps the rules.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(id: &str) -> Result<(), OrderIdError> {
        if id.trim().is_empty() {
            return Err(OrderIdError::Blank);
        }
        if id.trim() != id {
            return Err(OrderIdError::NotTrimmed);
        }
        if id.chars().any(char::is_control) {
            return Err(OrderIdError::ControlCharacter);
        }
        match id.chars().count() {
            count if count > MAX_CHARS => Err(OrderIdError::TooLong { count }),
            _ => Ok(()),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the setting for the prefix of ids that are digits only.
///
/// # Errors
/// What is allowed.
pub fn prefix(text: &str) -> Result<String, String> {
    if text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err("at most 32 letters and digits are allowed".to_owned())
    }
}

/// The rule that an order id breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderIdError {
    /// Nothing, or only white space.
    #[error("must not be blank")]
    Blank,
    /// White space at an end; only in events, since what a person types is trimmed.
    #[error("must not begin or end with white space")]
    NotTrimmed,
    /// Control characters are kept for the service's own records.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// What in a path means the folder itself or the one above it, also when it is percent-encoded; only what a
    /// person types.
    #[error("must not be one or two dots")]
    Dots,
    /// More than [`MAX_CHARS`].
    #[error("must have at most {MAX_CHARS} characters, this has {count}")]
    TooLong {
        /// How many it has.
        count: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Result<String, OrderIdError> {
        OrderId::parse(typed, "ORD").map(OrderId::into_string)
    }

    #[test]
    fn digits_get_the_prefix_and_others_stay() {
        assert_eq!(parsed("123").unwrap(), "ORD-123");
        assert_eq!(parsed(" 007 ").unwrap(), "ORD-007");
        assert_eq!(parsed("ORD-123").unwrap(), "ORD-123");
        assert_eq!(parsed("ORDER-001").unwrap(), "ORDER-001");
        assert_eq!(parsed("12a").unwrap(), "12a");
        assert_eq!(OrderId::parse("123", "").unwrap().as_str(), "123");
    }

    #[test]
    fn a_generated_id_keeps_the_rules() {
        for prefix in ["", "ORD", &"X".repeat(32)] {
            let id = OrderId::generated(prefix, 7);
            assert_eq!(OrderId::check(id.as_str()), Ok(()));
            assert_eq!(OrderId::parse(id.as_str(), "").unwrap(), id);
        }
    }

    #[test]
    fn the_rules_are_told_apart() {
        assert_eq!(parsed("  "), Err(OrderIdError::Blank));
        assert_eq!(parsed("a\u{7}b"), Err(OrderIdError::ControlCharacter));
        assert_eq!(parsed(&"x".repeat(129)), Err(OrderIdError::TooLong { count: 129 }));
        assert!(parsed(&"é".repeat(128)).is_ok());
        assert_eq!(OrderId::check(" a"), Err(OrderIdError::NotTrimmed));
    }

    #[test]
    fn the_prefix_counts_towards_the_length() {
        assert!(parsed(&"1".repeat(124)).is_ok());
        assert_eq!(parsed(&"1".repeat(125)), Err(OrderIdError::TooLong { count: 129 }));
    }
}
