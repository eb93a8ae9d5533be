//! Following the changelog: restoring the store, and showing what other instances commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use compact_str::CompactString;
use order_events::codec::{DecodeError, Undecodable};
use order_events::permission::NotAllowed;
use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use tracing::{debug, info, warn};

use super::batch_limit::BatchLimit;
use super::damaged::is_damaged;
use super::partition::{Partition, Role};
use super::schemas::Schemas;
use super::tail::{News, Tail};
use super::{FIRST_BACKOFF, Pipeline, PipelineError, Worker, number};
use crate::changelog::{ChangelogEntry, Identity, Key};
use crate::mark::Mark;
use crate::settings::instance_of;
use crate::view::status::Obstacle;
use crate::view::store::StateBytes;

/// So long may the tail be silent when something is expected of it. Longer than a group takes to give the
/// partitions of a dead instance to another one.
const SILENCE: Duration = Duration::from_secs(15);

/// How long the restoring loop waits for a record.
pub(super) const RESTORE_POLL: Duration = Duration::from_millis(50);

/// States that were read and are not shown yet, of one partition.
type Unshown = Vec<(CompactString, Option<StateBytes>)>;

impl Worker {
    /// Reads the changelog to its end. `None` if it was told to stop meanwhile.
    pub(super) fn restore(pipeline: Pipeline) -> Result<Option<Self>, PipelineError> {
        let began = Instant::now();
        let count = pipeline.partitions;
        let Some(tail) = begin_tail(&pipeline, &vec![-1; count])? else { return Ok(None) };
        let schemas = Schemas::new(pipeline.fetcher(), pipeline.events.clone(), pipeline.runtime.clone());
        let mut worker = Self {
            schemas,
            tail,
            changelog_doubt: None,
            events_doubt: None,
            damaged_at: None,
            silent_since: None,
            renewed_at: vec![-1; count],
            partitions: (0..count).map(|_| Partition::new(pipeline.settings.dlq_limit)).collect(),
            start_offsets: Arc::new(Mutex::new(vec![None; count])),
            identity: Identity::new(&pipeline.topics.events).to_bytes(),
            writer: None,
            left_behind: 0,
            batch_limit: BatchLimit::new(pipeline.settings.batch_max_events),
            first_to_activate: 0,
            lost_consumers: Vec::new(),
            backoff: FIRST_BACKOFF,
            retry_at: Instant::now(),
            pipeline,
        };
        let mut open: Vec<bool> = vec![true; count];
        while open.contains(&true) {
            if worker.pipeline.stop.is_cancelled() {
                return Ok(None);
            }
            worker.pipeline.status.beat();
            worker.settle_doubts()?;
            worker.forget_damage();
            worker.read_tail(RESTORE_POLL, |partition| {
                if let Some(open) = open.get_mut(partition) {
                    *open = false;
                }
            })?;
        }
        info!(orders = worker.pipeline.view.store.count(), took = ?began.elapsed(), "restored");
        Ok(Some(worker))
    }

    /// Takes what has come in the changelog.
    pub(super) fn follow(&mut self) -> Result<(), PipelineError> {
        self.read_tail(Duration::ZERO, |_| {})
    }

