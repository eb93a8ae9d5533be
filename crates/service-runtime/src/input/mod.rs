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

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::str::FromStr;

pub use body::{Body, Fields};
pub use json::Json;
pub(crate) use json::shown;
pub use path::Path;
pub use query::Query;

use crate::problem::{Fault, Problem};

/// How many unknown names are told.
const MAX_NAMES: usize = 100;

/// What is wrong with a value, and the name under which the client sent it.
struct Misread {
    name: String,
    detail: String,
}

impl Misread {
    fn new(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), detail: detail.into() }
    }
}

/// What `read` makes of the value under any of `names`, and under which one it was sent, if there is one. Several must
/// come to the same: `123` and `ORD-123` may be one order, 3 and 3.0 are one number.
///
/// # Errors
/// A value that cannot be read, or two that disagree.
fn one<'a, T: PartialEq>(
    pairs: &'a [(String, Json)],
    names: &[&str],
    read: impl Fn(&'a Json) -> Result<T, String>,
) -> Result<Option<(&'a str, T)>, Misread> {
    let mut first: Option<(&str, &Json, T)> = None;
    for (name, value) in pairs.iter().filter(|(name, _)| names.contains(&name.as_str())) {
        let read = read(value).map_err(|detail| Misread::new(name, detail))?;
        match &first {
            Some((other_name, other, same)) if *same != read => {
                let detail = format!("is {other} as {other_name} but {value} as {name}");
                return Err(Misread::new(name, detail));
            }
            Some(_) => {}
            None => first = Some((name, value, read)),
        }
    }
    Ok(first.map(|(name, _, value)| (name, value)))
}

/// Each name once, and not too many of them: nobody reads more.
fn unique_names(pairs: &[(String, Json)]) -> impl Iterator<Item = &str> {
    let names: BTreeSet<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.into_iter().take(MAX_NAMES)
}

/// What must be there; if it is not, it is missing under the first of its names.
fn required<T>(found: Option<T>, names: &[&str]) -> Result<T, Misread> {
    found.ok_or_else(|| Misread::new(names[0], "is missing"))
}

/// `outcome`, unless there are faults: then a 400 with all of them.
fn finish<T>(outcome: Option<T>, faults: Vec<Fault>) -> Result<T, Problem> {
    match outcome {
        Some(outcome) if faults.is_empty() => Ok(outcome),
        _ => Err(Problem::invalid(faults)),
    }
}

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
