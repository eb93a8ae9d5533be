//! Following the changelog: restoring the store, and showing what other instances commit.

use std::time::Duration;

use compact_str::CompactString;
use order_events::codec::{DecodeError, Undecodable};
use order_events::permission::NotAllowed;
use rdkafka::Message;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use tracing::warn;

use super::damaged::is_damaged;
use super::partition::Partition;
use super::partitions::Partitions;
use super::tail::News;
use super::{Pipeline, PipelineError};
use crate::changelog::{Barrier, ChangelogEntry, Identity, Key, Mark, Progress};
use crate::settings::instance_of;
use crate::view::store::StateBytes;

/// What reading on has shown.
#[derive(Default)]
pub(super) struct Followed {
    /// Why the changelog may not be what it was, if so.
    pub(super) doubt: Option<String>,
    /// That a broker has sent records that cannot be read, if so; the tail asks for them again.
    pub(super) damage: Option<KafkaError>,
}

/// States of one partition that were read and are not shown yet.
type Unshown = Vec<(CompactString, Option<StateBytes>)>;

/// Takes what has come in the changelog, and waits `patience` for the first of it. `at_end` is told of each partition that
/// is read to its end.
pub(super) fn follow(
    pipeline: &Pipeline,
    partitions: &mut Partitions,
    patience: Duration,
    at_end: impl FnMut(usize),
) -> Result<Followed, PipelineError> {
    let (tail, all) = partitions.split();
    let unshown = all.iter().map(|_| Unshown::new()).collect();
    let mut reader = Reader { pipeline, partitions: all, unshown, is_another: false, at_end };
    let read = tail.read(patience, |news| match news {
        News::Record(record) => reader.record(&record),
        News::End(number) => {
            reader.end(number);
            Ok(())
        }
    });
    let is_another = reader.finish();
    let mut followed = Followed::default();
    if is_another {
        followed.doubt = Some("it has another identity than before".to_owned());
    }
    match read {
        Ok(0) => {}
        Ok(_) => partitions.news_came(),
        Err(PipelineError::Kafka(error)) => followed.note(pipeline, error)?,
        Err(error) => return Err(error),
    }
    Ok(followed)
}

impl Followed {
    /// A broker says that there is no such topic or offset, which may not be true; or it has sent what cannot be read.
    fn note(&mut self, pipeline: &Pipeline, error: KafkaError) -> Result<(), NotAllowed> {
        match error.rdkafka_error_code() {
            Some(code) if is_damaged(code) => self.damage = Some(error),
            Some(Code::TopicAuthorizationFailed) => {
                return Err(NotAllowed::topic("read", &pipeline.topics.changelog));
            }
            _ => self.doubt = Some(error.to_string()),
        }
        Ok(())
    }
}

/// Reads records of the changelog into the view.
struct Reader<'a, F> {
    pipeline: &'a Pipeline,
    partitions: &'a mut [Partition],
    unshown: Vec<Unshown>,
    /// Whether the changelog identifies itself otherwise than before.
    is_another: bool,
    at_end: F,
}

