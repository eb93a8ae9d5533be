//! Health in one word, for what only asks whether to restart a process or to send requests to it.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// One word.
#[derive(Debug, Serialize, ToSchema)]
pub struct Brief {
    status: &'static str,
}

/// What `/health/live` answers: the process works, or `obstacle` is in the way.
///
/// # Errors
/// A 503 with the obstacle.
pub fn live(obstacle: Option<&str>) -> Result<Json<Brief>, Problem> {
    brief("live", obstacle)
}

/// What `/health/ready` answers: requests should come, or `obstacle` is in the way.
///
/// # Errors
/// A 503 with the obstacle.
pub fn ready(obstacle: Option<&str>) -> Result<Json<Brief>, Problem> {
    brief("ready", obstacle)
}

fn brief(status: &'static str, obstacle: Option<&str>) -> Result<Json<Brief>, Problem> {
    obstacle.map_or(Ok(Json(Brief { status })), |reason| Err(Problem::not_ready(reason)))
}
