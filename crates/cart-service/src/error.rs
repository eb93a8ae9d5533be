//! Failures to publish, as clients see them.

use std::time::Duration;

use axum::http::StatusCode;
use service_runtime::{Problem, ProblemType};
use tracing::{error, warn};
use uuid::Uuid;

use crate::publisher::PublishError;

/// When a client may try again: by then a broker that was restarted is back, more often than not.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The event is surely not in the log.
pub const NOT_PUBLISHED: ProblemType = ProblemType {
    slug: "not-published",
    title: "The event was not published",
    status: StatusCode::SERVICE_UNAVAILABLE,
};

/// The event may be in the log.
pub const DELIVERY_UNKNOWN: ProblemType = ProblemType {
    slug: "delivery-unknown",
    title: "The event may or may not have been published",
    status: StatusCode::SERVICE_UNAVAILABLE,
};

/// The answer to a request whose event was not confirmed. Logs what the client is not told.
pub fn problem(failure: &PublishError, event_id: Uuid) -> Problem {
    let detail = match failure {
        PublishError::Unknown => {
            warn!(%event_id, "delivery unknown");
            let detail = "Kafka did not confirm the event in time; it may have arrived. Sending the request \
                          again is safe with the same Idempotency-Key.";
            return Problem::new(DELIVERY_UNKNOWN, detail)
                .retry_after(RETRY_AFTER)
                .with("eventId", event_id.to_string());
        }
        PublishError::TooLarge => {
            let kind = ProblemType::of_status(StatusCode::PAYLOAD_TOO_LARGE);
            return Problem::new(kind, "The order is larger than Kafka takes; send fewer items.");
        }
        PublishError::Encode(_) => {
            error!(%event_id, error = %failure, "an event of our own making cannot be encoded");
            let kind = ProblemType::of_status(StatusCode::INTERNAL_SERVER_ERROR);
            return Problem::new(kind, "Something failed here; the log says what, under the x-request-id.");
        }
        PublishError::NotReady(reason) => format!("The service is starting: {reason}. Try again."),
        PublishError::QueueFull => "Kafka is slower than the requests come in. Try again.".to_owned(),
        PublishError::Rejected(reason) => {
            warn!(%event_id, %reason, "event not taken");
            "Kafka did not take the event. Try again.".to_owned()
        }
    };
    Problem::new(NOT_PUBLISHED, detail).retry_after(RETRY_AFTER)
}
