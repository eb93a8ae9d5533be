//! What a body says that it is.

use axum::http::{HeaderMap, StatusCode, header};

use crate::problem::{Problem, ProblemType};

/// Lets pass what is declared as JSON (RFC 8259; RFC 6839 for `+json`).
///
/// # Errors
/// A 415 that tells what to type instead.
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    if is_json(headers) { Ok(()) } else { Err(not_json(headers)) }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn not_json(headers: &HeaderMap) -> Problem {
    let sent = match headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) {
        Some(Ok(sent)) => format!("Content-Type is {sent}"),
        Some(Err(_)) => "Content-Type is unreadable".to_owned(),
        None => "Content-Type is missing".to_owned(),
    };
    let detail = format!("{sent}; it must be application/json (curl: -H 'Content-Type: application/json').");
    Problem::new(ProblemType::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE), detail)
}
