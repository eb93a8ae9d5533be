//! The description of the HTTP interface (OpenAPI), as far as it is not at the handlers.

use order_events::{OrderId, Status};
use serde_json::Value;
use service_runtime::openapi;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Description;

use crate::http::error::PROBLEMS;

/// The part of the description that is not about one operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "order-service",
        description = "Shows the orders that Kafka events have made. Errors are problem details (RFC 9457)."
    ),
    components(schemas(OrderId, Status))
)]
pub(crate) struct Api;

/// The whole description.
pub(crate) fn describe(operations: &Description) -> Value {
    openapi::complete(operations, &PROBLEMS)
}
