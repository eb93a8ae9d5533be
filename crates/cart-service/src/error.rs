//! Failures to publish, as clients see them.

use std::time::Duration;

use axum::http::StatusCode;
use order_events::{Position, Reason};
use service_runtime::{Problem, ProblemType};
use tracing::{debug, error, warn};

use crate::idempotency::EventId;
use crate::publisher::PublishError;

/// When a client may try again: by then a broker that was restarted is back, more often than not.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Every problem of this service's own.
pub const PROBLEMS: [ProblemType; 7] = [
    NOT_PUBLISHED,
    DELIVERY_UNKNOWN,
    DUPLICATE_ORDER,
    ILLEGAL_TRANSITION,
    UNKNOWN_ORDER,
    IDEMPOTENCY_KEY_REUSED,
    DEAD_LETTERED,
];

/// The event is surely not in the log.
const NOT_PUBLISHED: ProblemType =
    ProblemType::new("not-published", "The event was not published", StatusCode::SERVICE_UNAVAILABLE);

/// The event may be in the log.
const DELIVERY_UNKNOWN: ProblemType = ProblemType::new(
    "delivery-unknown",
    "The event may or may not have been published",
    StatusCode::SERVICE_UNAVAILABLE,
);

/// The answer to a request whose event was not confirmed. Logs what the client is not told.
pub(crate) fn problem(failure: &PublishError, event_id: EventId) -> Problem {
    let detail = match failure {
        PublishError::Unknown(reason) => {
            warn!(%event_id, reason, "delivery unknown");
            return delivery_unknown(event_id);
        }
        PublishError::TooLarge => {
            let kind = ProblemType::of_status(StatusCode::PAYLOAD_TOO_LARGE);
            return Problem::new(kind, "The order is larger than Kafka takes; send fewer items.");
        }
        PublishError::Encode(_) => {
            error!(%event_id, error = %failure, "an event of our own making cannot be encoded");
            return Problem::internal();
        }
        PublishError::NotReady(reason) => {
            debug!(%reason, "not ready to publish");
            "The service cannot publish yet; /health says why. Try again."
        }
        PublishError::QueueFull => "Kafka is slower than the requests come in. Try again.",
        PublishError::Rejected(reason) => {
            warn!(%event_id, %reason, "event not taken");
            "Kafka did not take the event. Try again."
        }
    };
    Problem::new(NOT_PUBLISHED, detail).retry_after(RETRY_AFTER)
}

/// The event may be in the log. `Retry-After` only if repeating is safe.
fn delivery_unknown(event_id: EventId) -> Problem {
    let problem = if event_id.is_repeatable {
        let detail = "Kafka did not confirm the event; it may have arrived. Send the same request again, with the \
                      same Idempotency-Key: it is applied once.";
        Problem::new(DELIVERY_UNKNOWN, detail).retry_after(RETRY_AFTER)
    } else {
        let detail = "Kafka did not confirm the event; it may have arrived. Look first whether it has, since without \
                      an Idempotency-Key the same request may be applied twice.";
        Problem::new(DELIVERY_UNKNOWN, detail)
    };
    problem.with("eventId", event_id.to_string())
}

const DUPLICATE_ORDER: ProblemType =
    ProblemType::new("duplicate-order", "The order exists already", StatusCode::CONFLICT);

const ILLEGAL_TRANSITION: ProblemType =
    ProblemType::new("illegal-transition", "The order cannot take this status", StatusCode::CONFLICT);

const UNKNOWN_ORDER: ProblemType = ProblemType::new("unknown-order", "No such order", StatusCode::NOT_FOUND);

const IDEMPOTENCY_KEY_REUSED: ProblemType = ProblemType::new(
    "idempotency-key-reused",
    "The Idempotency-Key belongs to another request",
    StatusCode::UNPROCESSABLE_ENTITY,
);

const DEAD_LETTERED: ProblemType =
    ProblemType::new("dead-lettered", "The event could not be processed", StatusCode::INTERNAL_SERVER_ERROR);

