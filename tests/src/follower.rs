//! A topic that is read while it is written, so that compaction takes nothing away from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::{Record, Topic};

/// Everything that was committed, by partition and offset.
type Records = Arc<Mutex<BTreeMap<(i32, i64), Record>>>;

/// Reads until it is dropped, also after brokers were away.
pub(crate) struct Follower {
    records: Records,
    stop: Arc<AtomicBool>,
}

impl Follower {
    /// Begins at the beginning of the topic, which must be there.
    pub(crate) fn begin(topic: &Topic) -> Self {
        let (records, stop) = (Records::default(), Arc::new(AtomicBool::new(false)));
        thread::spawn({
            let (records, stop, topic) = (records.clone(), stop.clone(), topic.clone());
            move || {
                while !stop.load(Ordering::SeqCst) {
                    read(&topic, &records, &stop);
                }
            }
        });
        Self { records, stop }
    }

    /// What it has read, and these records.
    pub(crate) fn with(&self, others: Vec<Record>) -> Vec<Record> {
        let mut all = self.records.lock().unwrap().clone();
        all.extend(others.into_iter().map(|record| ((record.partition, record.offset), record)));
        all.into_values().collect()
    }
}

/// Reads from the beginning, until it is told to stop or a partition cannot be read on: a broker that was not up to date
/// may have said that an offset is not there.
fn read(topic: &Topic, records: &Records, stop: &AtomicBool) {
    let Ok(consumer) = topic.committed_from_the_beginning() else { return };
    while !stop.load(Ordering::SeqCst) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let record = Record::of(&message);
                records.lock().unwrap().insert((record.partition, record.offset), record);
            }
            Some(Err(error)) if error.rdkafka_error_code() == Some(Code::AutoOffsetReset) => return,
            _ => {}
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