    /// Reads on in the changelog; `at_end` is told of each partition that is read to its end.
    pub(super) fn read_tail(
        &mut self,
        patience: Duration,
        mut at_end: impl FnMut(usize),
    ) -> Result<(), PipelineError> {
        if self.changelog_doubt.is_some() {
            if !patience.is_zero() {
                self.pipeline.pause(patience);
            }
            return Ok(());
        }
        let Self { tail, pipeline, partitions, start_offsets, .. } = self;
        let mut unshown: Vec<Unshown> = vec![Unshown::new(); partitions.len()];
        let mut is_another = false;
        let read = tail.read(patience, |news| {
            let (partition, record) = match news {
                News::Record(record) => (record.partition(), Some(record)),
                News::End(partition) => (partition, None),
            };
            let index = usize::try_from(partition).unwrap_or(usize::MAX);
            let Some(state) = partitions.get_mut(index) else { return Ok(()) };
            match record {
                // What this instance wrote is shown already.
                Some(record) if record.offset() <= state.known() => {}
                Some(record) => {
                    let before = (state.progress, state.identity);
                    take(pipeline, index, state, &record, &mut unshown[index])?;
                    state.note(Mark::of(&record));
                    // Without transactions, an attempt that failed may have written the same one before.
                    if let (Some(before), Some(now)) = (before.1, state.identity)
                        && !now.says_the_same(before)
                    {
                        state.identity = Some(before);
                        is_another = true;
                    }
                    if let Some(progress) = state.progress.filter(|_| state.progress != before.0) {
                        let mut offsets = start_offsets.lock().unwrap_or_else(PoisonError::into_inner);
                        offsets[index] = Some(progress.next_offset);
                    }
                }
                None => {
                    // Who reads the partition as restored must find everything there.
                    pipeline.view.store.apply(index, std::mem::take(&mut unshown[index]));
                    pipeline.status.change(index, |status| status.restored = true);
                    at_end(index);
                }
            }
            Ok::<(), PipelineError>(())
        });
        for (index, states) in unshown.into_iter().enumerate() {
            pipeline.view.store.apply(index, states);
        }
        if is_another {
            self.doubt_changelog("it has another identity than before");
        }
        match read {
            Ok(0) => Ok(()),
            Ok(_) => {
                self.silent_since = None;
                Ok(())
            }
            Err(PipelineError::Kafka(error)) => self.cannot_follow(&error),
            Err(error) => Err(error),
        }
    }

    /// Makes a new tail if this one gives nothing, although there should be something: one that was made while a
    /// broker hung can stay silent for minutes.
    pub(super) fn renew_tail(&mut self) -> Result<(), PipelineError> {
        if !self.expects_news() {
            self.silent_since = None;
            return Ok(());
        }
        if self.silent_since.get_or_insert_with(Instant::now).elapsed() < SILENCE {
            return Ok(());
        }
        debug!("the changelog is silent; reading it with a new client");
        self.replace_tail()?;
        self.renewed_at = self.pipeline.status.partitions().iter().map(|status| status.end_offset).collect();
        Ok(())
    }

    /// Reads on with a new client.
    pub(super) fn replace_tail(&mut self) -> Result<(), PipelineError> {
        let known: Vec<i64> = self.partitions.iter().map(Partition::known).collect();
        let Some(tail) = begin_tail(&self.pipeline, &known)? else { return Ok(()) };
        for index in (0..self.partitions.len()).filter(|index| self.partitions[*index].active().is_some()) {
            tail.leave(number(index))?;
        }
        (self.tail, self.silent_since) = (tail, None);
        Ok(())
    }

    /// Whether something of the changelog is awaited: a barrier, or what another instance makes of events that
    /// are there.
    fn expects_news(&self) -> bool {
        let lags = self.pipeline.status.partitions();
        self.partitions.iter().zip(lags).any(|(partition, status)| match partition.role {
            Role::AwaitsBarrier { .. } => true,
            // What is behind the last event may be the mark of a transaction, of which nobody makes anything.
            Role::Follows => {
                status.lag > 0 && self.renewed_at.get(status.partition) != Some(&status.end_offset)
            }
            Role::NeedsBarrier | Role::Active => false,
        })
    }

    /// A broker says that there is no such topic or offset, which may not be true; or it has sent what cannot be read,
    /// for which the tail asks again.
    fn cannot_follow(&mut self, error: &KafkaError) -> Result<(), PipelineError> {
        if error.rdkafka_error_code().is_some_and(is_damaged) {
            let topic = self.pipeline.topics.changelog.clone();
            self.tell_damage(&topic, error);
            return Ok(());
        }
        if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) {
            return Err(NotAllowed::topic("read", &self.pipeline.topics.changelog).into());
        }
        self.doubt_changelog(&error.to_string());
        Ok(())
    }
}

/// Begins to follow; waits for brokers that are away. `None` if it was told to stop meanwhile.
pub(super) fn begin_tail(pipeline: &Pipeline, behind: &[i64]) -> Result<Option<Tail>, PipelineError> {
    while !pipeline.stop.is_cancelled() {
        pipeline.status.beat();
        match Tail::begin(&pipeline.clients.tail, &pipeline.topics.changelog, behind) {
            Ok(tail) => {
                pipeline.status.clear(Obstacle::Brokers);
                return Ok(Some(tail));
            }
            Err(error @ KafkaError::ClientConfig(..)) => return Err(error.into()),
            Err(error) => {
                warn!(%error, "the changelog cannot be read yet");
                pipeline.status.set(Obstacle::Brokers, format!("the brokers do not answer ({error})"));
                pipeline.pause(Duration::from_millis(500));
            }
        }
    }
    Ok(None)
}

