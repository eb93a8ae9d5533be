//! Whether a log is gone, or shorter than it was.
//!
//! One answer proves nothing. A broker that was frozen takes itself for the leader for a while, and answers from its
//! own log, which is shorter; a broker that starts may not know a topic yet. So new clients ask the leader that fresh
//! metadata names, and a loss is believed when three answers over ten seconds say so.

use std::fmt;
use std::time::{Duration, Instant};

use order_events::ClientLog;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::partition::Partition;
use super::{Pipeline, PipelineError, Worker};
use crate::status::Obstacle;

/// So many answers must say that something is lost.
const ANSWERS: u32 = 3;

/// Between two of them.
const PAUSE: Duration = Duration::from_secs(5);

/// After this the brokers are asked again if they gave no answer.
const RETRY: Duration = Duration::from_secs(1);

/// How long a broker may take for one question.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is known to be in a topic.
#[derive(Clone)]
pub(super) struct KnownLog {
    /// How to ask. Each question has a client of its own, which knows nothing of earlier leaders.
    pub(super) config: ClientConfig,
    pub(super) topic: String,
    /// The last offset that is known of each partition, -1 if none is.
    pub(super) known: Vec<i64>,
    /// The offset and the value of the record in partition 0 that tells this topic from one that was made anew.
    pub(super) identity: Option<(i64, Vec<u8>)>,
}

/// What of it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// There is no such topic, or no such partition.
    Gone,
    /// A partition ends too early.
    Ends {
        /// The partition.
        partition: i32,
        /// The offset behind its last record.
        end: i64,
        /// The last offset that was known.
        known: i64,
    },
    /// At the place of the record that identifies the topic is another one, or none.
    Replaced {
        /// The place, in partition 0.
        offset: i64,
    },
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "the brokers do not know it"),
            Self::Ends { partition, end, known } => {
                write!(f, "partition {partition} ends at offset {end}, but was known up to {known}")
            }
            Self::Replaced { offset } => {
                write!(f, "the record at offset {offset} of partition 0, which identifies it, is another one")
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
}

/// The answers so far.
struct Answers {
    losses: u32,
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
}

impl Doubt {
    /// The first question is due at once.
    pub(super) fn new(log: KnownLog) -> Self {
        Self { log, answers: Answers { losses: 0, next_at: Instant::now() }, asking: None }
    }

    /// Asks if it is time to. `None` while it is open what the answers come to.
    pub(super) fn verdict(&mut self, runtime: &Handle) -> Option<Verdict> {
        let now = Instant::now();
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            let topic = &self.log.topic;
            let answer = runtime.block_on(asking).unwrap_or(Answer::Nothing(KafkaError::Canceled));
            match &answer {
                Answer::Sound => info!(topic, "nothing is missing: a broker was not up to date"),
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
            Err(error) => match error.rdkafka_error_code() {
                // Of a partition: librdkafka says `UnknownPartition` of one that has no leader just now.
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Answer::Lost(Loss::Gone),
                _ => Answer::Nothing(error),
            },
        }
    }

    fn look(&self) -> Result<Option<Loss>, KafkaError> {
        let client: BaseConsumer<ClientLog> = self.config.create_with_context(ClientLog)?;
        let metadata = client.fetch_metadata(Some(&self.topic), TIMEOUT)?;
        if let Some(topic) = metadata.topics().first() {
            if let Some(error) = topic.error() {
                return Err(KafkaError::MetadataFetch(error.into()));
            }
            if topic.partitions().len() < self.known.len() {
                return Ok(Some(Loss::Gone));
            }
        }
        for (partition, known) in (0..).zip(&self.known).filter(|(_, known)| **known >= 0) {
            let (_, end) = client.fetch_watermarks(&self.topic, partition, TIMEOUT)?;
            if end <= *known {
                return Ok(Some(Loss::Ends { partition, end, known: *known }));
            }
        }
        match &self.identity {
            Some((offset, value)) if !self.has(&client, *offset, value)? => {
                Ok(Some(Loss::Replaced { offset: *offset }))
            }
            _ => Ok(None),
        }
    }

