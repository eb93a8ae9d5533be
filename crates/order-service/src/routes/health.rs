//! Health: whether the process lives, and whether it can answer well just now.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use service_runtime::Problem;

use crate::error;
use crate::state::AppState;

/// The whole picture. 503 when requests should not come here.
pub(super) async fn health(State(state): State<AppState>) -> (StatusCode, Json<Value>) {
    let partitions = state.status.partitions();
    let lost: i64 = partitions.iter().map(|partition| partition.lost).sum();
    let mut body = json!({
        "status": "healthy",
        "consumer": "running",
        "orders_in_memory": state.order_count(),
        "events_lost": lost,
        "partitions": partitions,
    });
    let Some(reason) = state.status.unready_because() else {
        return (StatusCode::OK, Json(body));
    };
    body["status"] = "unhealthy".into();
    body["consumer"] = if state.status.is_live() { "waiting" } else { "hung" }.into();
    body["reason"] = reason.into();
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

/// Restart the process if this fails.
pub(super) async fn live(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    if state.status.is_live() {
        Ok(Json(json!({ "status": "live" })))
    } else {
        Err(error::not_ready("the pipeline gives no sign of life"))
    }
}

/// Send requests here only while this is 200.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    match state.status.unready_because() {
        None => Ok(Json(json!({ "status": "ready" }))),
        Some(reason) => Err(error::not_ready(&reason)),
    }
}