/// The answer to a client that waited, and whose event was published but could not be processed.
pub(crate) fn dead_lettered(reason: Option<&str>, position: &Position, event_id: EventId) -> Problem {
    let (kind, detail) = match reason.and_then(|reason| reason.parse().ok()) {
        Some(Reason::DuplicateOrder) => {
            (DUPLICATE_ORDER, "An order with this id exists; it was not changed.")
        }
        Some(Reason::IllegalTransition) => {
            (ILLEGAL_TRANSITION, "The order's status does not allow this change; it was not changed.")
        }
        Some(Reason::UnknownOrder) => (UNKNOWN_ORDER, "There is no order with this id; create it first."),
        Some(Reason::IdempotencyConflict) => (
            IDEMPOTENCY_KEY_REUSED,
            "This Idempotency-Key was used for another request about this order; use a new key.",
        ),
        _ => {
            error!(%event_id, %position, reason, "an event of our own making was dead-lettered");
            (DEAD_LETTERED, "The event could not be processed; it is kept in the dead letter topic.")
        }
    };
    Problem::new(kind, detail)
        .with("eventId", event_id.to_string())
        .with("position", position.place.to_string())
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use axum::response::IntoResponse;
    use order_events::Place;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};
    use uuid::Uuid;

    use super::*;

    const UNIQUE: EventId = EventId { uuid: Uuid::nil(), is_repeatable: false };

    #[test]
    fn what_was_not_confirmed_is_a_503_that_says_whether_it_may_be_in_the_log() {
        let rejected = KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed);
        let cases = [
            (PublishError::Unknown("the broker at 10.0.0.1 hangs".to_owned()), DELIVERY_UNKNOWN, true),
            (PublishError::QueueFull, NOT_PUBLISHED, false),
            (PublishError::NotReady("the broker at 10.0.0.1 is away".to_owned()), NOT_PUBLISHED, false),
            (PublishError::Rejected(rejected), NOT_PUBLISHED, false),
            (PublishError::TooLarge, ProblemType::of_status(StatusCode::PAYLOAD_TOO_LARGE), false),
        ];
        for (failure, kind, has_event_id) in cases {
            let problem = problem(&failure, UNIQUE).to_json();
            assert_eq!(
                (&problem["type"], &problem["status"]),
                (&kind.uri().into(), &kind.status.as_u16().into())
            );
            assert_eq!(problem.get("eventId").is_some(), has_event_id, "{problem}");
            assert!(!problem.to_string().contains("10.0.0.1"), "{problem}");
        }
    }

    #[test]
    fn only_what_surely_did_not_arrive_or_has_a_key_is_to_be_tried_again() {
        let unknown = || PublishError::Unknown("it hangs".to_owned());
        let cases = [
            (PublishError::QueueFull, false, Some("2"), "Try again."),
            (unknown(), true, Some("2"), "Send the same request again, with the same Idempotency-Key"),
            (unknown(), false, None, "Look first"),
        ];
        for (failure, is_repeatable, retry_after, what_to_do) in cases {
            let problem = problem(&failure, EventId { is_repeatable, ..UNIQUE });
            let told = problem.to_json().to_string();
            assert!(told.contains(what_to_do), "{told}");
            let response = problem.into_response();
            let told = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(told, retry_after, "{failure}");
        }
    }

    #[test]
    fn every_reason_of_a_dead_letter_has_an_answer() {
        let position =
            Position { topic: "order-events".to_owned(), place: Place { partition: 1, offset: 7 } };
        for reason in Reason::ALL {
            let problem = dead_lettered(Some(reason.as_str()), &position, UNIQUE);
            let expected = match reason {
                Reason::DuplicateOrder | Reason::IllegalTransition => 409,
                Reason::UnknownOrder => 404,
                Reason::IdempotencyConflict => 422,
                _ => 500,
            };
            assert_eq!(problem.status(), expected, "{reason:?}");
            assert_eq!(problem.to_json()["position"], "1:7");
        }
    }
}
