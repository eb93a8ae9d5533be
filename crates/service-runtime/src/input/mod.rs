//! What clients send, read field by field: every fault is told at once, and a field may have several names.
//!
//! A typed deserializer stops at its first fault and forgets a name that comes twice. [`Body`] and [`Query`]
//! keep what was sent, hand out its fields, each read by a function of its own, and collect what is wrong;
//! their `finish` is the 400 with all of it.

mod body;
mod json;
mod media_type;
mod path;
mod query;

use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

pub use body::{Body, Fields};
pub use json::Json;
pub(crate) use json::shown;
pub use path::Path;
pub use query::Query;

/// Reads a whole number of a query or a path: digits only.
///
/// # Errors
/// What is expected, and what it is instead.
pub fn parse_whole_number<T: FromStr + PartialOrd + Display>(
    text: &str,
    range: impl RangeBounds<T>,
) -> Result<T, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    in_range(text.parse().ok().filter(|_| is_number), &range, || shown(text))
}

/// Reads a whole number of a body. For JSON, 3 and 3.0 are one number.
///
/// # Errors
/// What is expected, and what it is instead.
pub fn whole_number<T: TryFrom<i64> + PartialOrd + Display>(
    value: &Json,
    range: impl RangeBounds<T>,
) -> Result<T, String> {
    let number = match value {
        Json::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|number| number.fract() == 0.0)?;
            // By way of its digits: no cast that loses anything.
            format!("{float:.0}").parse().ok()
        }),
        _ => None,
    };
    in_range(number.and_then(|number| T::try_from(number).ok()), &range, || value.to_string())
}

fn in_range<T: PartialOrd + Display>(
    number: Option<T>,
    range: &impl RangeBounds<T>,
    given: impl FnOnce() -> String,
) -> Result<T, String> {
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        let from = match range.start_bound() {
            Bound::Included(first) => format!(" from {first}"),
            Bound::Excluded(below) => format!(" above {below}"),
            Bound::Unbounded => String::new(),
        };
        let to = match range.end_bound() {
            Bound::Included(last) => format!(" to {last}"),
            Bound::Excluded(beyond) => format!(" and below {beyond}"),
            Bound::Unbounded => String::new(),
        };
        format!("must be a whole number{from}{to}, this is {}", given())
    })
}

/// Reads a string of a body.
///
/// # Errors
/// What it is instead.
pub fn text(value: &Json) -> Result<&str, String> {
    match value {
        Json::Text(text) => Ok(text),
        other => Err(format!("must be a string, this is {other}")),
    }
}

/// Reads a switch of a body.
///
/// # Errors
/// What it is instead.
pub fn flag(value: &Json) -> Result<bool, String> {
    match value {
        Json::Bool(flag) => Ok(*flag),
        other => Err(format!("must be true or false, this is {other}")),
    }
}
