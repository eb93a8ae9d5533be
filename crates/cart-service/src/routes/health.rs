//! Health: whether the process lives, and whether it can do its work just now.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use service_runtime::Problem;
use service_runtime::health::{self, Brief};
use utoipa::ToSchema;

use crate::state::AppState;

/// How the service is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "connected")]
    kafka: &'static str,
    /// Why events cannot be published, if they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The whole picture. 503 when events cannot be published.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "Events can be published.", body = Health),
    (status = 503, description = "They cannot.", body = Health),
))]
pub(super) async fn health(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let reason = state.publisher.obstacle();
    let (code, status, kafka) = match &reason {
        None => (StatusCode::OK, "healthy", "connected"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "disconnected"),
    };
    (code, Json(Health { status, kafka, reason }))
}

/// Restart the process if this fails: it answers as long as the process can.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, description = "It lives.", body = Brief)))]
pub(super) async fn live() -> Result<Json<Brief>, Problem> {
    health::live(None)
}

/// Send requests here only while this is 200.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "Events can be published.", body = Brief),
    (status = 503, description = "`not-ready`: they cannot; `detail` says why."),
))]
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Brief>, Problem> {
    health::ready(state.publisher.obstacle().as_deref())
}
