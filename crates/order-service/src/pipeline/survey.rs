//! Whether the log of the events is still the one that was processed. It is asked before a partition is processed, beside
//! the pipeline's thread, so that a leader that does not answer holds up nobody.
//!
//! A log that has lost its end is filled again with other events. Those behind the newest checkpoint that it still has are
//! processed again; an event that was processed before is known by its id. One answer that a checkpoint is missing proves
//! nothing, see `doubt`: three over ten seconds do.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::doubt::{ANSWERS, PAUSE};
use super::look::{self, Looker};
use super::partition::{Partition, Surveyed, Watermarks};
use super::{Pipeline, index_of};
use crate::changelog::{Checkpoint, Progress};
use crate::dead_letters::{DeadLetterTopic, DeadLetterTopicError, Index};
use crate::settings::Guarantee;
use crate::view::status::Obstacle;

/// A partition whose leader did not answer is asked again after this.
pub(super) const RETRY: Duration = Duration::from_secs(2);

/// How long a broker may take to tell where a partition begins and ends.
pub(super) const WATERMARK_TIMEOUT: Duration = Duration::from_secs(1);

/// The same, once a partition did not answer: each of them keeps the others waiting.
const NEXT_TIMEOUT: Duration = Duration::from_millis(500);

/// So many clients ask at the same time.
const AT_ONCE: usize = 3;

/// Why a partition's log is not known.
#[derive(Debug, Error)]
enum Unknown {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("the dead letters cannot be read: {0}")]
    Letters(#[from] DeadLetterTopicError),
}

/// A partition, and what its log must have.
struct Question {
    number: i32,
    progress: Option<Progress>,
    /// The offset that the group has committed, once it is known.
    committed: Option<i64>,
}

/// What came of a question.
struct Answer {
    question: Question,
    surveyed: Result<Surveyed, Unknown>,
}

/// How often a log was found to differ, one time after the other.
struct Evidence {
    diverges_at: i64,
    answers: u32,
}

/// Asks, and weighs the answers.
pub(super) struct Survey {
    /// Which partitions are being asked about.
    asking: Vec<(Vec<i32>, JoinHandle<()>)>,
    tell: Sender<Answer>,
    answers: Receiver<Answer>,
    evidence: HashMap<usize, Evidence>,
    /// Why the last question about a partition had no answer.
    unanswered: HashMap<usize, String>,
}

impl Default for Survey {
    fn default() -> Self {
        let (tell, answers) = channel();
        Self { asking: Vec::new(), tell, answers, evidence: HashMap::new(), unanswered: HashMap::new() }
    }
}

impl Survey {
    /// Asks about the partitions that can be taken over, and gives those of which the answer is sure.
    pub(super) fn settle(
        &mut self,
        pipeline: &Pipeline,
        partitions: &mut [Partition],
    ) -> Vec<(usize, Surveyed)> {
        let now = Instant::now();
        let mut sure = Vec::new();
        while let Ok(Answer { question, surveyed }) = self.answers.try_recv() {
            let index = index_of(question.number);
            let Some(partition) = partitions.get_mut(index).filter(|partition| question.is_about(partition))
            else {
                continue;
            };
            self.unanswered.remove(&index);
            match surveyed {
                Ok(surveyed) if self.is_sure(index, surveyed) => sure.push((index, surveyed)),
                Ok(_) => partition.ask_again(now + PAUSE),
                Err(error) => {
                    debug!(partition = index, %error, "what is in the partition cannot be told yet");
                    partition.ask_again(now + RETRY);
                    self.unanswered.insert(index, error.to_string());
                }
            }
        }
        let known = partitions.iter().filter(|of| of.is_surveyed() && of.can_be_taken_over(now));
        sure.extend(known.map(|partition| as_before(pipeline, index_of(partition.number()))));
        self.evidence.retain(|index, _| partitions[*index].awaits_barrier());
        self.tell_doubt(pipeline);
        let taken: Vec<usize> = sure.iter().map(|(index, _)| *index).collect();
        self.ask(
            pipeline,
            partitions.iter().filter(|partition| {
                partition.can_be_taken_over(now) && !taken.contains(&index_of(partition.number()))
            }),
        );
        sure
    }

    /// Why the last question about a partition had no answer, if it had none.
    pub(super) fn unanswered(&self, index: usize) -> Option<&str> {
        self.unanswered.get(&index).map(String::as_str)
    }

