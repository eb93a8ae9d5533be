//! How far each partition is processed, and what became of its events; and a way to wait for it.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use order_events::{EventOutcome, Place};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::event::outcome::Outcome;
use crate::view::outcomes::Outcomes;

/// A handle; cheap to clone. One thread writes, any number read and wait.
#[derive(Clone)]
pub struct Processed(Arc<[Partition]>);

struct Partition {
    content: RwLock<Content>,
    /// Changes whenever the content does.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Content {
    next_offset: i64,
    outcomes: Outcomes,
}

/// What is known of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is not processed yet, or not even there.
    Pending,
    /// This became of it.
    Became(Outcome),
    /// It is processed; what became of it is not kept so long.
    Forgotten,
}

impl Known {
    /// What clients are told: the outcome, and why if there is a reason.
    pub fn report(&self) -> (EventOutcome, Option<Cow<'_, str>>) {
        let outcome = match self {
            Self::Pending => EventOutcome::Pending,
            Self::Forgotten => EventOutcome::Forgotten,
            Self::Became(outcome) => match outcome {
                Outcome::Applied { .. } => EventOutcome::Applied,
                Outcome::Duplicate | Outcome::DuplicateOf(_) => EventOutcome::Duplicate,
                Outcome::Held => EventOutcome::Held,
                Outcome::NoEvent => EventOutcome::NoEvent,
                Outcome::DeadLettered(_) | Outcome::Other(_) => {
                    return (EventOutcome::DeadLettered, Some(outcome.name()));
                }
            },
        };
        (outcome, None)
    }

    /// Whether it stays what it is.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Pending => false,
            Self::Became(outcome) => outcome.is_final(),
            Self::Forgotten => true,
        }
    }
}

impl Processed {
    /// Nothing is processed yet.
    pub fn new(partitions: usize) -> Self {
        let partition = |_| Partition { content: RwLock::default(), changed: watch::Sender::new(()) };
        Self((0..partitions).map(partition).collect())
    }

    /// What became of the event at `offset`. `None` if there is no such partition.
    pub fn look(&self, partition: usize, offset: i64) -> Option<Known> {
        let content = self.0.get(partition)?.content.read().unwrap_or_else(PoisonError::into_inner);
        Some(if offset >= content.next_offset {
            Known::Pending
        } else {
            content.outcomes.get(offset).map_or(Known::Forgotten, Known::Became)
        })
    }

    /// The last offset that is processed of each partition that has any. Who asks before reading the store sees
    /// states that are at least as new, since these are shown before the position moves.
    pub fn reached(&self) -> Vec<Place> {
        let next = |partition: &Partition| {
            partition.content.read().unwrap_or_else(PoisonError::into_inner).next_offset
        };
        let places = (0..).zip(self.0.iter().map(next));
        let places = places.map(|(partition, next)| Place { partition, offset: next - 1 });
        places.filter(|place| place.offset >= 0).collect()
    }

    /// As [`look`](Self::look), but waits, for at most `patience`, until `enough`.
    pub async fn wait(
        &self,
        partition: usize,
        offset: i64,
        patience: Duration,
        enough: impl Fn(&Known) -> bool,
    ) -> Option<Known> {
        let deadline = Instant::now() + patience;
        let mut changes = self.0.get(partition)?.changed.subscribe();
        loop {
            let known = self.look(partition, offset)?;
            if enough(&known) || timeout_at(deadline, changes.changed()).await.is_err() {
                return Some(known);
            }
        }
    }

    /// What is known of a partition's outcomes.
    pub(crate) fn read<T>(&self, partition: usize, look: impl FnOnce(&Outcomes) -> T) -> T {
        look(&self.0[partition].content.read().unwrap_or_else(PoisonError::into_inner).outcomes)
    }

    /// Forgets everything of a partition.
    pub(crate) fn clear(&self, partition: usize) {
        self.change(partition, Some(0), |outcomes| *outcomes = Outcomes::default());
    }

    /// Changes what is known of a partition, and wakes those who wait for it.
    pub(crate) fn change(
        &self,
        partition: usize,
        next_offset: Option<i64>,
        change: impl FnOnce(&mut Outcomes),
    ) {
        let Partition { content, changed } = &self.0[partition];
        {
            let mut content = content.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut content.outcomes);
            if let Some(next_offset) = next_offset {
                content.next_offset = next_offset;
            }
        }
        changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_client_waits_until_its_event_has_come_to_an_end() {
        let processed = Processed::new(1);
        let waiting = tokio::spawn({
            let processed = processed.clone();
            async move { processed.wait(0, 5, LONG, Known::is_final).await }
        });
        processed.change(0, Some(6), |outcomes| outcomes.note([(5, Outcome::Held)]));
        assert_eq!(processed.look(0, 5), Some(Known::Became(Outcome::Held)));
        processed.change(0, None, |outcomes| outcomes.note([(5, Outcome::APPLIED)]));
        assert_eq!(waiting.await.unwrap(), Some(Known::Became(Outcome::APPLIED)));
    }

    #[tokio::test]
    async fn when_the_time_is_up_the_answer_is_what_is_known() {
        let processed = Processed::new(1);
        assert_eq!(processed.wait(0, 5, Duration::ZERO, Known::is_final).await, Some(Known::Pending));
        processed.change(0, Some(9), |outcomes| outcomes.begin_at(4));
        assert_eq!(processed.reached(), [Place { partition: 0, offset: 8 }]);
        assert_eq!(processed.wait(0, 3, LONG, Known::is_final).await, Some(Known::Forgotten));
        assert_eq!(processed.wait(1, 3, LONG, Known::is_final).await, None);
    }
}
