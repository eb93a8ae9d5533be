//! Health: whether the process lives, and whether it can answer well just now.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use service_runtime::Problem;
use service_runtime::health::{self, Brief};
use utoipa::ToSchema;

use crate::http::state::AppState;
use crate::view::status::{ObstacleReport, PartitionStatus};

/// How the service is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy`, `degraded` or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    /// `running`, `waiting` or `hung`.
    consumer: &'static str,
    /// What this instance is called: `INSTANCE_ID`, or a name that it has made for itself at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    orders_in_memory: usize,
    /// Events that retention took before they were processed.
    events_lost: i64,
    /// Events that were processed and may not be in the log any more, since that lost its end; at most so many.
    events_cut: i64,
    partitions: Vec<PartitionStatus>,
    /// Why requests should not come here, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Everything that is in the way, the most urgent first: since when, and what to do.
    obstacles: Vec<ObstacleReport>,
}

/// The whole picture. 503 when requests should not come here.
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "Orders are processed and shown. If `status` is `degraded`, something needs a look; `obstacles` says what.", body = Health),
    (status = 503, description = "They are not, or are far behind; `reason` says why.", body = Health),
))]
pub(super) async fn health(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let partitions = state.status.partitions();
    let reason = state.status.unready_because();
    let obstacles = state.status.obstacles();
    let (code, status, consumer) = match (&reason, state.status.is_live()) {
        (None, _) if !obstacles.is_empty() => (StatusCode::OK, "degraded", "running"),
        (None, _) => (StatusCode::OK, "healthy", "running"),
        (Some(_), true) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "waiting"),
        (Some(_), false) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "hung"),
    };
    let body = Health {
        status,
        consumer,
        instance: state.status.instance(),
        orders_in_memory: state.order_count(),
        events_lost: partitions.iter().map(|partition| partition.lost).sum(),
        events_cut: partitions.iter().filter_map(|partition| partition.cut).map(|cut| cut.events).sum(),
        partitions,
        reason,
        obstacles,
    };
    (code, Json(body))
}

/// Restart the process if this fails.
#[utoipa::path(get, path = "/health/live", tag = "health", responses(
    (status = 200, description = "It lives.", body = Brief),
    (status = 503, description = "`not-ready`: it hangs; restart it."),
))]
pub(super) async fn live(State(state): State<AppState>) -> Result<Json<Brief>, Problem> {
    let hung = "the pipeline gives no sign of life";
    health::live((!state.status.is_live()).then_some(hung))
}

/// Send requests here only while this is 200.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses(
    (status = 200, description = "Send requests here.", body = Brief),
    (status = 503, description = "`not-ready`: `detail` says why."),
))]
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Brief>, Problem> {
    health::ready(state.status.unready_because().as_deref())
}