    /// Whether it is sure what the log is, with this answer.
    fn is_sure(&mut self, index: usize, surveyed: Surveyed) -> bool {
        let Some(diverges_at) = surveyed.diverges_at else {
            self.evidence.remove(&index);
            return true;
        };
        let evidence = self.evidence.entry(index).or_insert(Evidence { diverges_at, answers: 0 });
        if evidence.diverges_at != diverges_at {
            *evidence = Evidence { diverges_at, answers: 0 };
        }
        evidence.answers += 1;
        warn!(partition = index, diverges_at, "the events are not those that were processed; asking again");
        let is_sure = evidence.answers >= ANSWERS;
        if is_sure {
            self.evidence.remove(&index);
        }
        is_sure
    }

    fn tell_doubt(&self, pipeline: &Pipeline) {
        let mut partitions: Vec<usize> = self.evidence.keys().copied().collect();
        if partitions.is_empty() {
            pipeline.status.clear(Obstacle::EventsDoubt);
            return;
        }
        partitions.sort_unstable();
        let reason = format!(
            "topic {}: partitions {partitions:?} do not have the events that were processed; the brokers are asked again, \
             as one that is not up to date may have said so",
            pipeline.topics.events
        );
        pipeline.status.set(Obstacle::EventsDoubt, reason);
    }

    fn ask<'a>(&mut self, pipeline: &Pipeline, partitions: impl Iterator<Item = &'a Partition>) {
        self.asking.retain(|(_, task)| !task.is_finished());
        if self.asking.len() >= AT_ONCE {
            return;
        }
        let is_asked = |number| self.asking.iter().any(|(numbers, _)| numbers.contains(&number));
        let due = partitions.filter(|partition| !is_asked(partition.number()));
        let questions: Vec<_> = due.map(Question::about).collect();
        if questions.is_empty() {
            return;
        }
        let surveyor = Surveyor {
            config: look::config(pipeline),
            topic: pipeline.topics.events.clone(),
            in_transactions: pipeline.settings.processing_guarantee == Guarantee::ExactlyOnce,
            letters: (pipeline.letters_topic.clone(), pipeline.letters.clone()),
            tell: self.tell.clone(),
        };
        let numbers = questions.iter().map(|question| question.number).collect();
        self.asking.push((numbers, pipeline.runtime.spawn_blocking(move || surveyor.survey(questions))));
    }
}

/// A partition whose log was looked at before, when the group gave it.
fn as_before(pipeline: &Pipeline, index: usize) -> (usize, Surveyed) {
    let statuses = pipeline.status.partitions();
    let log = statuses.get(index).map_or(Watermarks { start: 0, end: 0 }, |status| Watermarks {
        start: status.start_offset,
        end: status.end_offset,
    });
    (index, Surveyed { log, diverges_at: None, committed: None })
}

impl Question {
    fn about(partition: &Partition) -> Self {
        Self { number: partition.number(), progress: partition.progress().cloned(), committed: None }
    }

    /// Whether the partition still is as it was when this was asked.
    fn is_about(&self, partition: &Partition) -> bool {
        partition.can_be_taken_over(Instant::now()) && partition.progress() == self.progress.as_ref()
    }

    /// The checkpoints that the log must have: retention may have taken older ones. The newest first.
    fn checkpoints(&self, start: i64) -> impl Iterator<Item = Checkpoint> {
        let all = self.progress.iter().flat_map(|progress| progress.checkpoints.newest_first());
        all.filter(move |checkpoint| checkpoint.offset >= start)
    }

    /// What the ends of the log tell, without a look at its records; `None` if nothing.
    fn by_its_ends(&self, log: Watermarks) -> Option<Surveyed> {
        let next_offset = self.progress.as_ref().map_or(0, |progress| progress.next_offset);
        if self.checkpoints(log.start).next().is_some() {
            return None;
        }
        // Nothing is concluded from no checkpoints, but that a log that is too short is another one.
        let diverges_at = (next_offset > log.end).then_some(log.start);
        Some(Surveyed { log, diverges_at, committed: self.committed })
    }
}

/// Asks the brokers.
struct Surveyor {
    config: ClientConfig,
    topic: String,
    /// Whether offsets are committed together with the progress.
    in_transactions: bool,
    letters: (DeadLetterTopic, Index),
    tell: Sender<Answer>,
}

/// A partition whose records must be looked at.
struct Pending {
    question: Question,
    log: Watermarks,
    /// How many of its newest checkpoints are not in the log.
    missing: usize,
}

/// What a look at one record tells.
enum Compared {
    /// What the log is.
    Known(Surveyed),
    /// That an older checkpoint must be looked for.
    LookFurther,
}

