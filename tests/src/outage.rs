//! What happens to brokers, and to which one.

use local_stack::Server;
use tokio::task::block_in_place;

use crate::kafka::Topic;
use crate::wait::{LONG_PATIENCE, within};
use crate::world::World;

/// A topic that the services live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// The order events.
    Events,
    /// What order-service knows.
    Changelog,
    /// What it could not process.
    DeadLetters,
    /// Kafka's own: the transactions.
    TransactionState,
    /// Kafka's own: the groups.
    ConsumerOffsets,
}

/// What happens to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// SIGKILL, and later a start.
    Kill,
    /// SIGTERM, which moves its leaders away first.
    Stop,
    /// SIGSTOP, and later SIGCONT: it takes itself for a leader then.
    Freeze,
    /// Nothing passes between it and clients; the brokers reach each other.
    CutOff,
}

impl How {
    /// Takes the broker away.
    fn begin(self, broker: &Server) {
        match self {
            Self::Kill => block_in_place(|| broker.kill()).unwrap(),
            Self::Stop => block_in_place(|| broker.stop()).unwrap(),
            Self::Freeze => broker.pause().unwrap(),
            Self::CutOff => broker.gate().expect("there are gates").close(),
        }
    }

    /// Gives it back, without waiting until it is ready.
    fn end(self, broker: &Server) {
        match self {
            Self::Kill | Self::Stop => block_in_place(|| broker.start()).unwrap(),
            Self::Freeze => broker.resume().unwrap(),
            Self::CutOff => broker.gate().expect("there are gates").open(),
        }
    }
}

impl World {
    /// A topic of this world's.
    pub fn log(&self, log: Log) -> Topic {
        match log {
            Log::Events => self.events(),
            Log::Changelog => self.changelog(),
            Log::DeadLetters => self.dead_letters(),
            Log::TransactionState => self.events().beside("__transaction_state"),
            Log::ConsumerOffsets => self.events().beside("__consumer_offsets"),
        }
    }

    /// The index of the broker that leads the first partition. `None` if none does.
    pub fn leader_of(&self, log: Log) -> Option<usize> {
        let leader = block_in_place(|| self.log(log).leader(0))?;
        usize::try_from(leader - 1).ok()
    }

    /// Takes brokers away, by their indices.
    pub fn break_brokers(&self, indices: &[usize], how: How) {
        indices.iter().for_each(|index| how.begin(&self.stack().brokers()[*index]));
    }

    /// Gives them back, and waits until they are ready.
    pub fn mend_brokers(&self, indices: &[usize], how: How) {
        indices.iter().for_each(|index| how.end(&self.stack().brokers()[*index]));
        self.brokers_ready(indices);
    }

    /// Restarts all brokers, the next once all replicas are in sync.
    pub async fn restart_brokers_in_turn(&self) {
        for index in 0..self.stack().brokers().len() {
            self.break_brokers(&[index], How::Stop);
            self.mend_brokers(&[index], How::Stop);
            self.replicas_in_sync().await;
        }
    }

    /// Waits until these brokers are ready.
    pub fn brokers_ready(&self, indices: &[usize]) {
        for index in indices {
            block_in_place(|| self.stack().brokers()[*index].wait_ready(LONG_PATIENCE)).unwrap();
        }
    }

    /// Waits until every replica of every partition is in sync, as an operator does before the next broker is restarted.
    pub async fn replicas_in_sync(&self) {
        let topic = self.events();
        within(LONG_PATIENCE, "all replicas are in sync", async || {
            block_in_place(|| topic.all_in_sync()).then_some(())
        })
        .await;
    }
}
