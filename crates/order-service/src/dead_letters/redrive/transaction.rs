//! The transaction in which letters are sent again: the events, and the notes of it.

use std::collections::HashMap;

use jiff::Timestamp;
use order_events::Place;
use rdkafka::Message;
use rdkafka::error::KafkaError;
use tracing::info;

use super::error::RedriveError;
use super::examiner::Approved;
use super::request::RedriveRequest;
use crate::dead_letters::PARTITION;
use crate::dead_letters::headers::{self, to_kafka};
use crate::dead_letters::note::RedriveNote;
use crate::event::record;
use crate::writer::{Failure, Writer};

/// Where the events and the notes go.
pub(super) struct Topics<'a> {
    pub(super) events: &'a str,
    pub(super) dead_letters: &'a str,
}

impl Topics<'_> {
    /// The events first, since the notes tell where they are.
    pub(super) fn send(
        &self,
        writer: &Writer,
        approved: &[Approved],
        request: &RedriveRequest,
    ) -> Result<Vec<RedriveNote>, RedriveError> {
        let transactional = writer.is_transactional();
        let not_begun = |(Failure::Aborted(error) | Failure::Unknown(error) | Failure::LeftBehind(error))| {
            RedriveError::before_commit(error, transactional)
        };
        writer.begin().map_err(not_begun)?;
        let redriven = self.write(writer, approved, request).inspect_err(|_| writer.abort())?;
        writer.commit(None).map_err(|failure| RedriveError::of_commit(failure, transactional))?;
        for note in &redriven {
            let RedriveNote { dlq_offset, attempt, forced, partition, offset, .. } = note;
            let (by, request_id) = (note.by.as_deref(), note.request_id.as_deref());
            info!(dlq_offset, attempt, forced, partition, offset, by, request_id, "dead letter sent again");
        }
        Ok(redriven)
    }

    fn write(
        &self,
        writer: &Writer,
        approved: &[Approved],
        request: &RedriveRequest,
    ) -> Result<Vec<RedriveNote>, RedriveError> {
        let transactional = writer.is_transactional();
        let failed = |error| RedriveError::of_record(&error, transactional);
        for (number, letter) in approved.iter().enumerate() {
            self.send_event(writer, number, letter, request.force).map_err(failed)?;
        }
        let delivered = writer.delivered().map_err(failed)?;
        let delivered: HashMap<usize, i64> =
            delivered.into_iter().map(|(number, mark)| (number, mark.offset)).collect();
        let mut redriven = Vec::with_capacity(approved.len());
        for (number, letter) in approved.iter().enumerate() {
            // The note has to tell where the event is.
            let offset = offset(&delivered, number).ok_or_else(|| {
                RedriveError::before_commit("Kafka did not tell where an event is now", transactional)
            })?;
            let note = note(letter, Place { offset, ..letter.place }, request);
            self.send_note(writer, letter, &note)?;
            redriven.push(note);
        }
        Ok(redriven)
    }

    fn send_event(
        &self,
        writer: &Writer,
        number: usize,
        approved: &Approved,
        force: bool,
    ) -> Result<(), KafkaError> {
        let Approved { letter, record, place, attempt } = approved;
        let origin = (!force).then(|| letter.origin.unwrap_or(*place));
        let headers = headers::of_redriven(record::headers(record), *attempt, origin);
        let headers = Some(to_kafka(&headers));
        let (partition, topic) = (Some(place.partition), self.events);
        writer.send(topic, partition, record.key(), record.payload(), headers, Some(number))
    }

    fn send_note(
        &self,
        writer: &Writer,
        approved: &Approved,
        note: &RedriveNote,
    ) -> Result<(), RedriveError> {
        let transactional = writer.is_transactional();
        let value =
            serde_json::to_vec(note).map_err(|error| RedriveError::before_commit(error, transactional))?;
        let headers = Some(to_kafka(&note.headers()));
        let key = approved.record.key();
        let sent = writer.send(self.dead_letters, Some(PARTITION), key, Some(&value), headers, None);
        sent.map_err(|error| RedriveError::of_record(&error, transactional))
    }
}

/// The offset of an event. librdkafka knows none of a record that the broker had already when it came once more.
fn offset(delivered: &HashMap<usize, i64>, number: usize) -> Option<i64> {
    delivered.get(&number).copied().filter(|offset| *offset >= 0)
}

/// The note that a letter was sent again, to this place.
pub(super) fn note(
    approved: &Approved,
    Place { partition, offset }: Place,
    request: &RedriveRequest,
) -> RedriveNote {
    RedriveNote {
        dlq_offset: approved.letter.dlq_offset,
        attempt: approved.attempt,
        at: Timestamp::now().as_millisecond(),
        by: request.by.clone(),
        request_id: request.request_id.clone(),
        forced: request.force,
        partition,
        offset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_made_up_for_an_event() {
        // RD_KAFKA_OFFSET_INVALID
        let delivered = HashMap::from([(0, 7), (1, -1001)]);
        assert_eq!([0, 1, 2].map(|number| offset(&delivered, number)), [Some(7), None, None]);
    }
}