impl Surveyor {
    fn survey(&self, mut questions: Vec<Question>) {
        let asked = look::looker(&self.config).and_then(|client| {
            self.ask_for_committed(&client, &mut questions)?;
            Ok((look::leaders(&client, &self.topic)?, client))
        });
        match asked {
            Ok((leaders, client)) => {
                let pending = self.look_at_ends(&client, &leaders, questions);
                self.look_at_records(client, pending);
            }
            Err(error) => {
                for question in questions {
                    self.answer(question, Err(error.clone().into()));
                }
            }
        }
    }

    /// Asks the group's coordinator what was committed, for all partitions at once.
    fn ask_for_committed(&self, client: &Looker, questions: &mut [Question]) -> Result<(), KafkaError> {
        if !self.in_transactions {
            return Ok(());
        }
        let numbers: Vec<i32> = questions.iter().map(|question| question.number).collect();
        let committed = look::committed(client, &self.topic, &numbers)?;
        for (question, (_, offset)) in questions.iter_mut().zip(committed) {
            question.committed = offset;
        }
        Ok(())
    }

    /// Asks where the partitions begin and end. Gives those of which that is not enough.
    fn look_at_ends(&self, client: &Looker, leaders: &[bool], questions: Vec<Question>) -> Vec<Pending> {
        let mut pending = Vec::new();
        let mut timeout = WATERMARK_TIMEOUT;
        for question in questions {
            let has_leader = leaders.get(index_of(question.number)).is_some_and(|has_leader| *has_leader);
            let asked = match has_leader {
                true => client.fetch_watermarks(&self.topic, question.number, timeout),
                false => Err(KafkaError::MetadataFetch(Code::LeaderNotAvailable)),
            };
            let log = match asked {
                Ok((start, end)) => Watermarks { start, end },
                Err(error) => {
                    timeout = NEXT_TIMEOUT;
                    self.answer(question, Err(error.into()));
                    continue;
                }
            };
            match question.by_its_ends(log) {
                Some(surveyed) => self.answer(question, Ok(surveyed)),
                None => pending.push(Pending { question, log, missing: 0 }),
            }
        }
        pending
    }

    /// Looks for the newest checkpoint of each that is still there.
    fn look_at_records(&self, client: Looker, mut pending: Vec<Pending>) {
        let mut client = Some(client);
        while !pending.is_empty() {
            let places: Vec<_> = pending.iter_mut().filter_map(Pending::place).collect();
            let looked = match client.take() {
                Some(first) => Ok(first),
                None => look::looker(&self.config),
            };
            let found = looked.and_then(|client| {
                look::first_behind(&client, &self.topic, &places, |record| Checkpoint::of(record))
            });
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    for of in pending {
                        self.answer(of.question, Err(error.clone().into()));
                    }
                    return;
                }
            };
            pending = pending.into_iter().filter_map(|of| self.settle(of, &found)).collect();
        }
    }

    /// Answers what is known by now. Gives the partition back if an older checkpoint must be looked for.
    fn settle(&self, mut of: Pending, found: &HashMap<i32, Option<Checkpoint>>) -> Option<Pending> {
        let found = found.get(&of.question.number).copied();
        if found.is_none() && of.checkpoint().is_some() {
            self.answer(of.question, Err(look::timed_out().into()));
            return None;
        }
        match of.compare(found) {
            Compared::LookFurther => Some(of),
            Compared::Known(surveyed) => {
                self.answer(of.question, Ok(surveyed));
                None
            }
        }
    }

    /// Events that are processed again may be dead letters already: these must be known.
    fn answer(&self, question: Question, mut surveyed: Result<Surveyed, Unknown>) {
        let is_read_again = question.progress.as_ref().is_some_and(Progress::is_read_again);
        if surveyed.as_ref().is_ok_and(|surveyed| surveyed.diverges_at.is_some() || is_read_again) {
            let (topic, index) = &self.letters;
            if let Err(error) = topic.catch_up(index) {
                surveyed = Err(error.into());
            }
        }
        // The pipeline may have ended.
        let _ = self.tell.send(Answer { question, surveyed });
    }
}

impl Pending {
    /// The newest checkpoint that is not known to be missing.
    fn checkpoint(&self) -> Option<Checkpoint> {
        self.question.checkpoints(self.log.start).nth(self.missing)
    }

    /// Where to look next. A checkpoint behind the end of the log is not there.
    fn place(&mut self) -> Option<(i32, i64)> {
        let end = self.log.end;
        self.missing += self
            .question
            .checkpoints(self.log.start)
            .skip(self.missing)
            .take_while(|known| known.offset >= end)
            .count();
        self.checkpoint().map(|known| (self.question.number, known.offset))
    }

