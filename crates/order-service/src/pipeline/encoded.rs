//! A batch as it is written to the changelog and, after the commit, shown.

use std::collections::BTreeMap;

use compact_str::CompactString;
use order_events::codec::EncodeError;

use super::batch::PartitionBatch;
use super::index_of;
use crate::changelog::{ChangelogCodec, ChangelogEntry, OutcomeWindow};
use crate::event::outcome::Outcome;
use crate::view::outcomes::Outcomes;
use crate::view::processed::Processed;
use crate::view::store::StateBytes;

/// See the module.
pub(super) struct EncodedBatch {
    /// Its states are in `states`.
    pub(super) batch: PartitionBatch,
    /// The new states of orders; `None` deletes one.
    pub(super) states: Vec<(CompactString, Option<StateBytes>)>,
    /// Windows of outcomes, by their first offset; `None` deletes one.
    pub(super) windows: Vec<(i64, Option<Vec<u8>>)>,
    /// The progress record.
    pub(super) progress: Vec<u8>,
    /// What identifies the changelog, if that has nothing of the kind.
    pub(super) identity: Option<Vec<u8>>,
}

impl EncodedBatch {
    /// Encodes a batch over what is known of earlier outcomes. What became of events before `log_start` is forgotten.
    pub(super) fn new(
        mut batch: PartitionBatch,
        codec: &ChangelogCodec,
        processed: &Processed,
        log_start: i64,
        identity: Option<Vec<u8>>,
    ) -> Result<Self, EncodeError> {
        let states = batch.encode_states(codec)?;
        let changed = batch.windows();
        let (changed, stale) = processed.read(index_of(batch.number), |outcomes| match batch.went_back_to {
            None => (windows(outcomes, changed), outcomes.stale(log_start)),
            Some(offset) => {
                let (mut outcomes, mut changed) = (outcomes.clone(), changed);
                for window in outcomes.cut_at(offset) {
                    changed.entry(window).or_default();
                }
                (windows(&outcomes, changed), outcomes.stale(log_start))
            }
        });
        let mut windows = Vec::with_capacity(changed.len());
        for (first, window) in changed {
            windows.push((first, encoded_window(codec, window)?));
        }
        if let Some((from, stale)) = stale {
            batch.progress.outcomes_from = from;
            windows.retain(|(first, _)| *first >= from);
            windows.extend(stale.into_iter().map(|first| (first, None)));
        }
        batch.progress.checkpoints.log_starts_at(log_start);
        let progress = encoded(codec, ChangelogEntry::Progress(batch.progress.clone()))?;
        Ok(Self { batch, states, windows, progress, identity })
    }
}

/// The windows that change, as they are then.
fn windows(
    outcomes: &Outcomes,
    changes: BTreeMap<i64, Vec<(i64, Outcome)>>,
) -> Vec<(i64, Option<OutcomeWindow>)> {
    changes.into_iter().map(|(first, changes)| (first, outcomes.window(first, &changes))).collect()
}

fn encoded_window(
    codec: &ChangelogCodec,
    window: Option<OutcomeWindow>,
) -> Result<Option<Vec<u8>>, EncodeError> {
    window.map(|window| encoded(codec, ChangelogEntry::OutcomeWindow(window))).transpose()
}

/// A value of the changelog.
pub(super) fn encoded(codec: &ChangelogCodec, entry: ChangelogEntry) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    codec.encode(&entry, &mut bytes)?;
    Ok(bytes)
}
