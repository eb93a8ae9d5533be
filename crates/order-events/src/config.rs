//! Settings that both services share: the broker, the registry, the topics.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use rdkafka::ClientConfig;
use thiserror::Error;

/// The Kafka cluster and how to talk to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// Where the brokers are: host:port, several with commas.
    #[arg(
        long,
        env = "KAFKA_BOOTSTRAP_SERVERS",
        default_value = "localhost:9092",
        value_name = "HOST:PORT,...",
        value_parser = servers
    )]
    pub kafka_bootstrap_servers: String,

    /// Any librdkafka property as NAME=VALUE, may be repeated. Also through the environment:
    /// KAFKA_SECURITY_PROTOCOL=SASL_SSL sets security.protocol. The flag wins.
    #[arg(long = "kafka-property", value_name = "NAME=VALUE", hide_env_values = true, value_parser = property)]
    pub kafka_properties: Vec<(String, String)>,
}

fn servers(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains('@') {
        return Err(
            "host:port is expected, several with commas; credentials go into KAFKA_SASL_...".to_owned()
        );
    }
    Ok(text.to_owned())
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is expected, for example security.protocol=SASL_SSL".to_owned()),
    }
}

/// A property of librdkafka that cannot be as it was set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PropertyError {
    /// librdkafka does not know it, or not that value.
    #[error("{source_name}: librdkafka refuses the property {property}: {reason}")]
    Refused {
        /// The variable or flag that set it.
        source_name: String,
        /// The property's name.
        property: String,
        /// librdkafka's words.
        reason: String,
    },
    /// What the service promises depends on another value.
    #[error("{source_name}: this service needs {property}={needed}; remove the setting")]
    Fixed {
        /// The variable or flag that set it.
        source_name: String,
        /// The property's name.
        property: String,
        /// The only value that works.
        needed: String,
    },
    /// The services see to it themselves, or do without.
    #[error("{source_name}: the services set {property} themselves where they need it; remove the setting")]
    Own {
        /// The variable or flag that set it.
        source_name: String,
        /// The property's name.
        property: String,
    },
}

/// Properties that have a setting of their own (`KAFKA_BOOTSTRAP_SERVERS`, and `INSTANCE_ID` of order-service), or that
/// would take away what the services live on: an event's offset comes with its delivery report.
const OWN: [&str; 4] =
    ["bootstrap.servers", "transactional.id", "group.instance.id", "delivery.report.only.error"];

/// The second names of librdkafka's properties, and the ones that are used here (librdkafka, `CONFIGURATION.md`). Set
/// under both, it would be chance which one counts.
const ALIASES: [(&str, &str); 10] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("message.send.max.retries", "retries"),
    ("compression.codec", "compression.type"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("auto.commit.enable", "enable.auto.commit"),
];

/// The property that says how long a client waits for an answer before it takes the broker for hung, and asks another one.
pub const SOCKET_TIMEOUT: &str = "socket.timeout.ms";
/// librdkafka's default is 60 s: for that long, a client of a frozen leader would not learn of the new one. A broker's own
/// session ends after 9 s.
const SOCKET_TIMEOUT_MS: &str = "10000";

fn canonical(name: String) -> String {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, canonical)| (*canonical).to_owned())
}

/// Where the brokers are, and the librdkafka properties that the user set.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    bootstrap_servers: String,
    properties: BTreeMap<String, UserValue>,
}

#[derive(Clone)]
struct UserValue {
    value: String,
    source_name: String,
}

/// Values may be passwords.
impl std::fmt::Debug for UserValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "(set by {})", self.source_name)
    }
}

/// Variables that begin with `KAFKA_` and belong to others: Kafka's own scripts, and Kubernetes.
fn is_of_others(variable: &str, value: &str) -> bool {
    const NAMES: [&str; 10] = [
        "KAFKA_HOME",
        "KAFKA_VERSION",
        "KAFKA_OPTS",
        "KAFKA_HEAP_OPTS",
        "KAFKA_GC_LOG_OPTS",
        "KAFKA_JVM_PERFORMANCE_OPTS",
        "KAFKA_LOG_DIR",
        "KAFKA_DEBUG",
        "KAFKA_PORT",
        "KAFKA_BOOTSTRAP_SERVERS",
    ];
    const PREFIXES: [&str; 2] = ["KAFKA_JMX_", "KAFKA_LOG4J"];
    NAMES.contains(&variable)
        || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
        || is_of_kubernetes(variable, value)
}

