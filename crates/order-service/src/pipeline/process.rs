//! Processing a batch: fold, one transaction, show.

use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::backlog::Next;
use super::batch::PartitionBatch;
use super::batch_limit::Size;
use super::clock::Now;
use super::encoded::EncodedBatch;
use super::folder::Folder;
use super::group::Group;
use super::partitions::Partitions;
use super::schemas::Schemas;
use super::transaction::{NotCommitted, Transaction, Written};
use super::{Pipeline, PipelineError, gates};
use crate::changelog::Identity;
use crate::settings::Guarantee;
use crate::writer::Writer;

/// The parts that take part in it.
pub(super) struct Processing<'a, 'c> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) schemas: &'a Schemas,
    pub(super) partitions: &'a mut Partitions,
    pub(super) group: &'a mut Group<'c>,
    /// How much of a partition is taken.
    pub(super) limit: Size,
}

/// What one transaction has committed.
pub(super) struct Committed {
    batches: Vec<EncodedBatch>,
    written: Written,
}

impl Processing<'_, '_> {
    /// Folds each active partition and sends what that makes, while the next one is folded; then commits. `None` if there
    /// was nothing to write.
    pub(super) fn run_transaction(&mut self, writer: &Writer) -> Result<Option<Committed>, NotCommitted> {
        let (mut transaction, mut batches) = (None, Vec::new());
        for index in 0..self.partitions.len() {
            let Some(batch) = self.fold_partition(index)? else { continue };
            let batch = self.encode(index, batch)?;
            let transaction = match &transaction {
                Some(begun) => begun,
                None => transaction.insert(Transaction::begin(writer, &self.pipeline.topics)?),
            };
            transaction.write(&self.pipeline.group, &batch)?;
            batches.push(batch);
        }
        let Some(transaction) = transaction else { return Ok(None) };
        let written = self.end(transaction, &batches)?;
        Ok(Some(Committed { batches, written }))
    }

    /// Folds what is there of a partition. `None` if it is not active, or if there is nothing to write.
    fn fold_partition(&mut self, index: usize) -> Result<Option<PartitionBatch>, PipelineError> {
        let Some(progress) = self.partitions[index].active().cloned() else { return Ok(None) };
        if self.partitions[index].is_stopped() {
            return Ok(None);
        }
        self.group.backlog.drop_below(index, progress.next_offset);
        self.look_for_end(index, progress.next_offset);
        let Pipeline { events, letters, view, rules, settings, metrics, .. } = self.pipeline;
        let folder = Folder {
            events,
            letters,
            store: &view.store,
            rules,
            settings,
            metrics,
            want: &|id| self.schemas.want(id),
            limit: self.limit,
            now: Now::read(),
        };
        let partition = &mut self.partitions[index];
        let batch = match self.group.backlog.next_of(index) {
            Next::Copied(records) => folder.fold(partition, progress, records.iter())?,
            Next::Fetched(records) => folder.fold(partition, progress, records.iter())?,
        };
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }

    /// Looks whether the log of a partition is processed as far as it reached once the time of a held update was over.
    fn look_for_end(&mut self, index: usize, next_offset: i64) {
        let (partition, ends) = (&mut self.partitions[index], &self.pipeline.ends);
        let number = partition.number();
        let Some(grace) = partition.grace().filter(|grace| grace.held() > 0) else { return };
        if grace.end_seen(ends.of(index), Now::read().millis) {
            ends.ask();
        }
        if grace.is_behind(next_offset)
            && self.group.backlog.len_of(index) == 0
            && let Some(position) = self.group.position(number)
        {
            grace.read_to(position, next_offset);
        }
    }

    fn encode(&mut self, index: usize, batch: PartitionBatch) -> Result<EncodedBatch, PipelineError> {
        let Pipeline { changelog, view, status, topics, .. } = self.pipeline;
        let identity = self.partitions[index].missing_identity(|| Identity::new(&topics.events).to_bytes());
        let log_start = status.start_offset(index);
        Ok(EncodedBatch::new(batch, changelog, &view.processed, log_start, identity)?)
    }

    /// Commits what was sent, and the consumed offsets with it.
    fn end(
        &self,
        transaction: Transaction<'_, Writer>,
        batches: &[EncodedBatch],
    ) -> Result<Written, NotCommitted> {
        let metadata = self.group.metadata().map_err(|error| transaction.give_up(error))?;
        let mut offsets = TopicPartitionList::with_capacity(batches.len());
        for EncodedBatch { batch, .. } in batches {
            let next = Offset::Offset(batch.progress.next_offset);
            offsets.add_partition_offset(&self.pipeline.topics.events, batch.number, next)?;
        }
        if self.pipeline.settings.processing_guarantee == Guarantee::ExactlyOnce {
            return transaction.commit(self.partitions, Some((offsets, metadata)));
        }
        let written = transaction.commit(self.partitions, None)?;
        self.group.commit(&offsets);
        Ok(written)
    }

    /// Shows what was committed.
    pub(super) fn show(&mut self, Committed { batches, written }: Committed) {
        for (index, encoded) in
            batches.into_iter().map(|encoded| (super::index_of(encoded.batch.number), encoded))
        {
            gates::count(self.pipeline, self.partitions, index, encoded.batch.tally);
            self.show_partition(index, encoded);
        }
        for (index, mark) in written.marks() {
            self.partitions[index].wrote(mark);
        }
        if let (Some(mark), Some(first)) = (written.identity(), self.partitions.first_mut()) {
            // It is its own: there was none.
            let _ = first.identified(mark);
        }
    }

    fn show_partition(&mut self, index: usize, EncodedBatch { batch, states, .. }: EncodedBatch) {
        for letter in &batch.letters {
            let (offset, rejection) = (letter.offset, &letter.rejection);
            warn!(partition = letter.partition, offset, %rejection, "dead letter");
        }
        let next_offset = batch.progress.next_offset;
        debug!(partition = index, states = states.len(), next_offset, "committed");
        let Pipeline { view, metrics, status, .. } = self.pipeline;
        view.store.apply(index, states);
        view.processed.change(index, Some(next_offset), |outcomes| {
            if let Some(offset) = batch.went_back_to {
                outcomes.cut_at(offset);
            }
            outcomes.note(batch.outcomes);
            outcomes.begin_at(batch.progress.outcomes_from);
        });
        metrics.consumed(&batch.counts);
        status.change(index, |status| {
            status.position = next_offset;
            status.end_offset = status.end_offset.max(next_offset);
        });
        self.partitions[index].committed(batch.progress, batch.given_up_until, batch.held);
        self.group.backlog.drop_below(index, next_offset);
    }
}
