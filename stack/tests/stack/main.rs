//! The library against real servers: what a test may do to them, and what they survive.
#![expect(clippy::unwrap_used, reason = "a failure anywhere in here is the test's failure")]

mod three_brokers;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use local_stack::{Brokers, Condition, Lifetime, Stack, StackConfig, StackError};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

/// For a machine with two cores on which other tests start stacks too.
const PATIENCE: Duration = Duration::from_secs(120);

/// In this folder, for a test's few minutes.
fn config(folder: &Path) -> StackConfig {
    StackConfig { short_lived: true, ..StackConfig::new(folder) }
}

fn admin(stack: &Stack) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", stack.bootstrap_servers()).create().unwrap()
}

fn create_topic(stack: &Stack, name: &str) {
    let topic = NewTopic::new(name, 3, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let client = admin(stack);
    let created = client.create_topics([&topic], &options);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(created).unwrap(), [Ok(name.to_owned())]);
}

fn partitions(stack: &Stack, topic: &str) -> usize {
    let metadata = admin(stack).inner().fetch_metadata(Some(topic), PATIENCE).unwrap();
    metadata.topics().first().map_or(0, |topic| topic.partitions().len())
}

fn register_schema(stack: &Stack, subject: &str) {
    let url = format!("{}/subjects/{subject}/versions", stack.registry_url());
    let answer = ureq::post(&url)
        .header("Content-Type", "application/vnd.schemaregistry.v1+json")
        .send(r#"{"schema": "{\"type\": \"string\"}"}"#)
        .unwrap();
    assert_eq!(answer.status(), 200);
}

fn subjects(stack: &Stack) -> String {
    ureq::get(format!("{}/subjects", stack.registry_url()))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap()
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_both_servers() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(config(folder.path())).unwrap();
    let (servers, url) = (stack.bootstrap_servers(), stack.registry_url());
    create_topic(&stack, "orders");
    register_schema(&stack, "orders-value");
    // The registry first, right after its answer.
    for server in [stack.registry(), stack.broker()] {
        let first = server.pid().unwrap();
        server.kill().unwrap();
        assert_eq!(server.pid(), None);
        assert!(!is_running(first));
        server.start().unwrap();
        server.wait_ready(PATIENCE).unwrap();
        assert_ne!(server.pid().unwrap(), first);
    }
    assert_eq!((stack.bootstrap_servers(), stack.registry_url()), (servers, url), "the ports moved");
    assert_eq!(partitions(&stack, "orders"), 3);
    assert_eq!(subjects(&stack), r#"["orders-value"]"#);
}

#[test]
fn data_is_kept_between_two_stacks_in_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(config(folder.path())).unwrap();
    create_topic(&stack, "orders");
    let pids = [stack.broker().pid().unwrap(), stack.registry().pid().unwrap()];
    drop(stack);
    assert!(!pids.into_iter().any(is_running), "a dropped stack left a server behind");

    let again = Stack::start(config(folder.path())).unwrap();
    assert!(!again.found_running());
    assert_eq!(partitions(&again, "orders"), 3);
}

#[test]
fn a_half_started_stack_is_mended_and_only_its_missing_half_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let detached = || StackConfig { lifetime: Lifetime::Detached, ..config(folder.path()) };
    let first = Stack::start(detached()).unwrap();
    let registry = first.registry().pid().unwrap();
    first.broker().kill().unwrap();
    drop(first);
    assert!(is_running(registry), "a detached server outlives its handle");

    let status = local_stack::status(folder.path()).unwrap().unwrap();
    assert!(matches!(status.brokers[0].condition, Condition::Stopped), "{status:?}");
    assert!(matches!(status.registry.condition, Condition::Ready), "{status:?}");

    let second = Stack::start(detached()).unwrap();
    assert!(!second.found_running());
    assert_eq!(second.registry().pid(), Some(registry));
    create_topic(&second, "orders");

    let third = Stack::start(detached()).unwrap();
    assert!(third.found_running());
    assert_eq!(third.broker().pid(), second.broker().pid());

    let elsewhere = StackConfig { kafka_port: Some(1), ..detached() };
    let error = Stack::start(elsewhere).unwrap_err();
    assert!(matches!(error, StackError::OtherPort { asked: 1, .. }), "{error}");

    let error = local_stack::clean(folder.path()).unwrap_err();
    assert!(matches!(error, StackError::Running { .. }), "{error}");
    assert!(local_stack::stop(folder.path()).unwrap());
    assert!(!local_stack::stop(folder.path()).unwrap(), "nothing was left to stop");
    assert!(local_stack::clean(folder.path()).unwrap());
    assert!(!local_stack::clean(folder.path()).unwrap(), "nothing was left to delete");
}

#[test]
fn a_paused_broker_answers_nobody_until_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(config(folder.path())).unwrap();
    stack.broker().pause().unwrap();
    let error = stack.broker().wait_ready(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, StackError::NotReady { .. }), "{error}");
    stack.broker().resume().unwrap();
    stack.broker().wait_ready(PATIENCE).unwrap();

    // A paused server still stops, and a stopped one cannot be paused.
    stack.broker().pause().unwrap();
    stack.broker().stop().unwrap();
    let error = stack.broker().pause().unwrap_err();
    assert!(matches!(error, StackError::NotRunning { .. }), "{error}");
}

#[test]
fn two_stacks_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _stack = Stack::start(config(folder.path())).unwrap();
    let of_three = StackConfig { brokers: Brokers::Three, ..config(folder.path()) };
    let error = Stack::start(of_three).unwrap_err();
    assert!(matches!(error, StackError::OtherBrokers { found: 1, asked: 3, .. }), "{error}");
    let error = Stack::start(config(folder.path())).unwrap_err();
    assert!(matches!(error, StackError::Owned { owner, .. } if owner == std::process::id()), "{error}");
    let error = local_stack::stop(folder.path()).unwrap_err();
    assert!(matches!(error, StackError::Owned { .. }), "{error}");
}

#[test]
fn a_broker_that_dies_at_its_start_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = BTreeMap::from([("num.io.threads".to_owned(), "many".to_owned())]);
    // The storage tool reads the same settings, so it is the first to refuse them.
    let error = Stack::start(StackConfig { broker_settings: settings, ..config(folder.path()) }).unwrap_err();
    assert!(matches!(error, StackError::Died { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("num.io.threads") && message.contains(".log"), "{message}");
}

#[test]
fn data_that_a_newer_kafka_has_formatted_is_refused_before_the_broker_starts() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("broker/data");
    fs::create_dir_all(&data).unwrap();
    let formatted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formatted-by-4.3.1");
    for file in ["bootstrap.checkpoint", "meta.properties"] {
        fs::copy(formatted.join(file), data.join(file)).unwrap();
    }
    let error = Stack::start(config(folder.path())).unwrap_err();
    let message = error.to_string();
    for part in ["cannot read the data in", "4.3.1", "downgrade", "clean-data", "--data-dir"] {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(!folder.path().join("logs/broker.log").exists(), "the broker was started");
    assert!(local_stack::clean(folder.path()).unwrap(), "the way on that the message names");
    Stack::start(config(folder.path())).unwrap();
}

#[test]
fn a_taken_port_is_refused_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let config = StackConfig { registry_port: Some(port), ..config(folder.path()) };
    let error = Stack::start(config).unwrap_err();
    assert!(matches!(error, StackError::PortTaken { port: taken, .. } if taken == port), "{error}");
    assert!(local_stack::status(folder.path()).unwrap().is_none());
}
