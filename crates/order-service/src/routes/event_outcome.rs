//! `GET /events/{topic}/{partition}/{offset}`: what became of one event.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use order_events::EventReport;
use service_runtime::input::{Path, parse_whole_number};
use service_runtime::{Fault, Prefer, Problem};

use crate::error;
use crate::processed::Known;
use crate::state::AppState;

/// What became of one event.
#[utoipa::path(
    get, path = "/events/{topic}/{partition}/{offset}",
    params(
        ("topic" = String, Path, example = "order-events"),
        ("partition" = i32, Path, minimum = 0, example = 0),
        ("offset" = i64, Path, minimum = 0, example = 0),
        ("Prefer" = Option<String>, Header, example = "wait=5", nullable = false,
            description = "Wait so many seconds, at most 30, until that is known."),
    ),
    responses(
        (status = 200, body = EventReport, description = "What became of it; `pending` if that is not known yet."),
        (status = 404, description = "`unknown-topic`, `unknown-partition`."),
        (status = 503, description = "`not-ready`: the orders are being restored."),
    ),
    tag = "events",
)]
pub(super) async fn event_outcome(
    State(state): State<AppState>,
    Path((topic, partition, offset)): Path<(String, String, String)>,
    prefer: Prefer,
) -> Result<Response, Problem> {
    if *topic != *state.topic {
        return Err(error::unknown_topic(&topic, &state.topic));
    }
    let (partition, offset) = place(&partition, &offset)?;
    let known = state.known(partition, offset, prefer.wait(), Known::is_final).await?;
    let known = known.ok_or_else(|| error::unknown_partition(&topic, partition))?;
    let (outcome, reason) = known.outcome();
    let report = EventReport {
        topic,
        partition: i32::try_from(partition).unwrap_or(i32::MAX),
        offset,
        position: format!("{partition}:{offset}"),
        outcome,
        reason: reason.map(|reason| reason.as_str().to_owned()),
    };
    Ok((prefer.applied(), Json(report)).into_response())
}

fn place(partition: &str, offset: &str) -> Result<(usize, i64), Problem> {
    let number = |name, text| parse_whole_number(text, 0..).map_err(|detail| Fault::path(name, detail));
    match (number("partition", partition), number("offset", offset)) {
        (Ok(partition), Ok(offset)) => Ok((usize::try_from(partition).unwrap_or(usize::MAX), offset)),
        (partition, offset) => {
            Err(Problem::invalid(partition.err().into_iter().chain(offset.err()).collect()))
        }
    }
}
