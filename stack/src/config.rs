//! What a stack may be told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::brokers::Brokers;
use crate::launch::Lifetime;
use crate::wait::Cancel;

/// How to start a stack.
#[derive(Clone, Debug)]
pub struct StackConfig {
    /// The folder of this stack's data, logs and state. What is in it is used again.
    pub data_dir: PathBuf,
    /// Where the programs are kept, for all stacks. Default: `.data/stack` of this repository, outside `target`
    /// so that `cargo clean` keeps it.
    pub cache_dir: PathBuf,
    /// How many brokers. A folder's data are for the number with which it was first used. Default: one.
    pub brokers: Brokers,
    /// Whether there is a [`Gate`](crate::Gate) in front of each broker. Default: no.
    pub gates: bool,
    /// The group id of the first broker's process, so that a packet filter can tell the brokers apart; the others have the
    /// next ids. It takes root to give another group than one's own. Default: all have the group of this process.
    pub groups: Option<u32>,
    /// The port of the first broker on 127.0.0.1, the others have the next ones; none takes any free ones.
    pub kafka_port: Option<u16>,
    /// The registry's port on 127.0.0.1; none takes any free one.
    pub registry_port: Option<u16>,
    /// Whether the brokers live for minutes, as those of tests do. Java then does what costs least until they are warm, and
    /// pauses them for longer. Default: no.
    pub short_lived: bool,
    /// Whether the servers stop with this process, at the latest. Default: [`Lifetime::Bound`].
    pub lifetime: Lifetime,
    /// How long all servers may take until they are ready. Default: two minutes, since a busy machine with two
    /// cores may start several stacks at once.
    pub start_deadline: Duration,
    /// Kafka's version. Default: that of `pom.xml`; another one is fetched beside it.
    pub kafka_version: Option<String>,
    /// Broker settings on top of, or in place of, our own (names as in `server.properties`).
    pub broker_settings: BTreeMap<String, String>,
    /// Ends the start early.
    pub cancel: Cancel,
    /// Told what takes long. Default: nobody.
    pub progress: fn(&str),
}

impl StackConfig {
    /// A stack in that folder, on free ports, that stops with this process.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_dir: repository().join(".data/stack"),
            brokers: Brokers::One,
            gates: false,
            groups: None,
            kafka_port: None,
            registry_port: None,
            short_lived: false,
            lifetime: Lifetime::Bound,
            start_deadline: Duration::from_secs(120),
            kafka_version: None,
            broker_settings: BTreeMap::new(),
            cancel: Cancel::default(),
            progress: |_| {},
        }
    }
}

/// Where the command line keeps the one stack of a checkout, unless told otherwise.
pub(crate) fn default_data_dir() -> PathBuf {
    repository().join(".data/local")
}

/// The checkout that this was built from.
fn repository() -> &'static Path {
    let stack = Path::new(env!("CARGO_MANIFEST_DIR"));
    stack.parent().unwrap_or(stack)
}