/// What Kubernetes sets in every pod for a service called `kafka`, `kafka-ui` and so on
/// ([docker-links variables](https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)).
fn is_of_kubernetes(variable: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || (variable.ends_with("_PORT") && is_address)
        || (variable.contains("_PORT_") && ["_TCP", "_UDP", "_SCTP"].iter().any(|it| variable.contains(it)))
}

impl KafkaConfig {
    /// Collects the properties from the environment and the flags, and lets librdkafka look at each.
    ///
    /// # Errors
    /// The first property that librdkafka refuses, or that is the services' own business.
    pub fn new(
        args: &KafkaArgs,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, PropertyError> {
        let from_environment = environment.filter_map(|(variable, value)| {
            let name = variable.strip_prefix("KAFKA_").filter(|_| !is_of_others(&variable, &value))?;
            let name = canonical(name.to_ascii_lowercase().replace('_', "."));
            Some((name, UserValue { value, source_name: variable }))
        });
        let from_flags = args.kafka_properties.iter().map(|(name, value)| {
            let source_name = format!("--kafka-property {name}");
            (canonical(name.clone()), UserValue { value: value.clone(), source_name })
        });
        let properties: BTreeMap<_, _> = from_environment.chain(from_flags).collect();
        for (name, user) in &properties {
            if OWN.contains(&name.as_str()) {
                return Err(PropertyError::Own {
                    source_name: user.source_name.clone(),
                    property: name.clone(),
                });
            }
            check_property(name, user)?;
        }
        Ok(Self { bootstrap_servers: args.kafka_bootstrap_servers.clone(), properties })
    }

    /// Where the brokers are, for messages.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The configuration of a client on which no promise rests: `defaults`, and over them what the user set.
    pub fn plain_client(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap_servers);
        for (name, value) in [(SOCKET_TIMEOUT, SOCKET_TIMEOUT_MS)].iter().chain(defaults) {
            client.set(*name, *value);
        }
        for (name, user) in &self.properties {
            client.set(name, &user.value);
        }
        client
    }

    /// The configuration of one client: `defaults`, over them what the user set, and `fixed`, which a promise
    /// of the service rests on and the user must not change.
    ///
    /// # Errors
    /// The user set a fixed property to another value.
    pub fn client(
        &self,
        defaults: &[(&str, &str)],
        fixed: &[(&str, &str)],
    ) -> Result<ClientConfig, PropertyError> {
        let mut client = self.plain_client(defaults);
        for (name, needed) in fixed {
            if let Some(user) = self.properties.get(*name).filter(|user| user.value != *needed) {
                return Err(PropertyError::Fixed {
                    source_name: user.source_name.clone(),
                    property: (*name).to_owned(),
                    needed: (*needed).to_owned(),
                });
            }
            client.set(*name, *needed);
        }
        fit_socket_timeout(&mut client);
        Ok(client)
    }
}

/// For a producer with transactions, librdkafka refuses a `socket.timeout.ms` of more than `transaction.timeout.ms` and 100
/// ms. It gets what librdkafka would choose by itself.
fn fit_socket_timeout(client: &mut ClientConfig) {
    let number = |name: &str| client.get(name).and_then(|value| value.parse::<u64>().ok());
    let (socket, transaction) = (number(SOCKET_TIMEOUT), number("transaction.timeout.ms"));
    let (Some(socket), Some(transaction)) = (socket, transaction) else { return };
    if client.get("transactional.id").is_some() {
        let most = transaction.saturating_sub(100).max(900);
        client.set(SOCKET_TIMEOUT, socket.min(most).to_string());
    }
}

