//! A topic that is read while it is written, so that compaction takes nothing away from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

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
        let consumer = topic.committed_from_the_beginning();
        thread::spawn({
            let (records, stop) = (records.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::SeqCst) {
                    // An error passes, or what is missing is found out by whoever compares.
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                        let record = Record::of(&message);
                        records.lock().unwrap().insert((record.partition, record.offset), record);
                    }
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

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
