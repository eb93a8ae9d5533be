//! The settings of the service.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, Parser, ValueEnum};
use order_events::config::{KafkaArgs, RegistryConfig, TopicArgs, topic_name};
use rust_decimal::Decimal;
use service_runtime::settings::{duration, positive_duration};
use service_runtime::{ApiToken, Command, ServiceArgs};
use uuid::Uuid;

use crate::changelog;
use crate::dead_letters::Limit;
use crate::event::fold::Rules;

/// The least for `MAX_BUFFERED_BYTES`.
const LEAST_BUFFER: usize = 1 << 20;

/// Consumes order events from Kafka and serves the orders over HTTP.
///
/// Every setting is an environment variable and a flag; the flag wins.
#[derive(Parser)]
#[command(version)]
pub struct Settings {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// See [`ServiceArgs`].
    #[command(flatten)]
    pub service: ServiceArgs<8001>,

    /// Settings of the orders themselves.
    #[command(flatten)]
    pub orders: OrderSettings,

    /// See [`PipelineSettings`].
    #[command(flatten)]
    pub pipeline: PipelineSettings,

    /// See [`DeadLetterSettings`].
    #[command(flatten)]
    pub dead_letters: DeadLetterSettings,

    /// See [`KafkaArgs`].
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// See [`TopicArgs`].
    #[command(flatten)]
    pub topics: TopicArgs,

    /// The topic of the dead letters.
    #[arg(long, env = "DLQ_TOPIC", default_value = "order-events-dlq", value_parser = topic_name, help_heading = "Topics")]
    pub dlq_topic: String,

    /// The consumer group; one per view of the orders.
    #[arg(long, env = "CONSUMER_GROUP_ID", default_value = "order-service", value_parser = topic_name, help_heading = "Kafka")]
    pub consumer_group_id: String,

    /// See [`RegistryConfig`].
    #[command(flatten)]
    pub registry: RegistryConfig,
}

/// How events are folded and orders are shown.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Orders")]
pub struct OrderSettings {
    /// Put before an order id of digits only, with a dash; empty turns it off.
    #[arg(long, env = "ORDER_ID_PREFIX", default_value = "ORD", value_parser = order_events::order_id::prefix)]
    pub order_id_prefix: String,

    /// Shipping as a part of the total.
    #[arg(long, env = "SHIPPING_RATE", default_value = "0.02", value_parser = rate)]
    pub shipping_rate: Decimal,

    /// What happens to a change of status that orders do not usually make: applied and counted, or refused.
    #[arg(long, env = "STATUS_TRANSITIONS", value_enum, default_value_t = Transitions::Warn)]
    pub status_transitions: Transitions,

    /// How long an UPDATE waits for its order's CREATE; 0 refuses it at once.
    #[arg(long, env = "UPDATE_GRACE", default_value = "2s", value_parser = duration)]
    pub update_grace: Duration,

    /// Not ready while a partition has more records than this that are not processed.
    #[arg(long, env = "READY_MAX_LAG", default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(0..))]
    pub ready_max_lag: i64,
}

/// How events are processed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Processing")]
pub struct PipelineSettings {
    /// exactly_once: states, dead letters and offsets in one transaction. at_least_once is for brokers without
    /// transactions: after a crash, dead letters may come twice and a paused instance may write old states.
    #[arg(long, env = "PROCESSING_GUARANTEE", value_enum, default_value_t = Guarantee::ExactlyOnce)]
    pub processing_guarantee: Guarantee,

    /// The most events of a partition in one transaction.
    #[arg(long, env = "BATCH_MAX_EVENTS", default_value_t = 20_000, value_parser = batch_size)]
    pub batch_max_events: usize,

    /// How many bytes of events may wait in memory, fetched and not processed yet; each partition has an equal share. A
    /// quarter of that is processed in one transaction.
    #[arg(long, env = "MAX_BUFFERED_BYTES", default_value_t = 67_108_864, value_parser = buffer_size)]
    pub max_buffered_bytes: usize,