fn check_property(name: &str, user: &UserValue) -> Result<(), PropertyError> {
    let mut alone = ClientConfig::new();
    alone.set(name, &user.value);
    match alone.create_native_config() {
        Ok(_) => Ok(()),
        Err(error) => Err(PropertyError::Refused {
            source_name: user.source_name.clone(),
            property: name.to_owned(),
            reason: match error {
                rdkafka::error::KafkaError::ClientConfig(_, reason, _, _) => reason,
                other => other.to_string(),
            },
        }),
    }
}

/// The schema registry.
#[derive(Clone, Args)]
#[command(next_help_heading = "Schema registry")]
pub struct RegistryConfig {
    /// Address of the registry, with the path of Confluent's API if it has one.
    #[arg(
        id = "schema_registry_url",
        long = "schema-registry-url",
        env = "SCHEMA_REGISTRY_URL",
        default_value = "http://localhost:8081",
        value_parser = base_url
    )]
    pub url: String,

    /// Credentials for the registry, user:password.
    #[arg(
        id = "schema_registry_basic_auth",
        long = "schema-registry-basic-auth",
        env = "SCHEMA_REGISTRY_BASIC_AUTH",
        value_name = "USER:PASSWORD",
        hide_env_values = true,
        value_parser = basic_auth
    )]
    pub basic_auth: Option<BasicAuth>,

    /// Register the schemas at boot; false: they must be there already.
    #[arg(
        id = "schema_auto_register",
        long = "schema-auto-register",
        env = "SCHEMA_AUTO_REGISTER",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    pub auto_register: bool,

    /// The longest one request to the registry may take.
    #[arg(skip = Duration::from_secs(5))]
    pub timeout: Duration,
}

/// Shows no secret.
impl std::fmt::Debug for RegistryConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryConfig")
            .field("url", &self.url)
            .field("auto_register", &self.auto_register)
            .finish_non_exhaustive()
    }
}

impl RegistryConfig {
    /// User and password, if any.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.basic_auth.as_ref().map(|BasicAuth { user, password }| (user.as_str(), password.as_str()))
    }
}

/// User and password of HTTP Basic authentication (RFC 7617). Has no `Debug`: it would show the password.
#[derive(Clone)]
pub struct BasicAuth {
    user: String,
    password: String,
}

fn basic_auth(text: &str) -> Result<BasicAuth, String> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => {
            Ok(BasicAuth { user: user.to_owned(), password: password.to_owned() })
        }
        _ => Err("user:password is expected".to_owned()),
    }
}

/// The address of an HTTP service, without a slash at its end.
///
/// # Errors
/// What is expected instead.
pub fn base_url(text: &str) -> Result<String, String> {
    match reqwest::Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            Err("http://host:port or https://host is expected".to_owned())
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("it must not contain credentials; those of the registry go into SCHEMA_REGISTRY_BASIC_AUTH"
                .to_owned())
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            Err("an address without a question mark or # is expected".to_owned())
        }
        Ok(_) => Ok(text.trim_end_matches('/').to_owned()),
        Err(_) => Err("http://host:port or https://host is expected".to_owned()),
    }
}

/// The topic that both services meet at.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Topics")]
pub struct TopicArgs {
    /// The topic of the order events.
    #[arg(long, env = "ORDER_TOPIC", default_value = "order-events", value_parser = topic_name)]
    pub order_topic: String,

    /// The number of partitions of that topic: 3 if it is created at boot and this is not set. If it is set, a topic
    /// with another number is neither written nor processed.
    #[arg(long, env = "TOPIC_PARTITIONS", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub topic_partitions: Option<i32>,

    /// Copies of a topic that is created at boot; the brokers' own default if it is not set.
    #[arg(long, env = "TOPIC_REPLICATION_FACTOR", value_parser = clap::value_parser!(i32).range(1..=100))]
    pub topic_replication_factor: Option<i32>,
}

/// What Kafka takes as a topic's name.
pub fn topic_name(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let sound = (1..=249).contains(&text.len()) && text.bytes().all(legal) && !matches!(text, "." | "..");
    if sound {
        Ok(text.to_owned())
    } else {
        Err("1 to 249 letters, digits, dots, underscores and dashes are allowed".to_owned())
    }
}
