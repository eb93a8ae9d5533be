//! The problems of this service, as clients see them.

use std::time::Duration;

use axum::http::StatusCode;
use order_events::Place;
use service_runtime::{Problem, ProblemType};
use tracing::{error, warn};

use crate::dead_letters::{DeadLetterTopicError, RedriveError, Refusal};

/// When a client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// When an event is probably processed.
const PROCESSED_SOON: Duration = Duration::from_secs(1);

/// Every problem of this service's own.
pub const PROBLEMS: [ProblemType; 11] = [
    UNKNOWN_ORDER,
    UNKNOWN_TOPIC,
    UNKNOWN_PARTITION,
    NOT_PROCESSED,
    UNKNOWN_DEAD_LETTER,
    ALREADY_REDRIVEN,
    TOO_MANY_REDRIVES,
    SUPERSEDED,
    NOT_REDRIVABLE,
    REDRIVE_FAILED,
    REDRIVE_UNKNOWN,
];

const UNKNOWN_ORDER: ProblemType = ProblemType::new("unknown-order", "No such order", StatusCode::NOT_FOUND);

const UNKNOWN_TOPIC: ProblemType = ProblemType::new("unknown-topic", "No such topic", StatusCode::NOT_FOUND);

const UNKNOWN_PARTITION: ProblemType =
    ProblemType::new("unknown-partition", "No such partition", StatusCode::NOT_FOUND);

const NOT_PROCESSED: ProblemType =
    ProblemType::new("not-processed", "The event is not processed yet", StatusCode::SERVICE_UNAVAILABLE);

const UNKNOWN_DEAD_LETTER: ProblemType =
    ProblemType::new("unknown-dead-letter", "No such dead letter", StatusCode::NOT_FOUND);

const ALREADY_REDRIVEN: ProblemType =
    ProblemType::new("already-redriven", "Sent again already", StatusCode::CONFLICT);

const TOO_MANY_REDRIVES: ProblemType =
    ProblemType::new("too-many-redrives", "Sent again too often", StatusCode::CONFLICT);

const SUPERSEDED: ProblemType =
    ProblemType::new("superseded", "A later update was applied", StatusCode::CONFLICT);

const NOT_REDRIVABLE: ProblemType =
    ProblemType::new("not-redrivable", "This record cannot be sent again", StatusCode::UNPROCESSABLE_ENTITY);

/// Surely nothing was sent again.
const REDRIVE_FAILED: ProblemType =
    ProblemType::new("redrive-failed", "Nothing was sent again", StatusCode::SERVICE_UNAVAILABLE);

/// It may be in the events topic.
const REDRIVE_UNKNOWN: ProblemType = ProblemType::new(
    "redrive-unknown",
    "It may or may not have been sent again",
    StatusCode::SERVICE_UNAVAILABLE,
);

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
pub fn unknown_partition(topic: &str, partition: i32) -> Problem {
    Problem::new(UNKNOWN_PARTITION, format!("Topic {topic} has no partition {partition}."))
}

/// The order as of an event was asked for, and the event is not processed yet.
pub fn not_processed(place: Place) -> Problem {
    let detail = format!(
        "The event at {place} is not processed yet. Try again, or let the request wait: Prefer: wait=5."
    );
    Problem::new(NOT_PROCESSED, detail).retry_after(PROCESSED_SOON)
}

/// A defect of ours. The client is not told what it is; the log is.
pub fn internal(error: impl std::error::Error) -> Problem {
    error!(%error, "a request failed");
    Problem::internal()
}

/// There is no letter at this offset.
pub fn unknown_dead_letter(dlq_offset: i64) -> Problem {
    let detail = format!("There is no dead letter at offset {dlq_offset}, or it is not there any more.");
    Problem::new(UNKNOWN_DEAD_LETTER, detail)
}

/// A letter is not sent again.
pub fn refused(dlq_offset: i64, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::NotFound => unknown_dead_letter(dlq_offset),
        Refusal::AlreadyRedriven { at, position } => {
            let detail = format!(
                "Dead letter {dlq_offset} was sent again at {at}, and is now the event at {position}. To send it \
                 once more: {{\"force\": true}}."
            );
            Problem::new(ALREADY_REDRIVEN, detail).with("position", position.as_str())
        }
        Refusal::TooManyAttempts { max } => {
            let detail = format!(
                "The event of dead letter {dlq_offset} was sent again {max} times, which is as often as \
                 REDRIVE_MAX_ATTEMPTS allows."
            );
            Problem::new(TOO_MANY_REDRIVES, detail)
        }
        Refusal::Superseded { order_id } => {
            let detail = format!(
                "A later update of order {order_id} was applied; dead letter {dlq_offset} would undo it. To send it \
                 all the same: {{\"force\": true}}."
            );
            Problem::new(SUPERSEDED, detail)
        }
        Refusal::Undecodable(reason) => {
            let detail = format!("Dead letter {dlq_offset} is no event, and would only come back: {reason}.");
            Problem::new(NOT_REDRIVABLE, detail)
        }
        Refusal::OtherTopic(topic) => {
            let topic = topic.as_deref().unwrap_or("nobody knows where");
            let detail =
                format!("Dead letter {dlq_offset} comes from {topic}, which this service does not consume.");
            Problem::new(NOT_REDRIVABLE, detail)
        }
    }
}

/// Letters could not be sent again just now, as far as is known.
pub fn redrive_failed(error: &RedriveError) -> Problem {
    warn!(%error, "dead letters could not be sent again");
    let try_again = |detail| Problem::new(REDRIVE_FAILED, detail).retry_after(RETRY_AFTER);
    match error {
        // Repeated blindly, a forced one would be sent twice.
        RedriveError::InDoubt(_) => Problem::new(
            REDRIVE_UNKNOWN,
            "Kafka did not say whether it was sent again. Look at the letter before you try again.",
        ),
        RedriveError::TooLarge => Problem::new(
            NOT_REDRIVABLE,
            "Nothing was sent again: a record is larger than the events topic takes (max.message.bytes).",
        ),
        RedriveError::Topic(_) | RedriveError::NotSent(_) => try_again(
            "Nothing was sent again: Kafka does not answer, or another instance was asked at the same time. Try \
             again.",
        ),
        RedriveError::Registry(_) => {
            try_again("Nothing was sent again: the schema registry does not answer. Try again.")
        }
    }
}

/// A letter that is not in memory could not be read.
pub fn letter_unreadable(error: DeadLetterTopicError) -> Problem {
    if let DeadLetterTopicError::Lost = error {
        return internal(error);
    }
    warn!(%error, "a dead letter could not be read");
    Problem::not_ready("the dead letter topic cannot be read")
}