/// Takes one record of the changelog.
fn take(
    pipeline: &Pipeline,
    index: usize,
    partition: &mut Partition,
    record: &BorrowedMessage<'_>,
    unshown: &mut Unshown,
) -> Result<(), PipelineError> {
    let changelog = &pipeline.changelog;
    match Key::parse(record.key()) {
        Some(Key::Order(order_id)) => {
            let state = match record.payload() {
                // As this program writes it: it is kept as it is.
                Some(bytes) if changelog.is_own(bytes) => Some(bytes.into()),
                Some(_) => match decode(pipeline, record)? {
                    Some(state) => {
                        let mut bytes = Vec::new();
                        changelog.encode(&state, &mut bytes)?;
                        Some(bytes.into())
                    }
                    None => return Ok(()),
                },
                None => None,
            };
            unshown.push((order_id.into(), state));
        }
        Some(Key::Progress) => {
            if let Some(ChangelogEntry::Progress(progress)) = decode(pipeline, record)? {
                // The states of a transaction come before its progress, and are shown before it.
                pipeline.view.store.apply(index, std::mem::take(unshown));
                partition.progress = Some(progress);
                pipeline.view.processed.change(index, Some(progress.next_offset), |outcomes| {
                    outcomes.begin_at(progress.outcomes_from);
                });
                pipeline.status.change(index, |status| {
                    status.position = progress.next_offset;
                    status.lost = progress.lost;
                });
            }
        }
        Some(Key::Outcomes(first)) => {
            let window = match record.payload() {
                Some(_) => decode(pipeline, record)?,
                None => None,
            };
            // It comes behind the states of its transaction: who is told that an update that was held is applied
            // finds it in the order.
            pipeline.view.store.apply(index, std::mem::take(unshown));
            pipeline.view.processed.change(index, None, |outcomes| match window {
                Some(ChangelogEntry::OutcomeWindow(window)) => outcomes.load(first, Some(&window)),
                _ => outcomes.load(first, None),
            });
        }
        Some(Key::Barrier) => {
            if let Some(ChangelogEntry::Barrier(barrier)) = decode(pipeline, record)? {
                let owner = instance_of(&barrier.transactional_id).map(str::to_owned);
                pipeline.status.change(index, |status| status.owner = owner);
                partition.last_writer = Some(barrier.transactional_id);
            }
        }
        Some(Key::Identity) => {
            if let Some(identity) = Identity::parse(record.payload()) {
                check_source(pipeline, identity)?;
                partition.identity = Some(Mark::of(record));
            }
        }
        None => warn!(
            partition = index,
            offset = record.offset(),
            "a record of somebody else is in the changelog"
        ),
    }
    Ok(())
}

/// The changelog must go with the events topic: else the first events would be taken for processed ones.
fn check_source(pipeline: &Pipeline, Identity { source, .. }: Identity) -> Result<(), PipelineError> {
    let topics = &pipeline.topics;
    if source == topics.events {
        return Ok(());
    }
    Err(PipelineError::OtherSource {
        topic: topics.changelog.clone(),
        source_topic: source,
        events: topics.events.clone(),
    })
}

/// Decodes a value of the changelog, however long the registry is away. `None` if it was told to stop.
fn decode(
    pipeline: &Pipeline,
    record: &BorrowedMessage<'_>,
) -> Result<Option<ChangelogEntry>, PipelineError> {
    let unreadable = |reason: Undecodable| PipelineError::Changelog {
        topic: pipeline.topics.changelog.clone(),
        partition: record.partition(),
        offset: record.offset(),
        reason,
    };
    loop {
        let id = match pipeline.changelog.decode(record.payload()) {
            Ok(entry) => return Ok(Some(entry)),
            Err(DecodeError::Undecodable(reason)) => return Err(unreadable(reason)),
            Err(DecodeError::SchemaNeeded(id)) => id,
        };
        let fetcher = pipeline.fetcher();
        let taught = fetcher.teach(&pipeline.changelog, id, true, || pipeline.status.beat());
        match pipeline.runtime.block_on(taught) {
            Some(Ok(())) => pipeline.status.clear(Obstacle::Registry),
            Some(Err(reason)) => return Err(unreadable(reason)),
            None => return Ok(None),
        };
    }
}
