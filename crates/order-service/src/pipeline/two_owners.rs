//! Two instances and one partition, against a model of the brokers: whatever they do in which order, each event is
//! processed once, and nothing is shown that is not committed.
//!
//! The instances follow [`Partition`] as the pipeline does, in steps that the other one can come between: a record, the
//! consumed offsets and the commit are steps of their own. The model knows what the guarantee rests on: open, committed and
//! aborted transactions, the last stable offset, the fencing of producers by their id, and the group's generation and offset.
//! A commit whose answer is lost may still come through, or not; and the control record of a commit that was answered may be
//! lost (KAFKA-20734), so that the next one of its producer, be it that of an abort, decides.

use std::time::Instant;

use proptest::prelude::*;

use super::partition::{Partition, Surveyed, TailMove, Trust, Watermarks};
use crate::changelog::{Mark, Progress};

/// How many events the partition has.
const EVENTS: i64 = 30;

/// What a record of the changelog says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    /// This instance takes over.
    Barrier(usize),
    /// The events from the first offset up to before the second one are processed.
    Processed(i64, i64),
    /// The end of a transaction.
    Control,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Open,
    /// Its commit is on its way: nobody waits for the answer.
    CommitRequested,
    /// Its commit is done and answered, but has no control record.
    Unmarked,
    Committed,
    Aborted,
}

#[derive(Debug, Clone, Copy)]
struct Transaction {
    producer: usize,
    epoch: u32,
    fate: Fate,
}

/// The brokers.
#[derive(Default)]
struct Cluster {
    changelog: Vec<(Content, usize)>,
    transactions: Vec<Transaction>,
    /// The last epoch of each producer's id.
    epochs: [u32; 2],
    generation: u32,
    owner: Option<usize>,
    /// The offset that the group has committed.
    committed: Option<i64>,
    /// Whether what was committed was aborted afterwards.
    took_back: bool,
}

impl Cluster {
    fn begin(&mut self, producer: usize, epoch: u32) -> usize {
        self.transactions.push(Transaction { producer, epoch, fate: Fate::Open });
        self.transactions.len() - 1
    }

    /// Appends a record. `None` if its producer was fenced.
    fn append(&mut self, transaction: usize, content: Content) -> Option<i64> {
        let Transaction { producer, epoch, fate } = self.transactions[transaction];
        if epoch != self.epochs[producer] || fate != Fate::Open {
            return None;
        }
        self.changelog.push((content, transaction));
        Some(self.end() - 1)
    }

    fn end(&self) -> i64 {
        i64::try_from(self.changelog.len()).unwrap()
    }

    /// Ends a transaction, and everything else that its producer has open in the changelog.
    fn resolve(&mut self, transaction: usize, fate: Fate) {
        let producer = self.transactions[transaction].producer;
        for other in self.transactions.iter_mut().filter(|other| other.producer == producer) {
            if other.fate == Fate::Unmarked {
                other.fate = fate;
                self.took_back |= fate == Fate::Aborted;
            }
        }
        self.transactions[transaction].fate = fate;
        self.changelog.push((Content::Control, transaction));
    }

    /// Commits if nobody has fenced the producer meanwhile, with the consumed offset if there is one.
    fn commit(&mut self, transaction: usize, consumed: Option<i64>, is_marked: bool) -> bool {
        let Transaction { producer, epoch, fate } = self.transactions[transaction];
        let may = epoch == self.epochs[producer] && matches!(fate, Fate::Open | Fate::CommitRequested);
        if may {
            match is_marked {
                true => self.resolve(transaction, Fate::Committed),
                false => self.transactions[transaction].fate = Fate::Unmarked,
            }
            self.committed = consumed.or(self.committed);
        }
        may
    }

    /// The consumed offset of a transaction, if it has one.
    fn consumed(&self, transaction: usize) -> Option<i64> {
        self.changelog.iter().find_map(|(content, of)| match content {
            Content::Processed(_, to) if *of == transaction => Some(*to),
            _ => None,
        })
    }

    /// A transaction of this producer that is aborted: its control record ends what the coordinator takes for complete.
    fn abort_one(&mut self, producer: usize) {
        let transaction = self.begin(producer, self.epochs[producer]);
        self.resolve(transaction, Fate::Aborted);
    }