    /// Holds what was found against the checkpoint that was looked for.
    fn compare(&mut self, found: Option<Option<Checkpoint>>) -> Compared {
        let diverges_at = match self.checkpoint() {
            // None of them is there.
            None => Some(self.log.start),
            Some(wanted) if found.flatten() == Some(wanted) => {
                (self.missing > 0).then_some(wanted.offset + 1)
            }
            Some(_) => {
                self.missing += 1;
                return Compared::LookFurther;
            }
        };
        Compared::Known(Surveyed { log: self.log, diverges_at, committed: self.question.committed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changelog::{Checkpoints, Cut};

    fn checkpoint(offset: i64) -> Checkpoint {
        Checkpoint { offset, timestamp: offset, fingerprint: offset }
    }

    fn question(next_offset: i64, checkpoints: &[i64]) -> Question {
        let mut noted = Checkpoints::default();
        checkpoints.iter().for_each(|offset| noted.note(checkpoint(*offset)));
        Question {
            number: 0,
            progress: Some(Progress { next_offset, checkpoints: noted, ..Progress::default() }),
            committed: None,
        }
    }

    fn by_its_ends(question: &Question, start: i64, end: i64) -> Option<Option<i64>> {
        let surveyed = question.by_its_ends(Watermarks { start, end });
        surveyed.map(|surveyed| surveyed.diverges_at)
    }

    #[test]
    fn without_checkpoints_only_a_log_that_is_too_short_is_another_one() {
        let nothing = Question { number: 0, progress: None, committed: None };
        assert_eq!(by_its_ends(&nothing, 5, 9), Some(None), "nothing was processed");
        assert_eq!(by_its_ends(&question(9, &[]), 5, 9), Some(None), "an older version processed it");
        assert_eq!(by_its_ends(&question(9, &[]), 0, 8), Some(Some(0)));
        assert_eq!(by_its_ends(&question(9, &[3]), 4, 9), Some(None), "retention took the record");
        assert_eq!(by_its_ends(&question(9, &[3]), 3, 9), None, "it must be looked for");
    }

    /// Where another log differs, if `has` are the records that are still there, of a log from `start` to `end`.
    fn diverges_at(checkpoints: &[i64], (start, end): (i64, i64), has: &[i64]) -> Option<i64> {
        let mut of =
            Pending { question: question(100, checkpoints), log: Watermarks { start, end }, missing: 0 };
        loop {
            let found = of.place().map(|(_, at)| {
                assert!((start..end).contains(&at));
                has.contains(&at).then(|| checkpoint(at))
            });
            match of.compare(found) {
                Compared::Known(surveyed) => return surveyed.diverges_at,
                Compared::LookFurther => {}
            }
        }
    }

    #[test]
    fn a_log_differs_behind_the_newest_checkpoint_that_it_has() {
        let all = [10, 50, 90, 99];
        assert_eq!(diverges_at(&all, (0, 200), &all), None);
        assert_eq!(diverges_at(&all, (0, 200), &[10, 50]), Some(51));
        assert_eq!(diverges_at(&all, (0, 60), &all), Some(51), "it is too short for the others");
        assert_eq!(diverges_at(&all, (20, 200), &[]), Some(20));
        assert_eq!(diverges_at(&all, (0, 5), &all), Some(0));
    }

    #[test]
    fn three_answers_in_a_row_must_agree() {
        let mut survey = Survey::default();
        let log = Watermarks { start: 0, end: 9 };
        let mut is_sure = |diverges_at| survey.is_sure(0, Surveyed { log, diverges_at, committed: None });
        assert!(is_sure(None));
        assert_eq!(
            [Some(5), Some(5), None, Some(5), Some(5)].map(&mut is_sure),
            [false, false, true, false, false]
        );
        assert_eq!([Some(4), Some(4), Some(4)].map(&mut is_sure), [false, false, true]);
    }

    #[test]
    fn what_changed_meanwhile_is_asked_again() {
        let asked = question(9, &[8]);
        let mut partition = Partition::new(0, "off".parse().unwrap());
        let _ = partition.assigned();
        let _ = partition.barrier_written(3, Instant::now());
        partition.progress_read(asked.progress.clone().unwrap());
        assert!(!asked.is_about(&partition), "its barrier is not read back");
        partition.stored(crate::changelog::Mark::at(3));
        assert!(asked.is_about(&partition));
        partition
            .progress_read(Progress { cut: Some(Cut { from: 1, to: 2, events: 1 }), ..Progress::default() });
        assert!(!asked.is_about(&partition));
    }
}
