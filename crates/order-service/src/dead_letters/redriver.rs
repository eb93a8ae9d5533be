//! Sends dead letters back to the events topic: the original bytes, in one transaction with the note that it was
//! done.
//!
//! A letter is sent once, also when several instances are asked at the same time: all of them use one transactional
//! id. Who begins fences the others and then reads the dead letter topic to its end, so it sees every redrive that
//! was committed before, and one that was not will never be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use order_events::codec::{DecodeError, Undecodable};
use order_events::registry::FetchError;
use order_events::{EventCodec, OrderEvent, Payload};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::{ClientConfig, Message};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::info;

use super::letter::to_kafka;
use super::source::{Source, SourceError};
use super::{Filed, Filter, Found, Index, PARTITION, Redrive, headers};
use crate::record;
use crate::store::Store;
use crate::writer::{Failure, Writer};

/// How many bytes of letters go into one transaction.
const MAX_BYTES: usize = 32 << 20;

/// What is to be sent again, and how.
#[derive(Debug, Clone)]
pub struct RedriveRequest {
    /// Which letters.
    pub which: Which,
    /// Overrules that a letter was sent again already, and that a later update was applied.
    pub force: bool,
    /// Only tells what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub by: Option<String>,
    /// The `x-request-id`.
    pub request_id: Option<String>,
}

/// Which letters are to be sent again.
#[derive(Debug, Clone)]
pub enum Which {
    /// The one at this offset of the dead letter topic.
    One(i64),
    /// Of those in memory that the filter takes and that were not sent again yet (or also those, with force), the
    /// oldest first.
    Some {
        /// Which ones.
        filter: Filter,
        /// Only those behind this offset of the dead letter topic.
        after: Option<i64>,
        /// At most so many; fewer if they are large.
        limit: usize,
    },
}

/// Why a letter is not sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such letter.
    NotFound,
    /// It was sent again, to this place.
    AlreadyRedriven {
        /// When, RFC 3339.
        at: String,
        /// `<partition>:<offset>`.
        position: String,
    },
    /// Its event was sent again as often as is allowed.
    TooManyAttempts {
        /// How often that is.
        max: u32,
    },
    /// A later update of its order was applied; this one would undo it.
    Superseded {
        /// The order.
        order_id: String,
    },
    /// It is no event, and would only come back.
    Undecodable(String),
    /// It is not from the topic that this service consumes, but from there.
    OtherTopic(Option<String>),
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    /// What was sent again; in a dry run, what would be, with the place of the old record.
    pub redriven: Vec<Redrive>,
    /// What was not, and why.
    pub refused: Vec<(i64, Refusal)>,
    /// How many more there are that the request would take.
    pub remaining: usize,
    /// The last one that was looked at, if there are more: they lie behind it.
    pub next: Option<i64>,
}

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum RedriveError {
    /// The topic could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The transaction failed; nothing was sent.
    #[error("the transaction failed, nothing was sent: {0}")]
    Aborted(KafkaError),
    /// The transaction failed at its very end, or another instance redrives at the same time.
    #[error("whether it was done is unknown, the list of letters will tell: {0}")]
    Unknown(KafkaError),
    /// The registry is away, so a letter cannot be looked at.
    #[error("the schema registry does not answer: {0}")]
    Registry(String),
}

impl From<Failure> for RedriveError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Aborted(error) => Self::Aborted(error),
            Failure::Unknown(error) => Self::Unknown(error),
        }
    }
}

/// Sends letters again, one request at a time; cheap to clone.
#[derive(Clone)]
pub struct Redriver(Arc<Inner>);

struct Inner {
    writer: ClientConfig,
    source: Source,
    index: Index,
    events_topic: String,
    codec: Arc<EventCodec>,
    store: Store,
    max_attempts: u32,
    runtime: Handle,
    busy: Mutex<()>,
}

/// A letter that may be sent again.
struct Approved {
    letter: Arc<Filed>,
    record: OwnedMessage,
    place: (i32, i64),
    attempt: u32,
}