    /// A new epoch: fences the last producer with this id, and ends what it left open. A commit that was requested is done
    /// first, or never.
    fn init_producer(&mut self, producer: usize, with_requested: bool) -> u32 {
        for transaction in 0..self.transactions.len() {
            let of = self.transactions[transaction];
            match of.fate {
                _ if of.producer != producer => {}
                Fate::CommitRequested if with_requested => {
                    self.committed = self.consumed(transaction).or(self.committed);
                    self.resolve(transaction, Fate::Committed);
                }
                Fate::Open | Fate::CommitRequested => self.resolve(transaction, Fate::Aborted),
                Fate::Unmarked | Fate::Committed | Fate::Aborted => {}
            }
        }
        self.epochs[producer] += 1;
        self.epochs[producer]
    }

    /// Nothing from here on is read: the first record of a transaction that is open.
    fn last_stable_offset(&self) -> i64 {
        let is_open = |(_, transaction): &(Content, usize)| {
            matches!(
                self.transactions[*transaction].fate,
                Fate::Open | Fate::CommitRequested | Fate::Unmarked
            )
        };
        let open = self.changelog.iter().position(is_open);
        open.map_or(self.end(), |open| i64::try_from(open).unwrap())
    }

    /// The records that a consumer of committed records gets, from this offset on.
    fn committed_from(&self, offset: i64) -> Vec<(i64, Content)> {
        let records = (0..self.last_stable_offset()).zip(&self.changelog);
        let records = records.filter(|(at, (content, transaction))| {
            let is_committed = self.transactions[*transaction].fate == Fate::Committed;
            *at >= offset && is_committed && *content != Content::Control
        });
        records.map(|(at, (content, _))| (at, *content)).collect()
    }

    /// How far the events are processed; panics if one is skipped, or processed twice.
    fn processed(&self) -> i64 {
        let mut processed = 0;
        for (content, transaction) in &self.changelog {
            if let Content::Processed(from, to) = content
                && matches!(self.transactions[*transaction].fate, Fate::Committed | Fate::Unmarked)
            {
                assert_eq!(*from, processed, "{:?}", self.changelog);
                processed = *to;
            }
        }
        processed
    }
}

/// What an instance has begun to write.
#[derive(Debug, Clone, Copy)]
enum Writing {
    Barrier { transaction: usize, offset: i64 },
    Batch { transaction: usize, mark: i64, from: i64, to: i64, has_offsets: bool },
}

struct Instance {
    name: usize,
    partition: Partition,
    /// The epoch of its producer, if it has one.
    epoch: Option<u32>,
    writing: Option<Writing>,
    /// Where the tail reads on; `None` while it does not read the partition.
    tail: Option<i64>,
    /// The generation that it knows, if it knows that it is the owner.
    generation: Option<u32>,
    /// How far it shows the events.
    shown: i64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// What comes next, so often.
    GoOn(u8),
    /// The group gives the partition to this instance, which does not know yet. The other one does not know, either.
    Rebalance,
    /// It hears what the group did.
    Hear,
    Follow,
    InitProducer {
        with_requested: bool,
    },
    /// Begins to write a barrier, or a batch of so many events.
    Write(i64),
    /// Sends the consumed offsets.
    SendOffsets,
    Commit(Answer),
    TakeOver,
    /// Fences the producer that stands before its barrier.
    Fence {
        with_requested: bool,
    },
    /// A commit that was requested comes through.
    LateCommit,
}

/// What becomes of a commit.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Told,
    /// It is done, and its answer is lost.
    Lost,
    /// It is on its way when the instance gives up waiting.
    Late,
    /// It is done and told, and has no control record.
    Unmarked,
}

impl Instance {
    fn new(name: usize) -> Self {
        let partition = Partition::new(1, "off".parse().unwrap());
        let (epoch, writing, generation) = (None, None, None);
        Self { name, partition, epoch, writing, tail: Some(0), generation, shown: 0 }
    }

