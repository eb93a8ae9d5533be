//! Whether a log is gone, or lacks records that it had.
//!
//! One answer proves nothing. A broker that was frozen takes itself for the leader for a while, and answers from its
//! own log, which is shorter; a broker that starts may not know a topic yet. So new clients ask the leader that fresh
//! metadata names, and a loss is believed when three answers over ten seconds say so.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use order_events::permission;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::look::{self, Looker};
use super::number;
use crate::changelog::Mark;

/// So many answers must say that something is lost.
pub(super) const ANSWERS: u32 = 3;

/// Between two of them.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// After this the brokers are asked again if they gave no answer.
const RETRY: Duration = Duration::from_secs(1);

/// Places in partitions, with what is known to be there.
type Places = Vec<(i32, Mark)>;

/// What is known to be in a topic.
#[derive(Clone)]
pub(super) struct KnownLog {
    /// How to ask. Each question has a client of its own, which knows nothing of earlier leaders.
    pub(super) config: ClientConfig,
    pub(super) topic: String,
    /// The last offset that is known of each partition, -1 if none is.
    pub(super) known: Vec<i64>,
    /// Records of each partition that it has. Compaction may remove them: then a later one has their key.
    pub(super) marks: Vec<[Option<Mark>; 2]>,
    /// The record in partition 0 that tells this topic from one that was made anew. It stays.
    pub(super) identity: Option<Mark>,
}

/// What of it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// There is no such topic, or no such partition.
    Gone,
    /// It lacks the record that tells it from another topic of the same name.
    MadeAnew,
    /// A partition ends too early.
    Ends {
        /// The partition.
        partition: i32,
        /// The offset behind its last record.
        end: i64,
        /// The last offset that was known.
        known: i64,
    },
    /// A partition begins too late.
    Begins {
        /// The partition.
        partition: i32,
        /// The offset of its first record.
        start: i64,
        /// The last offset that was known.
        known: i64,
    },
    /// At the place of a record is another one, or none.
    Replaced {
        /// The partition.
        partition: i32,
        /// The place.
        offset: i64,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "the brokers do not know it"),
            Self::MadeAnew => write!(f, "it is another topic than before, of the same name"),
            Self::Ends { partition, end, known } => {
                write!(f, "partition {partition} ends at offset {end}, but was known up to {known}")
            }
            Self::Begins { partition, start, known } => {
                write!(f, "partition {partition} begins at offset {start}, but was known only up to {known}")
            }
            Self::Replaced { partition, offset } => {
                write!(f, "at offset {offset} of partition {partition} is another record than before")
            }
        }
    }
}

/// What one client was told.
#[derive(Debug)]
enum Answer {
    /// Everything that is known is there.
    Sound,
    Lost(Loss),
    /// The brokers do not answer.
    Nothing(KafkaError),
}

/// What the answers come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is lost.
    Sound,
    /// All answers agree that something is.
    Lost(Loss),
    /// The brokers do not let this service look.
    NotAllowed,
}

/// The answers so far.
struct Answers {
    losses: u32,
    denials: u32,
    next_at: Instant,
}

impl Answers {
    fn note(&mut self, answer: Answer, now: Instant) -> Option<Verdict> {
        match answer {
            Answer::Sound => Some(Verdict::Sound),
            Answer::Lost(loss) => {
                self.losses += 1;
                self.next_at = now + PAUSE;
                (self.losses >= ANSWERS).then_some(Verdict::Lost(loss))
            }
            Answer::Nothing(error) if error.rdkafka_error_code().is_some_and(permission::is_missing) => {
                self.denials += 1;
                self.next_at = now + PAUSE;
                (self.denials >= ANSWERS).then_some(Verdict::NotAllowed)
            }
            Answer::Nothing(_) => {
                self.next_at = now + RETRY;
                None
            }
        }
    }
}

/// A doubt about a log. The questions are asked beside the pipeline's thread.
pub(super) struct Doubt {
    log: KnownLog,
    answers: Answers,
    asking: Option<JoinHandle<Answer>>,
    /// Whether the loss is told already.
    is_told: bool,
}

