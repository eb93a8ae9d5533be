//! Whether a letter may be sent again.

use std::sync::Arc;

use order_events::registry::FetchError;
use order_events::{EventCodec, OrderEvent, Payload, Place};
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use tokio::runtime::Handle;

use super::error::{NotApproved, RedriveError, Refusal};
use crate::dead_letters::index::TrackedLetter;
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::stored_letter::StoredLetter;
use crate::event::record;
use crate::view::store::Store;

/// Knows the rules, and what they ask for.
pub(super) struct Examiner {
    pub(super) events_topic: String,
    pub(super) codec: Arc<EventCodec>,
    pub(super) store: Store,
    pub(super) max_attempts: u32,
    pub(super) runtime: Handle,
}

/// A letter that may be sent again.
pub(super) struct Approved {
    pub(super) letter: Arc<StoredLetter>,
    pub(super) record: OwnedMessage,
    /// Where the record was in the events topic.
    pub(super) place: Place,
    /// How often its event will have been sent again.
    pub(super) attempt: u32,
}

impl Examiner {
    /// Whether a letter may be sent again; `record` is its own.
    pub(super) fn examine(
        &self,
        found: TrackedLetter,
        record: OwnedMessage,
        force: bool,
    ) -> Result<Approved, NotApproved> {
        let TrackedLetter { letter, redrive, .. } = found;
        let place = self.place(&letter)?;
        if let Some(redrive) = redrive.as_ref().filter(|_| !force) {
            let position = redrive.place().to_string();
            return Err(Refusal::AlreadyRedriven { at: redrive.at_text(), position }.into());
        }
        let attempt = self.attempt(&letter, redrive.as_ref())?;
        let event = self.decode(record.payload())?;
        record::check_size(record.payload(), &event, &self.codec)
            .map_err(|rejection| Refusal::Undecodable(rejection.detail))?;
        let first = letter.origin.unwrap_or(place);
        if !force && self.is_superseded(&event, first) {
            return Err(Refusal::Superseded { order_id: event.order_id }.into());
        }
        Ok(Approved { letter, record, place, attempt })
    }

    /// Where the letter's record was, if that is in the topic that is consumed here.
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

    /// How often the letter's event will have been sent again, with the next time.
    fn attempt(&self, letter: &StoredLetter, redrive: Option<&RedriveNote>) -> Result<u32, Refusal> {
        let before = redrive.map_or(letter.attempts, |redrive| redrive.attempt.max(letter.attempts));
        let attempt = before.saturating_add(1);
        if attempt > self.max_attempts {
            return Err(Refusal::TooManyAttempts { max: self.max_attempts });
        }
        Ok(attempt)
    }

    /// Whether a later update of the order was applied. The fold asks once more, when it is the event's turn.
    fn is_superseded(&self, event: &OrderEvent, Place { partition, offset }: Place) -> bool {
        let Some(partition) = usize::try_from(partition).ok().filter(|_| self.store.has_partition(partition))
        else {
            return false;
        };
        let state = self.store.state(partition, &event.order_id);
        let is_update = matches!(event.payload, Payload::Update(_));
        is_update && state.ok().flatten().is_some_and(|state| state.has_update_after(offset))
    }

    fn decode(&self, value: Option<&[u8]>) -> Result<OrderEvent, NotApproved> {
        self.runtime.block_on(self.codec.decode_fetching(value)).map_err(|error| match error {
            FetchError::Permanent(reason) => Refusal::Undecodable(reason.to_string()).into(),
            FetchError::Unavailable(outage) => RedriveError::Registry(outage.to_string()).into(),
        })
    }
}
