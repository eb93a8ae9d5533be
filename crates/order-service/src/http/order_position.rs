//! Monotonic reads: `Order-Position` says what of the log an answer shows at least, and `position` asks any
//! instance for nothing older.
//!
//! The offset is the last one that is processed, so an instance that has processed the event at it is as far.

use std::time::Duration;

use axum::http::HeaderName;
use order_events::Place;
use order_events::position::NoPlace;
use service_runtime::input::Query;
use service_runtime::{Prefer, Problem};
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::http::error;
use crate::http::state::AppState;
use crate::view::processed::Known;

const NAMES: &[&str] = &["position"];

/// What every read of orders takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(super) struct PositionQuery {
    /// `<partition>:<offset>`, or several with commas: nothing older than that event has left it. The `position`
    /// of a write, or the `Order-Position` of a read.
    #[param(
        pattern = "^[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18})*$",
        example = "0:42",
        nullable = false,
        required = false
    )]
    position: Option<String>,
}

/// The places in `position`; none if it is missing, `None` if it is wrong.
pub(super) fn read(query: &mut Query) -> Option<Vec<Place>> {
    query.optional(NAMES, parse).map(Option::unwrap_or_default)
}

fn parse(text: &str) -> Result<Vec<Place>, String> {
    let places: Result<_, NoPlace> = text.split(',').map(|place| place.trim().parse()).collect();
    places.map_err(|error| format!("{error}; this is {text:?}"))
}

/// Waits, as long as the client prefers for all of them together, until the events at these places are processed.
///
/// # Errors
/// A 503 if they are not by then, or their partitions are being restored; a 404 for a partition that is none.
pub(super) async fn reach(state: &AppState, places: &[Place], prefer: Prefer) -> Result<(), Problem> {
    let deadline = Instant::now() + prefer.wait().unwrap_or(Duration::ZERO);
    for place in places {
        let patience = deadline.saturating_duration_since(Instant::now());
        match state.known(*place, Some(patience), |known| *known != Known::Pending).await? {
            Some(Known::Pending) => return Err(error::not_processed(*place)),
            Some(_) => {}
            None => return Err(error::unknown_partition(&state.topic, place.partition)),
        }
    }
    Ok(())
}

/// The header that says so; none while nothing is processed.
pub(super) fn header(places: &[Place]) -> Option<[(HeaderName, String); 1]> {
    let value = places.iter().map(Place::to_string).collect::<Vec<_>>().join(",");
    (!value.is_empty()).then(|| [(HeaderName::from_static("order-position"), value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_was_answered_can_be_asked_for() {
        let places = vec![Place { partition: 0, offset: 42 }, Place { partition: 2, offset: 0 }];
        let [(_, value)] = header(&places).unwrap();
        assert_eq!((value.as_str(), parse(&value)), ("0:42,2:0", Ok(places)));
        assert_eq!(header(&[]), None);
        for bad in ["", ",", "0:1,", "0:1;1:2", "x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
