//! What a body says that it is.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::problem::{Problem, ProblemType};

/// Lets pass what is declared as JSON (RFC 8259; RFC 6839 for `+json`), in UTF-8 and not encoded further.
///
/// # Errors
/// A 415 that tells what to type instead; a 501 for a transfer coding that nobody uses (RFC 9112, section 6.1).
pub(super) fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = text(headers, &header::CONTENT_TYPE);
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !is_json {
        return Err(not_json(headers, &content_type));
    }
    let parameters = parts.filter_map(|part| part.split_once('='));
    let charsets = parameters.filter(|(name, _)| is(name, "charset"));
    let mut charsets = charsets.map(|(_, value)| value.trim().trim_matches('"'));
    if let Some(charset) = charsets.find(|charset| !is(charset, "utf-8")) {
        return Err(unsupported(format!("The body's charset is {charset}; JSON is UTF-8.")));
    }
    let encoding = text(headers, &header::CONTENT_ENCODING);
    if !encoding.is_empty() && !is(&encoding, "identity") {
        let problem = unsupported(format!("Content-Encoding is {encoding}; send the body as it is."));
        return Err(problem.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    let coding = text(headers, &header::TRANSFER_ENCODING);
    if !coding.is_empty() && !is(&coding, "chunked") {
        let kind = ProblemType::of_status(StatusCode::NOT_IMPLEMENTED);
        return Err(Problem::new(
            kind,
            format!("Transfer-Encoding is {coding}; only chunked is understood."),
        ));
    }
    Ok(())
}

fn is(text: &str, other: &str) -> bool {
    text.trim().eq_ignore_ascii_case(other)
}

/// A header; several lines of it are one, as they may be for whoever stands between (RFC 9110, section 5.2).
fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    lines.join(", ")
}

fn not_json(headers: &HeaderMap, sent: &str) -> Problem {
    let sent = match headers.contains_key(header::CONTENT_TYPE) {
        true => format!("Content-Type is {sent}"),
        false => "Content-Type is missing".to_owned(),
    };
    unsupported(format!("{sent}; it must be application/json (curl: -H 'Content-Type: application/json')."))
}

fn unsupported(detail: String) -> Problem {
    Problem::new(ProblemType::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_in_utf8_and_as_it_is() {
        let status = |name: HeaderName, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            check_json(&headers).err().map(|problem| problem.status().as_u16())
        };
        for good in ["application/json", "Application/JSON; charset=UTF-8", "application/merge-patch+json"] {
            assert_eq!(status(header::CONTENT_TYPE, good), None, "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"] {
            assert_eq!(status(header::CONTENT_TYPE, bad), Some(415), "{bad}");
        }
        let mut twice = HeaderMap::new();
        for media_type in ["application/json", "text/plain"] {
            twice.append(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        assert!(check_json(&twice).is_err());
        assert_eq!(status(header::CONTENT_ENCODING, "gzip"), Some(415));
        assert_eq!(status(header::CONTENT_ENCODING, "identity"), None);
        assert_eq!(status(header::TRANSFER_ENCODING, "gzip, chunked"), Some(501));
        assert_eq!(status(header::TRANSFER_ENCODING, "chunked"), None);
    }
}
