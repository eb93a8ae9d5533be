//! Where a test happens.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use local_stack::{Brokers, Stack, StackConfig};
use order_events::OrderEvent;
use order_events::codec::AvroRecord;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::binaries;
use crate::kafka::Topic;
use crate::lease::Lease;
use crate::run_folder::run_folder;
use crate::service::Service;
use crate::times;

/// Broker settings with which ACLs count. Everything is allowed that no ACL is about.
pub const ACLS: [(&str, &str); 2] = [
    ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("allow.everyone.if.no.acl.found", "true"),
];

/// Topics, a consumer group and a folder of a test's own, on a stack.
pub struct World {
    stack: Arc<Lease>,
    folder: PathBuf,
    name: String,
    topic: String,
    settings: Vec<(String, String)>,
    /// Where the programs are; `None`: those of the working tree.
    programs: Option<PathBuf>,
}

impl World {
    /// On the stack that all tests of the process share. Disturb nothing but what is yours, and deny nothing else.
    pub async fn shared() -> Self {
        times::start();
        static SHARED: OnceLock<Arc<Lease>> = OnceLock::new();
        let shared =
            || SHARED.get_or_init(|| Arc::new(Lease::of_a_special_one(start_stack("shared", &ACLS))));
        let stack = tokio::task::spawn_blocking(move || shared().clone());
        Self::on(stack.await.unwrap())
    }

    /// On a stack that is its own for as long as it lives, to be disturbed. Others may have had it before.
    pub async fn own() -> Self {
        times::start();
        Self::on(tokio::task::spawn_blocking(|| Arc::new(Lease::of_one_in_order())).await.unwrap())
    }

    /// On a new stack, whose broker has these settings.
    pub async fn own_with(broker_settings: &'static [(&'static str, &'static str)]) -> Self {
        times::start();
        let stack = tokio::task::spawn_blocking(|| start_stack(&Uuid::new_v4().to_string(), broker_settings));
        Self::on(Arc::new(Lease::of_a_special_one(stack.await.unwrap())))
    }

    /// Builds and fetches all programs: a world that is made later needs no network.
    pub async fn prepare() {
        binaries::path("order-service");
        let prepared = tokio::task::spawn_blocking(|| Stack::prepare(&stack_config("unused", &[]))).await;
        prepared.unwrap().unwrap_or_else(|error| panic!("no stack: {error}"));
    }

    /// On a new stack of three brokers, with a gate in front of each.
    pub async fn of_three_brokers(broker_settings: &'static [(&'static str, &'static str)]) -> Self {
        Self::of_three_in_groups(None, broker_settings).await
    }

    /// The same, whose processes have these groups: see [`StackConfig::groups`].
    pub async fn of_three_in_groups(
        groups: Option<u32>,
        broker_settings: &'static [(&'static str, &'static str)],
    ) -> Self {
        let mut config = stack_config(&Uuid::new_v4().to_string(), broker_settings);
        (config.brokers, config.gates, config.groups) = (Brokers::Three, true, groups);
        let stack = tokio::task::spawn_blocking(|| start(config)).await.unwrap();
        Self::on(Arc::new(Lease::of_a_special_one(stack))).with("TOPIC_REPLICATION_FACTOR", "3")
    }

