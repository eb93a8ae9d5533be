//! What may happen to brokers and instances.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

use crate::network::{self, Cut};

/// Whose leader is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Events,
    Changelog,
    DeadLetters,
    TransactionState,
    ConsumerOffsets,
}

/// What happens to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// SIGKILL, and later a start.
    Kill,
    /// SIGTERM, which moves its leaders away first.
    Stop,
    /// SIGSTOP, and later SIGCONT: it takes itself for a leader then.
    Freeze,
    /// Nothing passes between it and clients; the brokers reach each other.
    CutOff,
}

/// What happens to an instance of order-service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// SIGSTOP, longer than its session lasts.
    Freeze,
}

/// One fault. Whatever is taken away comes back at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Of the leader of this log, for this long; and of an instance at the same time.
    Broker { leads: Log, how: How, hold: Duration, instance: Option<End> },
    /// Of two brokers of three: nothing can be written.
    TwoBrokers { how: How, hold: Duration },
    /// All brokers are stopped and started, one after the other.
    RollingRestart,
    /// Leaders move to the next broker, so many times.
    MoveLeaders { log: Log, times: usize },
    /// Of one instance.
    Instance(End),
    /// Of two instances within one session.
    TwoInstances(End),
    /// Of the network between brokers, around the leader of this log, for this long.
    Network { leads: Log, cut: Cut, hold: Duration },
}

const LOGS: [Log; 5] =
    [Log::Events, Log::Changelog, Log::DeadLetters, Log::TransactionState, Log::ConsumerOffsets];
const HOWS: [How; 4] = [How::Kill, How::Stop, How::Freeze, How::CutOff];
const ENDS: [End; 3] = [End::Kill, End::Stop, End::Freeze];

impl Fault {
    /// The next one.
    pub(crate) fn draw(chance: &mut ChaCha8Rng) -> Self {
        let (leads, how) = (*LOGS.choose(chance).unwrap(), *HOWS.choose(chance).unwrap());
        let end = *ENDS.choose(chance).unwrap();
        // What is drawn without a network stays what it was.
        if network::groups().is_some() && chance.random_bool(0.6) {
            return Self::Network { leads, cut: Cut::draw(chance), hold: hold(chance) };
        }
        match chance.random_range(0..20) {
            0..=10 => {
                let instance = chance.random_bool(0.3).then_some(end);
                Self::Broker { leads, how, hold: hold(chance), instance }
            }
            11 => Self::TwoBrokers { how, hold: hold(chance) },
            12 => Self::RollingRestart,
            13..=15 => Self::MoveLeaders { log: leads, times: chance.random_range(1..4) },
            16..=18 => Self::Instance(end),
            _ => Self::TwoInstances(end),
        }
    }
}

/// Often shorter than the brokers' session time-out of 9 s, behind which others lead; sometimes longer.
fn hold(chance: &mut ChaCha8Rng) -> Duration {
    let most = if chance.random_bool(0.3) { 14_000 } else { 3_000 };
    Duration::from_millis(chance.random_range(100..most))
}
