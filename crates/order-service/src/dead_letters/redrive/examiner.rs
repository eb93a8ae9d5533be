//! Whether a letter may be sent again.

use std::sync::Arc;

use order_events::registry::{FetchError, RegistryUnavailable};
use order_events::{EventCodec, OrderEvent, Payload, Place, SchemaRegistry};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use tokio::runtime::Handle;

use super::request::Refusal;
use crate::dead_letters::index::TrackedLetter;
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::stored_letter::StoredLetter;
use crate::event::record;
use crate::view::store::Store;

/// Knows the rules, and what they ask for.
pub(crate) struct Examiner {
    /// The topic of the events.
    pub events_topic: String,
    /// Reads the events.
    pub codec: Arc<EventCodec>,
    /// Has their schemas.
    pub registry: Arc<SchemaRegistry>,
    /// The orders.
    pub store: Store,
    /// How often an event may be sent again.
    pub max_attempts: u32,
    /// For what must be awaited.
    pub runtime: Handle,
}

/// A letter that may be sent again.
pub(super) struct Approved {
    pub(super) letter: Arc<StoredLetter>,
    pub(super) record: OwnedMessage,
    /// Where the record was in the events topic.
    pub(super) place: Place,
    /// How often its event will have been sent again, this attempt included.
    pub(super) attempt: u32,
}

impl Examiner {
    /// Whether a letter may be sent again; `record` is the letter in the dead letter topic.
    ///
    /// # Errors
    /// The registry does not answer: neither this letter nor any other can be examined.
    pub(super) fn examine(
        &self,
        TrackedLetter { letter, redrive, .. }: TrackedLetter,
        record: OwnedMessage,
        force: bool,
    ) -> Result<Result<Approved, Refusal>, RegistryUnavailable> {
        let (place, attempt) = match self.check_letter(&letter, redrive.as_ref(), force) {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let event = match self.runtime.block_on(self.registry.decode(&self.codec, record.payload())) {
            Ok(event) => event,
            Err(FetchError::Permanent(reason)) => return Ok(Err(Refusal::Undecodable(reason.to_string()))),
            Err(FetchError::Unavailable(outage)) => return Err(outage),
        };
        let first = letter.origin.unwrap_or(place);
        let checked = self.check_event(event, record.payload(), first, force);
        Ok(checked.map(|()| Approved { letter, record, place, attempt }))
    }

    /// What is known without the event: the place of the letter's record, and the number of this attempt.
    fn check_letter(
        &self,
        letter: &StoredLetter,
        redrive: Option<&RedriveNote>,
        force: bool,
    ) -> Result<(Place, u32), Refusal> {
        let place = self.place(letter)?;
        if let Some(redrive) = redrive.filter(|_| !force) {
            let position = redrive.place().to_string();
            return Err(Refusal::AlreadyRedriven { at: redrive.at_text(), position });
        }
        Ok((place, self.attempt(letter, redrive)?))
    }

    /// `first` is where the event was before its first redrive.
    fn check_event(
        &self,
        event: OrderEvent,
        value: Option<&[u8]>,
        first: Place,
        force: bool,
    ) -> Result<(), Refusal> {
        record::check_size(value, &event, &self.codec)
            .map_err(|rejection| Refusal::Undecodable(rejection.detail))?;
        if !force && self.is_superseded(&event, first) {
            return Err(Refusal::Superseded { order_id: event.order_id });
        }
        Ok(())
    }

    /// The place of the letter's record, if it is in the topic that this service consumes.
    fn place(&self, letter: &StoredLetter) -> Result<Place, Refusal> {
        let is_ours = letter.topic.as_deref() == Some(self.events_topic.as_str());
        let place = letter.place().filter(|place| is_ours && self.store.has_partition(place.partition));
        place.ok_or_else(|| {
            let from = letter.topic.as_deref().map(|topic| match letter.partition {
                Some(partition) => format!("{topic}, partition {partition}"),
                None => topic.to_owned(),
            });
            Refusal::OtherTopic(from)
        })
    }

    /// How often the letter's event will have been sent again, this attempt included.
    fn attempt(&self, letter: &StoredLetter, redrive: Option<&RedriveNote>) -> Result<u32, Refusal> {
        let before = redrive.map_or(letter.attempts, |redrive| redrive.attempt.max(letter.attempts));
        let attempt = before.saturating_add(1);
        if attempt > self.max_attempts {
            return Err(Refusal::TooManyAttempts { max: self.max_attempts });
        }
        Ok(attempt)
    }

    /// Whether a later update of the order was applied. The fold checks it again when it processes the event.
    fn is_superseded(&self, event: &OrderEvent, Place { partition, offset }: Place) -> bool {
        let Some(partition) = usize::try_from(partition).ok().filter(|_| self.store.has_partition(partition))
        else {
            return false;
        };
        let state = self.store.state(partition, &event.order_id);
        let is_update = matches!(event.payload, Payload::Update(_));
        is_update && state.ok().flatten().is_some_and(|state| state.has_update_after(offset))
    }
}
