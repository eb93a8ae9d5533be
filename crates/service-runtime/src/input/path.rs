//! Parts of a path.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path as AxumPath};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::problem::{Fault, Problem};

pub(super) const NOT_UTF8: &str = "is no UTF-8 when its percent signs are decoded";

/// The parts of the path that the route names, as texts. Unlike axum's, it explains a part that is none.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let path = AxumPath::from_request_parts(parts, state).await;
        path.map(|AxumPath(path)| Self(path)).map_err(explained)
    }
}

fn explained(rejection: PathRejection) -> Response {
    if let PathRejection::FailedToDeserializePathParams(failure) = &rejection
        && let ErrorKind::InvalidUtf8InPathParam { key } = failure.kind()
    {
        let fault = Fault::path(key, NOT_UTF8);
        return Problem::invalid(vec![fault]).into_response();
    }
    rejection.into_response()
}
