//! The `Host` of a request (RFC 9112, section 3.2): one, so that nobody between client and service takes the request
//! for another site's.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Fault, Problem};

/// Middleware: refuses a request with no, a second or an impossible `Host`.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let fault = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => None,
        (None, _) => Some("is missing"),
        (Some(_), Some(_)) => Some("must not come twice"),
        (Some(host), None) => (!is_authority(host)).then_some("must be host or host:port"),
    };
    match fault {
        None => next.run(request).await,
        Some(fault) => Problem::invalid(vec![Fault::header("host", fault)]).into_response(),
    }
}

fn is_authority(host: &HeaderValue) -> bool {
    host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| !host.as_str().contains('@'))
}