impl Doubt {
    /// The first question is due at once.
    pub(super) fn new(log: KnownLog) -> Self {
        let answers = Answers { losses: 0, denials: 0, next_at: Instant::now() };
        Self { log, answers, asking: None, is_told: false }
    }

    /// The same once more, of a loss that is believed: it may end.
    pub(super) fn again(log: KnownLog) -> Self {
        Self { is_told: true, ..Self::new(log) }
    }

    /// Asks if it is time to. `None` while it is open what the answers come to.
    pub(super) fn verdict(&mut self, runtime: &Handle) -> Option<Verdict> {
        let now = Instant::now();
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            let topic = &self.log.topic;
            let answer = runtime.block_on(asking).unwrap_or(Answer::Nothing(KafkaError::Canceled));
            match &answer {
                Answer::Sound => info!(topic, "nothing is missing: a broker was not up to date"),
                Answer::Lost(_) if self.is_told => {}
                Answer::Lost(loss) => warn!(topic, %loss, "records seem to be lost; asking again"),
                Answer::Nothing(error) => warn!(topic, %error, "the brokers do not tell what is lost"),
            }
            return self.answers.note(answer, now);
        }
        if self.asking.is_none() && now >= self.answers.next_at {
            let log = self.log.clone();
            self.asking = Some(runtime.spawn_blocking(move || log.ask()));
        }
        None
    }
}

impl KnownLog {
    fn ask(&self) -> Answer {
        match self.look() {
            Ok(None) => Answer::Sound,
            Ok(Some(loss)) => Answer::Lost(loss),
            Err(error) => Answer::Nothing(error),
        }
    }

    fn look(&self) -> Result<Option<Loss>, KafkaError> {
        let client = look::looker(&self.config)?;
        if self.is_gone(&client)? {
            return Ok(Some(Loss::Gone));
        }
        if let Some(mark) = self.identity
            && self.first_behind(&[(0, mark)])?.get(&0) != Some(&mark)
        {
            return Ok(Some(Loss::MadeAnew));
        }
        let mut starts = vec![0; self.known.len()];
        for (index, known) in self.known.iter().enumerate().filter(|(_, known)| **known >= 0) {
            let partition = number(index);
            let (start, end) = client.fetch_watermarks(&self.topic, partition, look::TIMEOUT)?;
            if let Some(loss) = loss_between(start, end, partition, *known) {
                return Ok(Some(loss));
            }
            starts[index] = start;
        }
        for nth in 0..2 {
            let loss = self.replaced(&self.marks_from(&starts, nth))?;
            if loss.is_some() {
                return Ok(loss);
            }
        }
        Ok(None)
    }

    /// The nth mark of each partition, if retention has not removed its place.
    fn marks_from(&self, starts: &[i64], nth: usize) -> Places {
        let mark = |(index, start): (usize, &i64)| {
            let mark = self.marks.get(index)?[nth].filter(|mark| mark.offset >= *start)?;
            Some((number(index), mark))
        };
        starts.iter().enumerate().filter_map(mark).collect()
    }

    /// Whether at one of these places is another record, or neither this one nor any behind it.
    fn replaced(&self, places: &[(i32, Mark)]) -> Result<Option<Loss>, KafkaError> {
        if places.is_empty() {
            return Ok(None);
        }
        let found = self.first_behind(places)?;
        let is_there = |(partition, mark): &(i32, Mark)| {
            found.get(partition).is_some_and(|found| found == mark || found.offset > mark.offset)
        };
        let missing = places.iter().find(|place| !is_there(place));
        Ok(missing.map(|(partition, mark)| Loss::Replaced { partition: *partition, offset: mark.offset }))
    }

    /// Only metadata can tell: of a partition without a leader, librdkafka says as well that it is unknown.
    fn is_gone(&self, client: &Looker) -> Result<bool, KafkaError> {
        let metadata = client.fetch_metadata(Some(&self.topic), look::TIMEOUT)?;
        let Some(topic) = metadata.topics().first() else { return Ok(true) };
        match topic.error().map(Code::from) {
            None => Ok(topic.partitions().len() < self.known.len()),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(true),
            Some(code) => Err(KafkaError::MetadataFetch(code)),
        }
    }

