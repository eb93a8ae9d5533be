//! The problems of this service, as clients see them.

use std::time::Duration;

use axum::http::StatusCode;
use service_runtime::{Problem, ProblemType};
use tracing::error;

/// When a client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// When an event is probably processed.
const PROCESSED_SOON: Duration = Duration::from_secs(1);

/// Every problem of this service's own.
pub const PROBLEMS: [ProblemType; 5] =
    [UNKNOWN_ORDER, UNKNOWN_TOPIC, UNKNOWN_PARTITION, NOT_PROCESSED, NOT_READY];

const UNKNOWN_ORDER: ProblemType =
    ProblemType { slug: "unknown-order", title: "No such order", status: StatusCode::NOT_FOUND };

const UNKNOWN_TOPIC: ProblemType =
    ProblemType { slug: "unknown-topic", title: "No such topic", status: StatusCode::NOT_FOUND };

const UNKNOWN_PARTITION: ProblemType =
    ProblemType { slug: "unknown-partition", title: "No such partition", status: StatusCode::NOT_FOUND };

const NOT_PROCESSED: ProblemType = ProblemType {
    slug: "not-processed",
    title: "The event is not processed yet",
    status: StatusCode::SERVICE_UNAVAILABLE,
};

const NOT_READY: ProblemType =
    ProblemType { slug: "not-ready", title: "Not ready", status: StatusCode::SERVICE_UNAVAILABLE };

/// There is no order with this id.
pub fn unknown_order(order_id: &str) -> Problem {
    let detail = format!("There is no order {order_id}. One that was just created may not be processed yet.");
    Problem::new(UNKNOWN_ORDER, detail)
}

/// The orders of another topic were asked for.
pub fn unknown_topic(asked: &str, ours: &str) -> Problem {
    Problem::new(UNKNOWN_TOPIC, format!("This service has the orders of topic {ours}, not of {asked}."))
}

/// The topic has no such partition.
pub fn unknown_partition(topic: &str, partition: usize) -> Problem {
    Problem::new(UNKNOWN_PARTITION, format!("Topic {topic} has no partition {partition}."))
}

/// The order as of an event was asked for, and the event is not processed yet.
pub fn not_processed(position: &str) -> Problem {
    let detail = format!(
        "The event at {position} is not processed yet. Try again, or let the request wait: Prefer: wait=5."
    );
    Problem::new(NOT_PROCESSED, detail).retry_after(PROCESSED_SOON)
}

/// A defect of ours. The client is not told what it is; the log is.
pub fn internal(error: impl std::error::Error) -> Problem {
    error!(%error, "a request failed");
    let kind = ProblemType::of_status(StatusCode::INTERNAL_SERVER_ERROR);
    Problem::new(kind, "Something failed here; the log says what, under the x-request-id.")
}

/// The service cannot answer yet.
pub fn not_ready(reason: &str) -> Problem {
    Problem::new(NOT_READY, format!("Not ready: {reason}.")).retry_after(RETRY_AFTER)
}