    /// Whether the record at that offset of partition 0 has that value.
    fn has(&self, client: &BaseConsumer<ClientLog>, offset: i64, value: &[u8]) -> Result<bool, KafkaError> {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, 0, Offset::Offset(offset))?;
        client.assign(&place)?;
        match client.poll(TIMEOUT) {
            Some(Ok(record)) => Ok(record.offset() == offset && record.payload() == Some(value)),
            Some(Err(error)) if error.rdkafka_error_code() == Some(Code::AutoOffsetReset) => Ok(false),
            Some(Err(error)) => Err(error),
            None => Err(KafkaError::MessageConsumption(Code::OperationTimedOut)),
        }
    }
}

impl Worker {
    /// A broker answers as if the changelog were gone, or shorter than what was read of it or written to it.
    pub(super) fn doubt_changelog(&mut self, reason: &str) {
        let topic = &self.pipeline.topics.changelog;
        self.pipeline.status.set(Obstacle::ChangelogDoubt, doubted(topic, reason));
        let log = || KnownLog {
            config: self.pipeline.doubt_client(),
            topic: topic.clone(),
            known: self.partitions.iter().map(|partition| partition.known).collect(),
            identity: self.partitions.first().and_then(|partition| partition.identity.clone()),
        };
        self.changelog_doubt.get_or_insert_with(|| Doubt::new(log()));
    }

    /// A broker answers as if the events topic were shorter than what was processed of it.
    pub(super) fn doubt_events(&mut self, reason: &str) {
        let topic = &self.pipeline.topics.events;
        self.pipeline.status.set(Obstacle::EventsDoubt, doubted(topic, reason));
        let processed =
            |partition: &Partition| partition.progress.map_or(-1, |progress| progress.next_offset - 1);
        let log = || KnownLog {
            config: self.pipeline.doubt_client(),
            topic: topic.clone(),
            known: self.partitions.iter().map(processed).collect(),
            identity: None,
        };
        self.events_doubt.get_or_insert_with(|| Doubt::new(log()));
    }

    /// Asks on where something is in doubt, and goes on where the doubt is over.
    ///
    /// # Errors
    /// What was in doubt is lost.
    pub(super) fn settle_doubts(&mut self) -> Result<(), PipelineError> {
        let runtime = self.pipeline.runtime.clone();
        match self.changelog_doubt.as_mut().and_then(|doubt| doubt.verdict(&runtime)) {
            None => {}
            Some(Verdict::Sound) => {
                self.changelog_doubt = None;
                self.replace_tail()?;
                self.pipeline.status.clear(Obstacle::ChangelogDoubt);
            }
            Some(Verdict::Lost(loss)) => {
                let topic = self.pipeline.topics.changelog.clone();
                return Err(PipelineError::ChangelogLost { topic, reason: loss.to_string() });
            }
        }
        match self.events_doubt.as_mut().and_then(|doubt| doubt.verdict(&runtime)) {
            None => {}
            Some(Verdict::Lost(Loss::Ends { partition, end, known })) => {
                return Err(PipelineError::EventsMadeAnew {
                    topic: self.pipeline.topics.events.clone(),
                    partition,
                    end,
                    processed: known + 1,
                    changelog: self.pipeline.topics.changelog.clone(),
                });
            }
            // A topic that is not there may come back as it was; what asks for it finds out.
            Some(Verdict::Sound | Verdict::Lost(_)) => {
                self.events_doubt = None;
                self.pipeline.status.clear(Obstacle::EventsDoubt);
            }
        }
        Ok(())
    }
}

impl Pipeline {
    fn doubt_client(&self) -> ClientConfig {
        let mut config = self.clients.watch();
        // librdkafka wants the name of a group, although it joins none. What is not committed yet proves as well that a
        // log is not shorter.
        config
            .set("client.id", "order-service-doubt")
            .set("group.id", &self.group)
            .set("isolation.level", "read_uncommitted")
            .set("auto.offset.reset", "error");
        config
    }
}

fn doubted(topic: &str, reason: &str) -> String {
    format!(
        "topic {topic}: {reason}; the brokers are asked again, as one that is not up to date may have said so"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use rdkafka::mocking::MockCluster;

    const LOSS: Loss = Loss::Ends { partition: 1, end: 5, known: 9 };

    fn answers(now: Instant) -> Answers {
        Answers { losses: 0, next_at: now }
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
        KnownLog { config, topic, known, identity: None }.ask()
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
}
