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
    let mut body = json!({
        "status": "healthy",
        "consumer": "running",
        "orders_in_memory": state.store.count(),
        "partitions": state.progress.partitions(),
    });
    let Some(reason) = state.progress.unready_because() else {
        return (StatusCode::OK, Json(body));
    };
    body["status"] = "unhealthy".into();
    body["consumer"] = if state.progress.is_live() { "waiting" } else { "hung" }.into();
    body["reason"] = reason.into();
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

/// Restart the process if this fails.
pub(super) async fn live(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    if state.progress.is_live() {
        Ok(Json(json!({ "status": "live" })))
    } else {
        Err(error::not_ready("the consumer thread gives no sign of life"))
    }
}

/// Send requests here only while this is 200.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    match state.progress.unready_because() {
        None => Ok(Json(json!({ "status": "ready" }))),
        Some(reason) => Err(error::not_ready(&reason)),
    }
}
