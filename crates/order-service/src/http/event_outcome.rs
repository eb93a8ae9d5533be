//! `GET /events/{topic}/{partition}/{offset}`: what became of one event.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use order_events::{EventReport, Place};
use service_runtime::input::{Path, parse_whole_number};
use service_runtime::{Fault, Prefer, Problem};

use crate::http::error;
use crate::http::state::AppState;
use crate::view::processed::Known;

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
    let place = place(&partition, &offset)?;
    let known = state.known(place, prefer.wait(), Known::is_final).await?;
    let known = known.ok_or_else(|| error::unknown_partition(&topic, place.partition))?;
    let (outcome, reason) = known.report();
    let Place { partition, offset } = place;
    let reason = reason.map(Cow::into_owned);
    let report = EventReport { topic, partition, offset, position: place.to_string(), outcome, reason };
    Ok((prefer.applied(), Json(report)).into_response())
}

fn place(partition: &str, offset: &str) -> Result<Place, Problem> {
    let partition = parse_whole_number(partition, 0..).map_err(|detail| Fault::path("partition", detail));
    let offset = parse_whole_number(offset, 0..).map_err(|detail| Fault::path("offset", detail));
    match (partition, offset) {
        (Ok(partition), Ok(offset)) => Ok(Place { partition, offset }),
        (partition, offset) => {
            Err(Problem::invalid(partition.err().into_iter().chain(offset.err()).collect()))
        }
    }
}
