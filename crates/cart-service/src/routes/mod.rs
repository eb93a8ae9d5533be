//! The HTTP interface.

mod create_order;
mod health;
mod update_order;
mod write;

use axum::Router;
use axum::routing::{get, post};
use order_events::Position;
use serde::Serialize;
use serde_json::Value;
use service_runtime::{api_docs, observe};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::create_order::Created;
use self::update_order::Updated;
use crate::api::{self, Api};
use crate::state::AppState;

/// Every route of the service.
pub(crate) fn router(state: AppState) -> Router {
    let (routes, operations) = described().split_for_parts();
    let api = api::describe(&operations, state.orders.max_items);
    routes
        .route("/orders/", post(create_order::place_order))
        .route("/metrics", get(observe::metrics))
        .merge(api_docs::routes(api))
        .with_state(state)
}

/// The description of the HTTP interface, of a service that takes orders of up to `max_items`.
pub fn openapi(max_items: u32) -> Value {
    api::describe(&described().into_openapi(), max_items)
}

/// The answers that several operations share, which the operations only refer to.
#[derive(OpenApi)]
#[openapi(components(schemas(Created<'static>, Updated<'static>)))]
struct Answers;

fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Api::openapi().merge_from(Answers::openapi()))
        .routes(routes!(create_order::create_order))
        .routes(routes!(update_order::update_order))
        .routes(routes!(update_order::update_order_by_post))
        .routes(routes!(create_order::place_order))
        .routes(routes!(update_order::patch_order))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
}

/// Where an event is in Kafka.
#[derive(Debug, Serialize, ToSchema)]
struct Kafka {
    topic: String,
    partition: i32,
    offset: i64,
    /// `<partition>:<offset>`, as order-service takes it.
    position: String,
}

impl From<Position> for Kafka {
    fn from(Position { topic, place }: Position) -> Self {
        Self { topic, partition: place.partition, offset: place.offset, position: place.to_string() }
    }
}
