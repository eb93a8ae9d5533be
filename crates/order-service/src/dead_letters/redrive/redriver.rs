//! One redrive, step by step: fence, catch up, examine, send.
//!
//! A letter is sent once, even if several instances are asked at the same time: they share one transactional id.
//! Initialising it fences the other instances and aborts what they left open. Then the dead letter topic is read to
//! its end: every committed redrive is known, and an uncommitted one never will be committed.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use order_events::Place;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message};
use tracing::info;

use super::examiner::{Approved, Examiner};
use super::request::{RedriveError, RedriveRequest, Refusal, Report, Selection};
use crate::dead_letters::PARTITION;
use crate::dead_letters::headers::{self, to_kafka};
use crate::dead_letters::index::{BatchQuery, TrackedLetter};
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::one_at_a_time::OneAtATime;
use crate::dead_letters::topic::{DeadLetterTopicError, Lookup};
use crate::event::record;
use crate::writer::{Failure, NewRecord, TransactionWriter, Writer};

/// The most bytes of letters in one transaction.
const MAX_BYTES: usize = 32 << 20;

/// Sends letters again, one request at a time; cheap to clone.
#[derive(Clone)]
pub struct Redriver {
    inner: Arc<Inner>,
    queue: OneAtATime,
}

struct Inner {
    writer: ClientConfig,
    lookup: Lookup,
    examiner: Examiner,
}

impl Redriver {
    /// Opens nothing yet.
    pub(crate) fn new(writer: ClientConfig, lookup: Lookup, examiner: Examiner) -> Self {
        let inner = Arc::new(Inner { writer, lookup, examiner });
        Self { inner, queue: OneAtATime::default() }
    }

    /// Sends letters again.
    ///
    /// # Errors
    /// See [`RedriveError`]; nothing was sent, unless it says otherwise.
    pub async fn redrive(&self, request: RedriveRequest) -> Result<Report, RedriveError> {
        let inner = self.inner.clone();
        let done = self.queue.run(move || inner.redrive(&request)).await;
        done.unwrap_or_else(|_| {
            Err(RedriveError::InDoubt("the sending ended without a word; the log has its panic".to_owned()))
        })
    }
}

impl Inner {
    fn redrive(&self, request: &RedriveRequest) -> Result<Report, RedriveError> {
        let writer = match request.dry_run {
            true => None,
            false => {
                Some(Writer::init(&self.writer).map_err(|error| RedriveError::NotSent(error.to_string()))?)
            }
        };
        let Lookup { topic, index, .. } = &self.lookup;
        topic.catch_up(index)?;
        let (letters, remaining) = self.select(request)?;
        let offsets: Vec<i64> = letters.iter().map(|tracked| tracked.letter.dlq_offset).collect();
        let mut records = topic.read(&offsets)?;
        let (mut approved, mut refused) = (Vec::new(), Vec::new());
        for (letter, offset) in letters.into_iter().zip(&offsets) {
            let examined = match records.remove(offset) {
                Some(record) => self.examiner.examine(letter, record, request.force)?,
                // Retention has deleted the record in the meantime.
                None => Err(Refusal::NotFound),
            };
            match examined {
                Ok(letter) => approved.push(letter),
                Err(refusal) => refused.push((*offset, refusal)),
            }
        }
        let redriven = match writer {
            Some(writer) if !approved.is_empty() => self.send(&writer, &approved, request)?,
            _ => approved.iter().map(|letter| note(letter, letter.place, request)).collect(),
        };
        let next = offsets.last().copied().filter(|_| remaining > 0);
        Ok(Report { redriven, refused, remaining, next })
    }

    /// The letters of the request, ascending; and how many more match.
    fn select(&self, request: &RedriveRequest) -> Result<(Vec<TrackedLetter>, usize), DeadLetterTopicError> {
        let query = match &request.selection {
            Selection::One(offset) => {
                let letter = self.lookup.find_blocking(*offset)?;
                return Ok((letter.into_iter().collect(), 0));
            }
            Selection::Some { filter, after, limit } => BatchQuery {
                filter,
                after: *after,
                only_new: !request.force,
                limit: *limit,
                max_bytes: MAX_BYTES,
            },
        };
        Ok(self.lookup.index.oldest(query))
    }

    /// Sends the approved letters and their notes in one transaction.
    fn send(
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
        let notes = self.write(writer, approved, request).inspect_err(|_| writer.abort())?;
        writer.commit(None).map_err(|failure| RedriveError::of_commit(failure, transactional))?;
        for note in &notes {
            let RedriveNote { dlq_offset, attempt, forced, partition, offset, .. } = note;
            let (by, request_id) = (note.by.as_deref(), note.request_id.as_deref());
            info!(dlq_offset, attempt, forced, partition, offset, by, request_id, "dead letter sent again");
        }
        Ok(notes)
    }

    /// Writes the events first, since the notes say where they are.
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
        let mut notes = Vec::with_capacity(approved.len());
        for (number, letter) in approved.iter().enumerate() {
            let offset = offset(&delivered, number).ok_or_else(|| {
                RedriveError::before_commit("Kafka did not tell where an event is now", transactional)
            })?;
            let note = note(letter, Place { offset, ..letter.place }, request);
            self.send_note(writer, letter, &note)?;
            notes.push(note);
        }
        Ok(notes)
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
        writer.send(NewRecord {
            topic: &self.examiner.events_topic,
            partition: place.partition,
            key: record.key(),
            value: record.payload(),
            headers: Some(to_kafka(&headers)),
            number: Some(number),
        })
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
        let sent = writer.send(NewRecord {
            topic: self.lookup.topic.name(),
            partition: PARTITION,
            key: approved.record.key(),
            value: Some(&value),
            headers: Some(to_kafka(&note.headers())),
            number: None,
        });
        sent.map_err(|error| RedriveError::of_record(&error, transactional))
    }
}

/// The offset of a delivered event. librdkafka does not know it if the broker had the record already when it was sent
/// once more.
fn offset(delivered: &HashMap<usize, i64>, number: usize) -> Option<i64> {
    delivered.get(&number).copied().filter(|offset| *offset >= 0)
}

/// The note that a letter was sent again, to this place.
fn note(approved: &Approved, Place { partition, offset }: Place, request: &RedriveRequest) -> RedriveNote {
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
