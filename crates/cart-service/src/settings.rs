//! The settings of the service.

use std::time::Duration;

use clap::{Args, Parser};
use order_events::config::{KafkaArgs, RegistryConfig, TopicArgs, base_url};
use service_runtime::prefer::MAX_WAIT;
use service_runtime::settings::{duration, positive_duration};
use service_runtime::{Command, ServiceArgs};

/// How long after the end of a client's wait the answer of order-service may still come.
pub(crate) const WAIT_ALLOWANCE: Duration = Duration::from_millis(500);

/// Takes orders over HTTP and publishes them as Kafka events.
///
/// Every setting is an environment variable and a flag; the flag wins.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Settings {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// See [`ServiceArgs`].
    #[command(flatten)]
    pub service: ServiceArgs<8000>,

    /// Settings of the orders themselves.
    #[command(flatten)]
    pub orders: OrderSettings,

    /// See [`OutcomeSettings`].
    #[command(flatten)]
    pub outcomes: OutcomeSettings,

    /// See [`KafkaArgs`].
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// See [`TopicArgs`].
    #[command(flatten)]
    pub topics: TopicArgs,

    /// See [`RegistryConfig`].
    #[command(flatten)]
    pub registry: RegistryConfig,
}

/// Which orders are taken, and how long publishing one may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Orders")]
pub struct OrderSettings {
    /// The most items that an order may have.
    #[arg(long, env = "MAX_ITEMS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_items: u32,

    /// Put before an order id of digits only, with a dash; empty turns it off.
    #[arg(long, env = "ORDER_ID_PREFIX", default_value = "ORD", value_parser = order_events::order_id::prefix)]
    pub order_id_prefix: String,

    /// When an event that the broker has not confirmed is answered with 503.
    #[arg(long, env = "DELIVERY_TIMEOUT", default_value = "10s", value_parser = delivery_timeout)]
    pub delivery_timeout: Duration,
}

/// How clients learn what became of their events.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outcomes")]
pub struct OutcomeSettings {
    /// Where order-service is; asked when a request waits for what becomes of its event.
    #[arg(long, env = "ORDER_SERVICE_URL", default_value = "http://localhost:8001", value_parser = base_url)]
    pub order_service_url: String,

    /// Where clients reach order-service, for the Location of new orders; by default as this service does.
    #[arg(long, env = "PUBLIC_ORDER_SERVICE_URL", value_name = "URL", value_parser = base_url)]
    pub public_order_service_url: Option<String>,

    /// How long a request waits for what becomes of its event if it has no `Prefer: wait=N`; 0 is not at all.
    #[arg(long, env = "DEFAULT_WAIT", default_value = "0s", value_parser = wait)]
    pub default_wait: Duration,
}

fn wait(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short_enough if short_enough <= Duration::from_secs(MAX_WAIT) => Ok(short_enough),
        _ => Err(format!("0s to {MAX_WAIT}s is allowed")),
    }
}

/// librdkafka looks at its time-outs once a second; below two seconds there would be nothing to look at.
fn delivery_timeout(text: &str) -> Result<Duration, String> {
    match positive_duration(text)? {
        long_enough if (2..=300).contains(&long_enough.as_secs()) => Ok(long_enough),
        _ => Err("2s to 300s is allowed".to_owned()),
    }
}