    fn step(&mut self, cluster: &mut Cluster, step: Step) {
        let now = Instant::now();
        match step {
            Step::GoOn(times) => {
                for _ in 0..times {
                    self.step(cluster, self.natural_step(cluster));
                }
            }
            Step::Rebalance => {
                cluster.generation += 1;
                cluster.owner = Some(self.name);
            }
            // What it is writing ends first: it hears of the group between two transactions.
            Step::Hear if self.writing.is_none() => self.hear(cluster),
            Step::Follow => self.follow(cluster),
            Step::InitProducer { with_requested } if self.epoch.is_none() => {
                self.epoch = Some(cluster.init_producer(self.name, with_requested));
            }
            Step::Write(count) if self.writing.is_none() => self.write(cluster, count),
            Step::SendOffsets => self.send_offsets(cluster),
            Step::Commit(answer) => self.commit(cluster, answer),
            Step::TakeOver if self.partition.can_be_taken_over(now) => {
                let log = Watermarks { start: 0, end: EVENTS };
                let surveyed = Surveyed { log, diverges_at: None, committed: cluster.committed };
                let tail_move = match self.partition.held_against(&surveyed) {
                    Trust::ReadAnew => self.partition.read_anew(),
                    Trust::Lacks(_) | Trust::Nothing if !cluster.took_back => panic!("nothing was lost"),
                    _ => self.partition.take_over(surveyed, []).unwrap().1,
                };
                self.move_tail(tail_move);
            }
            Step::Fence { with_requested } if self.partition.awaited_since().is_some() => {
                let last: Option<usize> = self.partition.last_writer().map(|last| last.parse().unwrap());
                // What somebody unknown left open ends by its time-out.
                let in_the_way = last.filter(|last| *last != self.name).unwrap_or(1 - self.name);
                cluster.init_producer(in_the_way, with_requested);
                cluster.abort_one(in_the_way);
                self.partition.last_writer_fenced(now);
            }
            Step::LateCommit => {
                let of = |transaction: &Transaction| {
                    transaction.producer == self.name && transaction.fate == Fate::CommitRequested
                };
                if let Some(late) = cluster.transactions.iter().position(of) {
                    cluster.commit(late, cluster.consumed(late), true);
                }
            }
            Step::Hear | Step::InitProducer { .. } | Step::Write(_) | Step::TakeOver | Step::Fence { .. } => {
            }
        }
        self.shown = self.partition.progress().map_or(0, |progress| progress.next_offset);
        let processed = cluster.processed();
        assert!(cluster.took_back || self.shown <= processed, "it shows what is not committed");
    }

    fn hear(&mut self, cluster: &Cluster) {
        let is_owner = cluster.owner == Some(self.name);
        if is_owner && self.generation != Some(cluster.generation) {
            let tail_move = self.partition.assigned();
            self.move_tail(tail_move);
            self.generation = Some(cluster.generation);
        } else if !is_owner && self.generation.take().is_some() {
            let tail_move = self.partition.revoked();
            self.move_tail(tail_move);
        }
    }

    fn follow(&mut self, cluster: &Cluster) {
        let Some(from) = self.tail else { return };
        for (offset, content) in cluster.committed_from(from) {
            self.tail = Some(offset + 1);
            if !self.partition.read(Mark::at(offset)) {
                if self.partition.lacks_own() {
                    let tail_move = self.partition.read_anew();
                    return self.move_tail(tail_move);
                }
                continue;
            }
            match content {
                Content::Barrier(name) => self.partition.barrier_read(name.to_string()),
                Content::Processed(_, to) => {
                    self.partition.progress_read(progress(to));
                }
                Content::Control => {}
            }
            self.partition.stored(Mark::at(offset));
        }
    }

    fn write(&mut self, cluster: &mut Cluster, count: i64) {
        let Some(epoch) = self.epoch else { return };
        let active = self.partition.active().map(|progress| progress.next_offset);
        let content = match active {
            Some(from) if from < EVENTS => Content::Processed(from, (from + count).min(EVENTS)),
            None if self.partition.needs_barrier() => Content::Barrier(self.name),
            _ => return,
        };
        let transaction = cluster.begin(self.name, epoch);
        let Some(offset) = cluster.append(transaction, content) else {
            return self.lose_writer();
        };
        self.writing = Some(match content {
            Content::Processed(from, to) => {
                Writing::Batch { transaction, mark: offset, from, to, has_offsets: false }
            }
            _ => Writing::Barrier { transaction, offset },
        });
    }

    /// The group's coordinator takes offsets of the last generation only. Else nothing of the transaction will be seen.
    fn send_offsets(&mut self, cluster: &mut Cluster) {
        let Some(Writing::Batch { transaction, has_offsets, .. }) = &mut self.writing else { return };
        let is_member = cluster.owner == Some(self.name) && self.generation == Some(cluster.generation);
        if is_member {
            *has_offsets = true;
            return;
        }
        let transaction = *transaction;
        self.writing = None;
        if cluster.transactions[transaction].fate == Fate::Open {
            cluster.resolve(transaction, Fate::Aborted);
        }
    }

