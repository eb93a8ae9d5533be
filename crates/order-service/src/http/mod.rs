//! The HTTP interface.

mod api;
pub mod asyncapi;
#[cfg(test)]
mod contract;
mod dead_letter_view;
mod dead_letters;
pub mod error;
mod event_outcome;
mod health;
#[cfg(test)]
#[path = "../../tests/in_process/mod.rs"]
mod in_process;
mod order;
mod order_ids;
mod order_position;
mod order_view;
mod orders;
mod pages;
mod redrive;
pub mod state;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use service_runtime::{api_docs, observe};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::api::Api;
use crate::http::state::AppState;

/// The names under which an order id may come; the first is the canonical one.
const ORDER_ID: &[&str] = &["orderId", "order_id"];

/// Every route of the service. `asyncapi` describes its topics.
pub fn router(state: AppState, asyncapi: Value) -> Router {
    let (routes, operations) = described().split_for_parts();
    routes
        .route("/orders/", get(orders::orders))
        .route("/metrics", get(observe::metrics))
        .route("/asyncapi.json", get(|| async { Json(asyncapi) }))
        .merge(api_docs::routes(api::describe(&operations)))
        .with_state(state)
}

/// The description of the HTTP interface.
pub fn openapi() -> Value {
    api::describe(&described().into_openapi())
}

fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(order::order_details))
        .routes(routes!(order_ids::all_order_ids))
        .routes(routes!(orders::orders))
        .routes(routes!(order::order))
        .routes(routes!(event_outcome::event_outcome))
        .routes(routes!(dead_letters::dead_letter_stats))
        .routes(routes!(dead_letters::dead_letters))
        .routes(routes!(dead_letters::dead_letter))
        .routes(routes!(redrive::redrive_one))
        .routes(routes!(redrive::redrive_some))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
}
