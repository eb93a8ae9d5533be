//! Failures of processing that may pass: a record is tried again a few times before it becomes a dead letter. What
//! comes behind it in its partition waits, since the order of an order's events counts.

use std::time::{Duration, Instant};

use order_events::{OrderEvent, Payload};

use crate::settings::PipelineSettings;

/// A record whose processing failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    /// The record's offset.
    offset: i64,
    /// How often it was tried.
    attempts: u32,
    /// When it is to be tried again.
    at: Instant,
}

/// What to do with a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Process it.
    Process,
    /// Its processing failed; it is tried again after this time.
    Wait(Duration, String),
    /// Its processing failed again, after so many retries: a dead letter.
    GiveUp(u32, String),
}

impl Retry {
    /// Of the record at this offset, which was tried so often and is tried again then.
    #[cfg(test)]
    pub(super) fn new(offset: i64, attempts: u32, at: Instant) -> Self {
        Self { offset, attempts, at }
    }

    /// Whether it is not time yet.
    pub(super) fn waits(&self, now: Instant) -> bool {
        now < self.at
    }

    /// Whether it is that record.
    pub(super) fn is_of(&self, offset: i64) -> bool {
        self.offset == offset
    }
}

/// Tries a record whose processing does, or does not, fail. What was given up is given up again, should its
/// transaction be aborted.
pub(super) fn attempt(
    retry: &mut Option<Retry>,
    offset: i64,
    failure: Option<String>,
    pauses: &[Duration],
    now: Instant,
) -> Attempt {
    let Some(failure) = failure else {
        *retry = None;
        return Attempt::Process;
    };
    let before = retry.filter(|retry| retry.is_of(offset)).map_or(0, |retry| retry.attempts);
    let pause = usize::try_from(before).ok().and_then(|before| pauses.get(before));
    let attempts = if pause.is_some() { before + 1 } else { before };
    *retry = Some(Retry { offset, attempts, at: now + pause.copied().unwrap_or_default() });
    match pause {
        Some(pause) => Attempt::Wait(*pause, failure),
        None => Attempt::GiveUp(before, failure),
    }
}

/// Why the processing of `event` fails, if it was asked for: some orders' does, to see what comes of it.
pub(super) fn injected_failure(settings: &PipelineSettings, event: &OrderEvent) -> Option<String> {
    let suffix = settings.failure_injection_customer_suffix.as_deref()?;
    let Payload::Create(create) = &event.payload else { return None };
    create.customer_id.ends_with(suffix).then(|| {
        let customer = &create.customer_id;
        format!("a failure was asked for: the customer {customer} ends with FAILURE_INJECTION_CUSTOMER_SUFFIX={suffix}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_tried_again_after_each_pause_and_then_given_up() {
        let pauses = [2, 5, 10].map(Duration::from_secs);
        let (mut retry, mut now) = (None, Instant::now());
        let failure = || Some("why".to_owned());
        for pause in pauses {
            assert_eq!(
                attempt(&mut retry, 7, failure(), &pauses, now),
                Attempt::Wait(pause, "why".to_owned())
            );
            assert!(retry.unwrap().waits(now) && !retry.unwrap().waits(now + pause));
            now += pause;
        }
        for _ in 0..2 {
            assert_eq!(attempt(&mut retry, 7, failure(), &pauses, now), Attempt::GiveUp(3, "why".to_owned()));
            assert!(!retry.unwrap().waits(now));
        }
        // The next one begins anew.
        assert!(matches!(attempt(&mut retry, 8, failure(), &pauses, now), Attempt::Wait(..)));
        assert_eq!(attempt(&mut retry, 8, None, &pauses, now), Attempt::Process);
        assert!(retry.is_none());
    }
}