    fn first_behind(&self, places: &[(i32, Mark)]) -> Result<HashMap<i32, Mark>, KafkaError> {
        let client = look::looker(&self.config)?;
        let offsets: Vec<_> = places.iter().map(|(partition, mark)| (*partition, mark.offset)).collect();
        let found = look::first_behind(&client, &self.topic, &offsets, |record| Mark::of(record))?;
        if found.len() < places.len() {
            return Err(look::timed_out());
        }
        Ok(found.into_iter().filter_map(|(partition, mark)| Some((partition, mark?))).collect())
    }
}

/// What the ends of a partition tell. All records behind those that are known are wanted.
fn loss_between(start: i64, end: i64, partition: i32, known: i64) -> Option<Loss> {
    if end <= known {
        Some(Loss::Ends { partition, end, known })
    } else if start > known + 1 {
        Some(Loss::Begins { partition, start, known })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::RDKafkaRespErr;

    const LOSS: Loss = Loss::Ends { partition: 1, end: 5, known: 9 };

    fn answers(now: Instant) -> Answers {
        Answers { losses: 0, denials: 0, next_at: now }
    }

    #[test]
    fn a_loss_is_believed_when_three_answers_over_ten_seconds_agree() {
        let began = Instant::now();
        let mut answers = answers(began);
        for _ in 0..2 {
            let now = answers.next_at;
            assert_eq!(answers.note(Answer::Lost(LOSS), now), None);
        }
        assert!(answers.next_at >= began + Duration::from_secs(10));
        assert_eq!(answers.note(Answer::Lost(LOSS), answers.next_at), Some(Verdict::Lost(LOSS)));
    }

    #[test]
    fn one_answer_that_everything_is_there_ends_the_doubt() {
        let mut answers = answers(Instant::now());
        assert_eq!(answers.note(Answer::Lost(Loss::Gone), answers.next_at), None);
        assert_eq!(answers.note(Answer::Sound, answers.next_at), Some(Verdict::Sound));
    }

    #[test]
    fn a_missing_permission_is_believed_like_a_loss() {
        let denied = || Answer::Nothing(KafkaError::MessageConsumption(Code::TopicAuthorizationFailed));
        let mut answers = answers(Instant::now());
        for _ in 0..2 {
            assert_eq!(answers.note(denied(), answers.next_at), None);
        }
        assert_eq!(answers.note(denied(), answers.next_at), Some(Verdict::NotAllowed));
    }

    #[test]
    fn brokers_that_do_not_answer_prove_nothing() {
        let mut answers = answers(Instant::now());
        for _ in 0..10 {
            let now = answers.next_at;
            assert_eq!(answers.note(Answer::Nothing(KafkaError::Canceled), now), None);
            assert!(answers.next_at > now);
        }
        assert_eq!(answers.losses, 0);
    }

    fn answer(servers: String) -> Answer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("group.id", "group");
        let (topic, known) = ("changelog".to_owned(), vec![-1, 7]);
        KnownLog { config, topic, known, marks: Vec::new(), identity: None }.ask()
    }

    #[test]
    fn a_partition_without_a_leader_is_not_gone() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("changelog", 2, 1).unwrap();
        cluster.partition_leader("changelog", 1, None).unwrap();
        let answer = answer(cluster.bootstrap_servers());
        assert!(matches!(answer, Answer::Nothing(_)), "{answer:?}");
    }

    #[test]
    fn a_topic_with_fewer_partitions_is_another_one() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("changelog", 1, 1).unwrap();
        let answer = answer(cluster.bootstrap_servers());
        assert!(matches!(answer, Answer::Lost(Loss::Gone)), "{answer:?}");
    }

    #[test]
    fn a_missing_permission_ends_the_doubt() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("changelog", 2, 1).unwrap();
        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        cluster.topic_error("changelog", denied).unwrap();
        let mut answers = answers(Instant::now());
        let verdicts = [(); 3].map(|()| answers.note(answer(cluster.bootstrap_servers()), Instant::now()));
        assert_eq!(verdicts, [None, None, Some(Verdict::NotAllowed)]);
    }
}