impl Redriver {
    /// Puts the parts together; opens nothing yet. Must be called inside of a runtime.
    pub(crate) fn new(
        writer: ClientConfig,
        source: Source,
        index: Index,
        events_topic: String,
        codec: Arc<EventCodec>,
        store: Store,
        max_attempts: u32,
    ) -> Self {
        let (runtime, busy) = (Handle::current(), Mutex::default());
        Self(Arc::new(Inner {
            writer,
            source,
            index,
            events_topic,
            codec,
            store,
            max_attempts,
            runtime,
            busy,
        }))
    }

    /// Sends letters again, or tells why not.
    ///
    /// # Errors
    /// See [`RedriveError`]; nothing was sent, unless it says otherwise.
    pub async fn redrive(&self, request: RedriveRequest) -> Result<Report, RedriveError> {
        let _one_at_a_time = self.0.busy.lock().await;
        let inner = self.0.clone();
        let done = spawn_blocking(move || inner.redrive(&request)).await;
        done.unwrap_or_else(|_| Err(RedriveError::Unknown(KafkaError::Canceled)))
    }
}

impl Inner {
    fn redrive(&self, request: &RedriveRequest) -> Result<Report, RedriveError> {
        let writer = match request.dry_run {
            true => None,
            false => Some(Writer::init(&self.writer).map_err(RedriveError::Aborted)?),
        };
        self.source.catch_up(&self.index)?;
        let (offsets, remaining) = self.select(request);
        let next = offsets.last().copied().filter(|_| remaining > 0);
        let mut records = self.source.read(&offsets)?;
        let (mut approved, mut refused) = (Vec::new(), Vec::new());
        for offset in offsets {
            match self.examine(offset, records.remove(&offset), request.force)? {
                Ok(letter) => approved.push(letter),
                Err(refusal) => refused.push((offset, refusal)),
            }
        }
        let redriven = match writer {
            Some(writer) if !approved.is_empty() => self.send(&writer, &approved, request)?,
            _ => approved.iter().map(|approved| note(approved, approved.place, request)).collect(),
        };
        Ok(Report { redriven, refused, remaining, next })
    }

    /// The letters that are meant, ascending; and how many more there are.
    fn select(&self, request: &RedriveRequest) -> (Vec<i64>, usize) {
        let (filter, after, limit) = match &request.which {
            Which::One(offset) => return (vec![*offset], 0),
            Which::Some { filter, after, limit } => (filter, after.unwrap_or(-1), *limit),
        };
        let mut found = self.index.oldest(filter);
        found.retain(|found| found.letter.dlq_offset > after && (request.force || found.redrive.is_none()));
        let mut bytes = 0;
        let fits = |found: &&Found| {
            bytes += found.letter.size();
            bytes <= MAX_BYTES
        };
        // A letter is never too large to be sent alone.
        let count = found.iter().take(limit).take_while(fits).count().max(1).min(found.len());
        let remaining = found.len() - count;
        (found.iter().take(count).map(|found| found.letter.dlq_offset).collect(), remaining)
    }

    /// Whether a letter may be sent again.
    fn examine(
        &self,
        offset: i64,
        record: Option<OwnedMessage>,
        force: bool,
    ) -> Result<Result<Approved, Refusal>, RedriveError> {
        let Some(record) = record.filter(|record| Redrive::of(record).is_none()) else {
            return Ok(Err(Refusal::NotFound));
        };
        let Found { letter, redrive, .. } =
            self.index.get(offset).unwrap_or_else(|| self.index.with_redrive(Filed::of(&record)));
        let place = letter.place().filter(|(partition, _)| {
            letter.topic.as_deref() == Some(self.events_topic.as_str())
                && self.store.has_partition(*partition)
        });
        let Some(place) = place else {
            let from = letter.topic.as_deref().map(|topic| match letter.partition {
                Some(partition) => format!("{topic}, partition {partition}"),
                None => topic.to_owned(),
            });
            return Ok(Err(Refusal::OtherTopic(from)));
        };
        if let Some(redrive) = redrive.as_ref().filter(|_| !force) {
            let position = format!("{}:{}", redrive.partition, redrive.offset);
            return Ok(Err(Refusal::AlreadyRedriven { at: redrive.at_text(), position }));
        }
        let before = redrive.map_or(letter.attempts, |redrive| redrive.attempt.max(letter.attempts));
        let attempt = before.saturating_add(1);
        if attempt > self.max_attempts {
            return Ok(Err(Refusal::TooManyAttempts { max: self.max_attempts }));
        }
        let event = match self.decode(record.payload())? {
            Ok(event) => event,
            Err(undecodable) => return Ok(Err(Refusal::Undecodable(undecodable.to_string()))),
        };
        let first = letter.origin.unwrap_or(place);
        if !force && self.is_superseded(&event, first) {
            return Ok(Err(Refusal::Superseded { order_id: event.order_id }));
        }
        Ok(Ok(Approved { letter, record, place, attempt }))
    }

