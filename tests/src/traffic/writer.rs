//! Puts a mix of records into the events topic, partly in transactions, of which some are aborted.
//!
//! A transaction waits for brokers that are away, and what is behind it waits too. So what a high rate wants beyond
//! [`MIXED`] is written by another writer, which has orders of its own and no transactions: it never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use order_events::TraceContext;
use order_events::headers::EventHeaders;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use uuid::Uuid;

use super::mix::{Draft, Mix};
use crate::kafka::Topic;
use crate::wait::PATIENCE;

type Client = ThreadedProducer<DefaultProducerContext>;

/// What a client may wait for a broker that may be away.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many records are written at once, or more at a rate that wants it.
const MOST_AT_ONCE: u32 = 12;
/// What was not written in time, behind a wait, is written as soon as possible; but no more than this.
const LATE: Duration = Duration::from_millis(500);
/// Then a client's queue is looked at again that was full.
const FULL: Duration = Duration::from_millis(5);

/// How many records a second are written with some of them in transactions, at the most.
pub(super) const MIXED: u32 = 300;

/// Writes until it is told to stop; then everything is delivered, and no transaction is open.
pub(super) struct Writer {
    topic: Topic,
    transactional_id: String,
    /// How often records are written in a transaction, from 0 to 1.
    transactions: f64,
    plain: Client,
    /// `None` after an error.
    transactional: Option<Client>,
}

impl Writer {
    /// A tenth of what it writes is in transactions.
    pub(super) fn mixed(topic: Topic) -> Self {
        Self::new(topic, 0.1)
    }

    /// Without transactions.
    pub(super) fn plain(topic: Topic) -> Self {
        Self::new(topic, 0.0)
    }

    fn new(topic: Topic, transactions: f64) -> Self {
        let transactional_id = format!("load-{}", Uuid::new_v4());
        let plain = client(&topic, None);
        Self { topic, transactional_id, transactions, plain, transactional: None }
    }

    /// Some `per_second` records a second.
    pub(super) fn run(mut self, mut mix: Mix, per_second: u32, mut chance: ChaCha8Rng, stop: &AtomicBool) {
        let mut due = Instant::now();
        while !stop.load(Ordering::SeqCst) {
            let count = chance.random_range(1..=MOST_AT_ONCE.max(per_second / 50));
            let drafts: Vec<Draft> = (0..count).map(|_| mix.draw()).collect();
            if chance.random_bool(self.transactions) {
                // The broker may be away; what was not written was not written.
                let commit = chance.random_bool(0.5);
                if self.transaction(&drafts, commit).is_err() {
                    self.transactional = None;
                }
            } else {
                drafts.iter().for_each(|draft| self.send(&self.plain, draft).unwrap());
            }
            due = (due + Duration::from_secs(count.into()) / per_second).max(Instant::now() - LATE);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        self.plain.flush(PATIENCE).unwrap();
        if self.transactions == 0.0 {
            return;
        }
        // That ends what an error has left open.
        self.transactional = Some(client(&self.topic, Some(&self.transactional_id)));
        self.transactional.as_ref().unwrap().init_transactions(PATIENCE).unwrap();
    }

    fn transaction(&mut self, drafts: &[Draft], commit: bool) -> Result<(), KafkaError> {
        if self.transactional.is_none() {
            let client = client(&self.topic, Some(&self.transactional_id));
            client.init_transactions(TIMEOUT)?;
            self.transactional = Some(client);
        }
        let client = self.transactional.as_ref().unwrap();
        // An order's events stay in the order in which they were drawn.
        self.plain.flush(TIMEOUT)?;
        client.begin_transaction()?;
        drafts.iter().try_for_each(|draft| self.send(client, draft))?;
        // Else an abort would forget what is still here.
        client.flush(TIMEOUT)?;
        if commit { client.commit_transaction(TIMEOUT) } else { client.abort_transaction(TIMEOUT) }
    }

    fn send(&self, client: &Client, draft: &Draft) -> Result<(), KafkaError> {
        let headers = match &draft.event_id {
            Some(id) => {
                let (trace, event_type) = (TraceContext::start(), draft.event_type);
                let time = "2026-01-30T15:00:00Z";
                EventHeaders { id, event_type, source: "/load", time, trace }.to_kafka()
            }
            None => OwnedHeaders::new().insert(Header { key: "peer", value: Some("yes") }),
        };
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.topic.name()).headers(headers);
        (record.key, record.payload) = (draft.key.as_deref(), draft.value.as_deref());
        loop {
            record = match client.send(record) {
                // The brokers have been away for a while.
                Err((KafkaError::MessageProduction(Code::QueueFull), record)) => record,
                sent => return sent.map_err(|(error, _)| error),
            };
            thread::sleep(FULL);
        }
    }
}

fn client(topic: &Topic, transactional_id: Option<&str>) -> Client {
    let mut config = topic.client();
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "5");
    config.set("reconnect.backoff.max.ms", "500");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id).set("transaction.timeout.ms", "10000");
    }
    config.create().unwrap()
}

/// Runs a writer on a thread of its own.
pub(super) fn spawn(
    writer: Writer,
    mix: Mix,
    per_second: u32,
    chance: ChaCha8Rng,
    stop: Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || writer.run(mix, per_second, chance, &stop))
}
