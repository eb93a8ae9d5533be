//! The `traceparent` of W3C Trace Context, version 00.

use std::fmt;
use std::str::FromStr;

use rand::RngExt;
use thiserror::Error;

/// Which trace something belongs to, and which step of it came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Begins a trace of its own, marked as sampled.
    pub fn start() -> Self {
        let mut rng = rand::rng();
        // The specification forbids all zeros in both.
        Self {
            trace_id: rng.random_range(1..=u128::MAX),
            parent_id: rng.random_range(1..=u64::MAX),
            flags: 1,
        }
    }

    /// The next step of the same trace.
    pub fn child(self) -> Self {
        Self { parent_id: rand::rng().random_range(1..=u64::MAX), ..self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Not a `traceparent`; the specification says to begin a new trace then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a W3C traceparent")]
pub struct NotATraceparent;

impl FromStr for TraceContext {
    type Err = NotATraceparent;

    /// Reads version 00, and of later versions the fields that version 00 has.
    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let mut fields = text.split('-');
        let mut next = |digits| hex(fields.next(), digits);
        let (version, trace_id, parent_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let forbidden = version == 0xff || trace_id == 0 || parent_id == 0;
        if forbidden || (version == 0 && fields.next().is_some()) {
            return Err(NotATraceparent);
        }
        let parent_id = u64::try_from(parent_id).map_err(|_| NotATraceparent)?;
        let flags = u8::try_from(flags).map_err(|_| NotATraceparent)?;
        Ok(Self { trace_id, parent_id, flags })
    }
}

/// Exactly `digits` lower-case hexadecimal digits.
fn hex(field: Option<&str>, digits: usize) -> Result<u128, NotATraceparent> {
    let field = field.ok_or(NotATraceparent)?;
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if field.len() != digits || !field.bytes().all(lower_hex) {
        return Err(NotATraceparent);
    }
    u128::from_str_radix(field, 16).map_err(|_| NotATraceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_one_is_read_and_written_the_same() {
        assert_eq!(VALID.parse::<TraceContext>().unwrap().to_string(), VALID);
    }

    #[test]
    fn a_child_stays_in_the_trace() {
        let parent: TraceContext = VALID.parse().unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id, parent.trace_id);
        assert_ne!(child, parent);
        let own = TraceContext::start();
        assert_eq!(own.to_string().parse(), Ok(own));
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        for invalid in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(invalid.parse::<TraceContext>(), Err(NotATraceparent), "{invalid:?}");
        }
        assert!("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x".parse::<TraceContext>().is_ok());
    }
}