    /// An event whose processing fails is tried again after each of these times, separated by commas; its
    /// partition waits. Then it is a dead letter.
    #[arg(
        long,
        env = "PROCESSING_RETRIES",
        value_delimiter = ',',
        default_value = "2s,5s,10s",
        value_parser = positive_duration
    )]
    pub processing_retries: Vec<Duration>,

    /// Too many dead letters stop their partition for a while: PERCENT%/COUNT/WINDOW, or off. At least so many in the
    /// window, and more than that share of its events. What clients cause over HTTP does not count.
    #[arg(long, env = "DLQ_LIMIT", default_value = "50%/1000/1m", value_name = "LIMIT")]
    pub dlq_limit: Limit,

    /// For trying out: the processing of orders fails whose customer id ends so.
    #[arg(long, env = "FAILURE_INJECTION_CUSTOMER_SUFFIX", value_name = "SUFFIX", value_parser = NonEmptyStringValueParser::new())]
    pub failure_injection_customer_suffix: Option<String>,

    /// Begins with an empty view where the changelog has nothing of a partition, although the group has processed events of
    /// it. Else such a partition is not processed.
    #[arg(long, env = "ACCEPT_LOST_CHANGELOG", default_value_t = false, action = ArgAction::Set)]
    pub accept_lost_changelog: bool,

    /// A name that this instance keeps across restarts, another one for each instance. With it, a restarted
    /// instance takes its partitions back at once; a stopped one is waited for until its session is over.
    #[arg(long, env = "INSTANCE_ID", value_parser = topic_name)]
    pub instance_id: Option<String>,
}

/// What may happen to an event when something fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Guarantee {
    /// It counts once.
    #[value(name = "exactly_once")]
    ExactlyOnce,
    /// It counts, perhaps twice.
    #[value(name = "at_least_once")]
    AtLeastOnce,
}

/// How dead letters are looked at and sent again.
#[derive(Clone, Args)]
#[command(next_help_heading = "Dead letters")]
pub struct DeadLetterSettings {
    /// How many dead letters are kept in memory, the newest ones; and how many notes of older ones that were sent again.
    #[arg(long, env = "DLQ_INDEX_MAX", default_value_t = 100_000)]
    pub dlq_index_max: usize,

    /// How often an event may be sent again.
    #[arg(long, env = "REDRIVE_MAX_ATTEMPTS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub redrive_max_attempts: u32,

    /// A secret that sending dead letters again must bring as `Authorization: Bearer TOKEN`. Else it is `API_TOKEN`.
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<ApiToken>,
}

impl PipelineSettings {
    /// The id under which transactions are made, if there are any. Without a name of its own, an instance has
    /// a new one at each start. Neither a group nor a name has a slash: no two of them make the same id.
    pub fn transactional_id(&self, group: &str) -> Option<String> {
        match (self.processing_guarantee, &self.instance_id) {
            (Guarantee::AtLeastOnce, _) => None,
            (Guarantee::ExactlyOnce, Some(instance)) => Some(format!("{group}/instance/{instance}")),
            (Guarantee::ExactlyOnce, None) => Some(format!("{group}/instance/{}", Uuid::new_v4())),
        }
    }
}

/// The name of the instance that makes transactions under this id.
pub fn instance_of(transactional_id: &str) -> Option<&str> {
    transactional_id.rsplit_once("/instance/").map(|(_, name)| name)
}

fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (1..=100_000).contains(&size) => Ok(size),
        _ => Err("a number from 1 to 100000 is expected".to_owned()),
    }
}

fn buffer_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size >= LEAST_BUFFER => Ok(size),
        _ => Err(format!("a number of bytes from {LEAST_BUFFER} is expected")),
    }
}

/// What happens to an unusual change of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transitions {
    /// It is applied, counted and logged.
    Warn,
    /// It is refused.
    Strict,
}

impl OrderSettings {
    /// What of the settings matters to the fold.
    pub fn rules(&self) -> Rules {
        Rules {
            strict_transitions: self.status_transitions == Transitions::Strict,
            update_grace: self.update_grace,
        }
    }
}

fn rate(text: &str) -> Result<Decimal, String> {
    match text.trim().parse::<Decimal>() {
        Ok(rate) if (Decimal::ZERO..=Decimal::ONE).contains(&rate) => Ok(rate),
        _ => Err("a number from 0 to 1 is expected, for example 0.02".to_owned()),
    }
}

impl Settings {
    /// The topics that the service works on.
    pub fn topic_names(&self) -> TopicNames {
        TopicNames {
            events: self.topics.order_topic.clone(),
            changelog: changelog::topic_name(&self.consumer_group_id),
            dead_letters: self.dlq_topic.clone(),
        }
    }
}

/// The names of the topics.
#[derive(Debug, Clone)]
pub struct TopicNames {
    /// What is consumed: `ORDER_TOPIC`.
    pub events: String,
    /// What the state is kept in.
    pub changelog: String,
    /// Where events go that cannot be processed: `DLQ_TOPIC`.
    pub dead_letters: String,
}