    fn commit(&mut self, cluster: &mut Cluster, answer: Answer) {
        let transaction = match self.writing {
            Some(Writing::Barrier { transaction, .. }) => transaction,
            Some(Writing::Batch { transaction, has_offsets: true, .. }) => transaction,
            _ => return,
        };
        let writing = self.writing.take();
        if matches!(answer, Answer::Late) && cluster.transactions[transaction].fate == Fate::Open {
            cluster.transactions[transaction].fate = Fate::CommitRequested;
            return self.lose_writer();
        }
        let is_marked = !matches!(answer, Answer::Unmarked);
        let consumed = cluster.consumed(transaction);
        if !cluster.commit(transaction, consumed, is_marked) || matches!(answer, Answer::Lost) {
            return self.lose_writer();
        }
        match writing {
            Some(Writing::Barrier { offset, .. }) => {
                let tail_move = self.partition.barrier_written(offset, Instant::now());
                self.move_tail(tail_move);
            }
            Some(Writing::Batch { mark, from, to, .. }) => {
                assert_eq!(self.shown, from, "its own state is not the one that it goes on from");
                self.partition.committed(progress(to), None, Vec::new());
                self.partition.wrote(Mark::at(mark));
            }
            None => {}
        }
    }

    fn lose_writer(&mut self) {
        (self.epoch, self.writing) = (None, None);
        let tail_move = self.partition.writer_lost();
        self.move_tail(tail_move);
    }

    fn move_tail(&mut self, tail_move: TailMove) {
        match tail_move {
            TailMove::Stay => {}
            TailMove::Leave => self.tail = None,
            TailMove::ReturnTo(offset) => self.tail = Some(offset),
        }
    }

    /// What the pipeline does next if nothing goes wrong.
    fn natural_step(&self, cluster: &Cluster) -> Step {
        let is_owner = cluster.owner == Some(self.name);
        let has_news = self.tail.is_some_and(|from| !cluster.committed_from(from).is_empty());
        match self.writing {
            Some(Writing::Batch { has_offsets: false, .. }) => Step::SendOffsets,
            Some(_) => Step::Commit(Answer::Told),
            None if self.generation != is_owner.then_some(cluster.generation) => Step::Hear,
            None if self.epoch.is_none() => Step::InitProducer { with_requested: false },
            None if self.partition.can_be_taken_over(Instant::now()) => Step::TakeOver,
            None if has_news => Step::Follow,
            None if self.partition.awaited_since().is_some() => Step::Fence { with_requested: false },
            None => Step::Write(2),
        }
    }
}

fn progress(next_offset: i64) -> Progress {
    Progress { next_offset, ..Progress::default() }
}

fn any_step() -> impl Strategy<Value = Step> {
    let answer =
        prop_oneof![Just(Answer::Told), Just(Answer::Lost), Just(Answer::Late), Just(Answer::Unmarked)];
    prop_oneof![
        12 => (1..8_u8).prop_map(Step::GoOn),
        3 => Just(Step::Rebalance),
        1 => Just(Step::Hear),
        1 => Just(Step::Follow),
        1 => any::<bool>().prop_map(|with_requested| Step::InitProducer { with_requested }),
        2 => (1..3_i64).prop_map(Step::Write),
        1 => Just(Step::SendOffsets),
        6 => answer.prop_map(Step::Commit),
        1 => Just(Step::TakeOver),
        1 => any::<bool>().prop_map(|with_requested| Step::Fence { with_requested }),
        1 => Just(Step::LateCommit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn each_event_is_processed_once_and_nothing_is_shown_that_is_not_committed(
        steps in prop::collection::vec((0..2_usize, any_step()), 0..40),
        is_killed in any::<bool>(),
    ) {
        let (mut cluster, mut instances) = (Cluster::default(), [0, 1].map(Instance::new));
        for (name, step) in steps {
            instances[name].step(&mut cluster, step);
        }
        // The group comes to rest, and so does everything; also where one instance was killed in the midst of it.
        instances[0].step(&mut cluster, Step::Rebalance);
        let alive = if is_killed { &mut instances[..1] } else { &mut instances[..] };
        for _ in 0..200 {
            alive.iter_mut().for_each(|instance| instance.step(&mut cluster, Step::GoOn(1)));
            if alive.iter().all(|instance| instance.shown == EVENTS) {
                return Ok(());
            }
        }
        prop_assert!(false, "the events are processed up to {}", cluster.processed());
    }
}
