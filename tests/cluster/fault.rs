//! What may happen to brokers and instances.

use std::ops::RangeInclusive;
use std::time::Duration;

use end_to_end_tests::{How, Log};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;

use crate::network::{self, Cut};

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
    /// One partition of the changelog has fewer replicas in sync than it needs; the others have enough.
    BelowMinIsr { hold: Duration },
    /// The end of a transaction, as order-service asks for it, reaches the brokers so much later.
    DelayedEndTxn { hold: Duration },
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

/// How long something is away. Behind the brokers' session time-out others lead.
const SHORT: RangeInclusive<u64> = 100..=3_000;
const BEYOND_SESSION: RangeInclusive<u64> = 100..=14_000;
/// Longer than deliveries (10 s) and transactions (15 s) may take.
const BEYOND_TRANSACTION: RangeInclusive<u64> = 16_000..=40_000;

impl Fault {
    /// The next one. Long ones are as rare as a trial of some minutes can take.
    pub(crate) fn draw(chance: &mut ChaCha8Rng, with_long_ones: bool) -> Self {
        let (leads, how) = (*LOGS.choose(chance).unwrap(), *HOWS.choose(chance).unwrap());
        let (end, hold) = (*ENDS.choose(chance).unwrap(), hold(chance, with_long_ones));
        if network::groups().is_some() && chance.random_bool(0.6) {
            return Self::Network { leads, cut: Cut::draw(chance), hold };
        }
        match chance.random_range(0..23) {
            0..=10 => Self::Broker { leads, how, hold, instance: chance.random_bool(0.3).then_some(end) },
            11 => Self::TwoBrokers { how, hold },
            12 => Self::RollingRestart,
            13..=15 => Self::MoveLeaders { log: leads, times: chance.random_range(1..4) },
            16..=18 => Self::Instance(end),
            19 => Self::TwoInstances(end),
            20 => Self::BelowMinIsr { hold },
            _ => Self::DelayedEndTxn { hold },
        }
    }
}

fn hold(chance: &mut ChaCha8Rng, with_long_ones: bool) -> Duration {
    let range = match chance.random_range(0..100) {
        0..6 if with_long_ones => BEYOND_TRANSACTION,
        0..30 => BEYOND_SESSION,
        _ => SHORT,
    };
    Duration::from_millis(chance.random_range(range))
}