impl<F: FnMut(usize)> Reader<'_, F> {
    fn record(&mut self, record: &BorrowedMessage<'_>) -> Result<(), PipelineError> {
        let Some(index) = self.index(record.partition()) else { return Ok(()) };
        let mark = Mark::of(record);
        if !self.partitions[index].read(mark) {
            return Ok(());
        }
        self.take(index, record)?;
        self.partitions[index].stored(mark);
        Ok(())
    }

    /// A partition is read to its end. Who reads it as restored must find everything there.
    fn end(&mut self, number: i32) {
        let Some(index) = self.index(number) else { return };
        self.show(index);
        self.partitions[index].end_read();
        if self.partitions[index].may_be_shown() {
            self.pipeline.status.change(index, |status| status.restored = true);
        }
        (self.at_end)(index);
    }

    /// Shows the rest. Returns whether the changelog is another one.
    fn finish(mut self) -> bool {
        (0..self.partitions.len()).for_each(|index| self.show(index));
        self.is_another
    }

    fn index(&self, number: i32) -> Option<usize> {
        usize::try_from(number).ok().filter(|index| *index < self.partitions.len())
    }

    fn show(&mut self, index: usize) {
        self.pipeline.view.store.apply(index, std::mem::take(&mut self.unshown[index]));
    }

    fn take(&mut self, index: usize, record: &BorrowedMessage<'_>) -> Result<(), PipelineError> {
        match Key::parse(record.key()) {
            Some(Key::Order(order_id)) => self.state(index, order_id, record)?,
            Some(Key::Progress) => {
                if let Some(ChangelogEntry::Progress(progress)) = decode(self.pipeline, record)? {
                    self.progress(index, progress);
                }
            }
            Some(Key::Outcomes(first)) => self.outcomes(index, first, record)?,
            Some(Key::Barrier) => {
                if let Some(ChangelogEntry::Barrier(barrier)) = decode(self.pipeline, record)? {
                    self.barrier(index, barrier);
                }
            }
            Some(Key::Identity) => {
                if let Some(identity) = Identity::parse(record.payload()) {
                    check_source(self.pipeline, identity)?;
                    self.is_another |= !self.partitions[index].identified(Mark::of(record));
                }
            }
            None => {
                let offset = record.offset();
                warn!(partition = index, offset, "a record of somebody else is in the changelog");
            }
        }
        Ok(())
    }

    fn state(
        &mut self,
        index: usize,
        order_id: &str,
        record: &BorrowedMessage<'_>,
    ) -> Result<(), PipelineError> {
        let codec = &self.pipeline.changelog;
        let state = match record.payload() {
            // As this program writes it: it is kept as it is.
            Some(bytes) if codec.is_own(bytes) => Some(bytes.into()),
            Some(_) => {
                let Some(state) = decode(self.pipeline, record)? else { return Ok(()) };
                let mut bytes = Vec::new();
                codec.encode(&state, &mut bytes)?;
                Some(bytes.into())
            }
            None => None,
        };
        self.unshown[index].push((order_id.into(), state));
        Ok(())
    }

    fn progress(&mut self, index: usize, progress: Progress) {
        // The states of a transaction come before its progress, and are shown before it.
        self.show(index);
        self.pipeline.view.processed.change(index, Some(progress.next_offset), |outcomes| {
            outcomes.begin_at(progress.outcomes_from);
        });
        self.pipeline.status.change(index, |status| {
            (status.position, status.lost, status.cut) = (progress.next_offset, progress.lost, progress.cut);
        });
        self.partitions[index].progress_read(progress);
    }

    fn outcomes(
        &mut self,
        index: usize,
        first: i64,
        record: &BorrowedMessage<'_>,
    ) -> Result<(), PipelineError> {
        let window = match record.payload() {
            Some(_) => decode(self.pipeline, record)?,
            None => None,
        };
        // It comes behind the states of its transaction: who is told that an update that was held is applied finds it in
        // the order.
        self.show(index);
        self.pipeline.view.processed.change(index, None, |outcomes| match window {
            Some(ChangelogEntry::OutcomeWindow(window)) => outcomes.load(first, Some(&window)),
            _ => outcomes.load(first, None),
        });
        Ok(())
    }

    fn barrier(&mut self, index: usize, Barrier { transactional_id }: Barrier) {
        let owner = instance_of(&transactional_id).map(str::to_owned);
        self.pipeline.status.change(index, |status| status.owner = owner);
        self.partitions[index].barrier_read(transactional_id);
    }
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
        let taught = pipeline.fetcher.teach(&pipeline.changelog, id, true, || pipeline.status.beat());
        match pipeline.runtime.block_on(taught) {
            Some(Ok(())) => {}
            Some(Err(reason)) => return Err(unreadable(reason)),
            None => return Ok(None),
        }
    }
}
