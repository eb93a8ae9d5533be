//! Health: whether the process lives, and whether it can do its work just now.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use service_runtime::{Problem, ProblemType};

use crate::state::AppState;

/// The whole picture. 503 when events cannot be published.
pub(super) async fn health(State(state): State<AppState>) -> (StatusCode, Json<Value>) {
    match state.publisher.obstacle() {
        None => (StatusCode::OK, Json(json!({ "status": "healthy", "kafka": "connected" }))),
        Some(reason) => {
            let body = json!({ "status": "unhealthy", "kafka": "disconnected", "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}

/// Restart the process if this fails: it answers as long as the process can.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// Send requests here only while this is 200.
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    match state.publisher.obstacle() {
        None => Ok(Json(json!({ "status": "ready" }))),
        Some(reason) => {
            let kind = ProblemType::of_status(StatusCode::SERVICE_UNAVAILABLE);
            Err(Problem::new(kind, format!("Not ready to publish: {reason}.")))
        }
    }
}