    /// Whether a later update of the order was applied. The fold asks once more, when it is the event's turn.
    fn is_superseded(&self, event: &OrderEvent, (partition, offset): (i32, i64)) -> bool {
        let Some(partition) = usize::try_from(partition).ok().filter(|_| self.store.has_partition(partition))
        else {
            return false;
        };
        let state = self.store.state(partition, &event.order_id);
        let is_update = matches!(event.payload, Payload::Update(_));
        is_update && state.ok().flatten().is_some_and(|state| state.has_update_after(offset))
    }

    fn decode(&self, value: Option<&[u8]>) -> Result<Result<OrderEvent, Undecodable>, RedriveError> {
        loop {
            let id = match self.codec.decode(value) {
                Ok(event) => return Ok(Ok(event)),
                Err(DecodeError::Undecodable(reason)) => return Ok(Err(reason)),
                Err(DecodeError::SchemaNeeded(id)) => id,
            };
            match self.runtime.block_on(self.codec.fetch_schema(id)) {
                Ok(()) => {}
                Err(FetchError::Permanent(reason)) => return Ok(Err(reason)),
                Err(FetchError::Unavailable(outage)) => {
                    return Err(RedriveError::Registry(outage.to_string()));
                }
            }
        }
    }

    /// The events first, since the notes tell where they are.
    fn send(
        &self,
        writer: &Writer,
        approved: &[Approved],
        request: &RedriveRequest,
    ) -> Result<Vec<Redrive>, RedriveError> {
        writer.begin()?;
        let aborted = |error| RedriveError::from(writer.give_up(error));
        for (number, letter) in approved.iter().enumerate() {
            self.send_event(writer, number, letter, request.force).map_err(aborted)?;
        }
        let places: HashMap<usize, i64> = writer.delivered().map_err(aborted)?.into_iter().collect();
        let mut redriven = Vec::with_capacity(approved.len());
        for (number, letter) in approved.iter().enumerate() {
            let offset = places.get(&number).copied().unwrap_or(-1);
            let note = note(letter, (letter.place.0, offset), request);
            self.send_note(writer, letter, &note).map_err(aborted)?;
            redriven.push(note);
        }
        writer.commit(None)?;
        for note in &redriven {
            let Redrive { dlq_offset, attempt, forced, partition, offset, .. } = note;
            let (by, request_id) = (note.by.as_deref(), note.request_id.as_deref());
            info!(dlq_offset, attempt, forced, partition, offset, by, request_id, "dead letter sent again");
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
        let headers = headers::of_redriven(record::original(record).headers, *attempt, origin);
        let headers = Some(to_kafka(&headers));
        let (partition, topic) = (Some(place.0), &self.events_topic);
        writer.send(topic, partition, record.key(), record.payload(), headers, Some(number))
    }

    fn send_note(&self, writer: &Writer, approved: &Approved, note: &Redrive) -> Result<(), KafkaError> {
        let value = serde_json::to_vec(note).unwrap_or_default();
        let headers = Some(to_kafka(&note.headers()));
        let topic = self.source.topic();
        writer.send(topic, Some(PARTITION), approved.record.key(), Some(&value), headers, None)
    }
}

/// The note that a letter was sent again, to this place.
fn note(approved: &Approved, (partition, offset): (i32, i64), request: &RedriveRequest) -> Redrive {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Redrive {
        dlq_offset: approved.letter.dlq_offset,
        attempt: approved.attempt,
        at: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        by: request.by.clone(),
        request_id: request.request_id.clone(),
        forced: request.force,
        partition,
        offset,
    }
}