    fn on(stack: Arc<Lease>) -> Self {
        let name = Uuid::new_v4().simple().to_string();
        let folder = run_folder().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            stack,
            folder,
            topic: format!("order-events-{name}"),
            name,
            settings: Vec::new(),
            programs: None,
        }
    }

    /// Another world on the same stack, with the same settings and programs.
    #[must_use]
    pub fn anew(&self) -> Self {
        let (settings, programs) = (self.settings.clone(), self.programs.clone());
        Self { settings, programs, ..Self::on(self.stack.clone()) }
    }

    /// Takes the programs of a folder from now on; `None`: those of the working tree.
    #[must_use]
    pub fn with_programs(mut self, folder: Option<&Path>) -> Self {
        self.programs = folder.map(Path::to_owned);
        self
    }

    /// Sets a variable for every service that is started from now on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if name == "ORDER_TOPIC" {
            value.clone_into(&mut self.topic);
        }
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The broker and the registry.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Registers our schema of events with these words about it, as a peer would, and so under another id, which it gives.
    pub async fn register_in_other_words(&self, words: &str) -> u32 {
        let mut schema: Value = serde_json::from_str(OrderEvent::SCHEMA).unwrap();
        schema["doc"] = json!(words);
        let url = format!("{}/subjects/{}-value/versions", self.stack.registry_url(), self.topic);
        let body = json!({ "schema": schema.to_string() });
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        u32::try_from(answer.json::<Value>().await.unwrap()["id"].as_u64().unwrap()).unwrap()
    }

    /// The folder of the services' logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of the events topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The events topic.
    pub fn events(&self) -> Topic {
        Topic::new(self.stack.bootstrap_servers(), &self.topic)
    }

    /// The dead letter topic.
    pub fn dead_letters(&self) -> Topic {
        self.topic_named(&format!("{}-dlq", self.topic))
    }

    /// The changelog.
    pub fn changelog(&self) -> Topic {
        self.topic_named(&format!("{}-orders-changelog", self.group()))
    }

    /// The consumer group of the order-services.
    pub fn group(&self) -> String {
        format!("order-service-{}", self.name)
    }

    fn topic_named(&self, name: &str) -> Topic {
        Topic::new(self.stack.bootstrap_servers(), name)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.programs.as_ref().map_or_else(|| binaries::path(name), |folder| folder.join(name))
    }

    /// A cart-service, ready.
    pub async fn cart(&self) -> Service {
        self.cart_starting().await.ready().await
    }

    /// An order-service, ready.
    pub async fn orders(&self) -> Service {
        self.orders_starting().await.ready().await
    }

    /// An order-service that listens, ready or not.
    pub async fn orders_starting(&self) -> Service {
        Service::start(&self.program("order-service"), &self.environment(), &self.folder).await
    }

    /// A cart-service that listens, ready or not.
    pub async fn cart_starting(&self) -> Service {
        Service::start(&self.program("cart-service"), &self.environment(), &self.folder).await
    }

    /// Runs a program that is expected to end by itself; gives its exit code and all it said.
    pub async fn run_to_end(&self, program: &str) -> (Option<i32>, String) {
        self.run_with(program, &[]).await
    }

    /// As [`run_to_end`](Self::run_to_end), with arguments.
    pub async fn run_with(&self, program: &str, arguments: &[&str]) -> (Option<i32>, String) {
        Service::run_to_end(&self.program(program), arguments, &self.environment(), &self.folder).await
    }

    /// The same world once more, to set something for one service only.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            stack: self.stack.clone(),
            folder: self.folder.clone(),
            name: self.name.clone(),
            topic: self.topic.clone(),
            settings: self.settings.clone(),
            programs: self.programs.clone(),
        }
    }

    /// The settings of a service in this world; later ones win.
    pub fn environment(&self) -> Vec<(String, String)> {
        let own = [
            ("KAFKA_BOOTSTRAP_SERVERS", self.stack.bootstrap_servers()),
            ("SCHEMA_REGISTRY_URL", self.stack.registry_url()),
            ("ORDER_TOPIC", self.topic.clone()),
            ("DLQ_TOPIC", format!("{}-dlq", self.topic)),
            ("CONSUMER_GROUP_ID", self.group()),
            ("PORT", "0".to_owned()),
            ("BIND", "127.0.0.1".to_owned()),
            ("RUST_LOG", "debug,hyper=info,reqwest=info".to_owned()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.settings.clone()).collect()
    }
}

pub(crate) fn start_stack(name: &str, broker_settings: &[(&str, &str)]) -> Stack {
    start(stack_config(name, broker_settings))
}

fn stack_config(name: &str, broker_settings: &[(&str, &str)]) -> StackConfig {
    let mut config = StackConfig::new(run_folder().join(format!("stack-{name}")));
    config.kafka_version = std::env::var("TEST_KAFKA_VERSION").ok();
    // A benchmark is compiled with optimisation, and measures a broker that is, too.
    config.short_lived = cfg!(debug_assertions);
    let settings = broker_settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config.broker_settings = settings.collect();
    config
}

fn start(config: StackConfig) -> Stack {
    Stack::start(config).unwrap_or_else(|error| panic!("no stack: {error}"))
}
