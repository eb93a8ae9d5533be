//! Sends dead letters back to the events topic: the original bytes, in one transaction with the note that it was
//! done.
//!
//! A letter is sent once, also when several instances are asked at the same time: all of them use one transactional
//! id. Whoever starts fences the others, then reads the dead letter topic to its end: it sees every redrive that was
//! committed, and one that was not can no longer be.

use std::sync::Arc;

use order_events::EventCodec;
use rdkafka::ClientConfig;
use rdkafka::message::OwnedMessage;
use tokio::runtime::Handle;

use super::error::{NotApproved, RedriveError, Refusal};
use super::examiner::{Approved, Examiner};
use super::request::{RedriveRequest, Report, Selection};
use super::transaction::{Topics, note};
use crate::dead_letters::index::{BatchQuery, TrackedLetter};
use crate::dead_letters::one_at_a_time::OneAtATime;
use crate::dead_letters::topic::{DeadLetterTopicError, Lookup};
use crate::view::store::Store;
use crate::writer::Writer;

/// How many bytes of letters go into one transaction.
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
    /// Puts the parts together; opens nothing yet. Must be called inside of a runtime.
    pub(crate) fn new(
        writer: ClientConfig,
        lookup: Lookup,
        events_topic: String,
        codec: Arc<EventCodec>,
        store: Store,
        max_attempts: u32,
    ) -> Self {
        let examiner = Examiner { events_topic, codec, store, max_attempts, runtime: Handle::current() };
        let inner = Arc::new(Inner { writer, lookup, examiner });
        Self { inner, queue: OneAtATime::default() }
    }

    /// Sends letters again, or tells why not.
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
        let offsets: Vec<i64> = letters.iter().map(|found| found.letter.dlq_offset).collect();
        let mut records = topic.read(&offsets)?;
        let (mut approved, mut refused) = (Vec::new(), Vec::new());
        for (found, offset) in letters.into_iter().zip(&offsets) {
            match self.examine(found, records.remove(offset), request.force) {
                Ok(letter) => approved.push(letter),
                Err(NotApproved::Refused(refusal)) => refused.push((*offset, refusal)),
                Err(NotApproved::Undecided(error)) => return Err(error),
            }
        }
        let redriven = match writer {
            Some(writer) if !approved.is_empty() => self.topics().send(&writer, &approved, request)?,
            _ => approved.iter().map(|approved| note(approved, approved.place, request)).collect(),
        };
        let next = offsets.last().copied().filter(|_| remaining > 0);
        Ok(Report { redriven, refused, remaining, next })
    }

    /// The letters that are meant, ascending; and how many more there are.
    fn select(&self, request: &RedriveRequest) -> Result<(Vec<TrackedLetter>, usize), DeadLetterTopicError> {
        let portion = match &request.which {
            Selection::One(offset) => {
                let found = self.lookup.find_blocking(*offset)?;
                return Ok((found.into_iter().collect(), 0));
            }
            Selection::Some { filter, after, limit } => BatchQuery {
                filter,
                after: *after,
                only_new: !request.force,
                limit: *limit,
                bytes: MAX_BYTES,
            },
        };
        Ok(self.lookup.index.oldest(portion))
    }

    /// The record of a letter may be gone meanwhile.
    fn examine(
        &self,
        found: TrackedLetter,
        record: Option<OwnedMessage>,
        force: bool,
    ) -> Result<Approved, NotApproved> {
        self.examiner.examine(found, record.ok_or(Refusal::NotFound)?, force)
    }

    fn topics(&self) -> Topics<'_> {
        Topics { events: &self.examiner.events_topic, dead_letters: self.lookup.topic.name() }
    }
}
