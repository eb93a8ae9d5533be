//! Three brokers: what one of them may suffer while the others go on.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use local_stack::{Brokers, Server, Stack, StackConfig, StackError};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::{PATIENCE, config};

const TOPIC: &str = "orders";

/// How often the brokers are asked.
const STEP: Duration = Duration::from_millis(20);

type Admin = AdminClient<DefaultClientContext>;

/// What a broker says of the one partition.
#[derive(Debug)]
struct Partition {
    leader: i32,
    in_sync: usize,
}

/// A client that knows only this broker. It gives an answer up after a second.
fn admin_of(broker: &Server) -> Admin {
    let servers = format!("127.0.0.1:{}", broker.port());
    ClientConfig::new().set("bootstrap.servers", servers).create().unwrap()
}

fn partition(admin: &Admin) -> Option<Partition> {
    let metadata = admin.inner().fetch_metadata(Some(TOPIC), Duration::from_secs(1)).ok()?;
    let partition = metadata.topics().first()?.partitions().first()?;
    Some(Partition { leader: partition.leader(), in_sync: partition.isr().len() })
}

/// Waits until the broker says so of the partition.
fn await_partition(broker: &Server, what: &str, holds: impl Fn(&Partition) -> bool) -> Partition {
    let (admin, deadline) = (admin_of(broker), Instant::now() + PATIENCE);
    loop {
        match partition(&admin) {
            Some(partition) if holds(&partition) => return partition,
            seen => assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}, but {seen:?}"),
        }
        std::thread::sleep(STEP);
    }
}

/// The broker with this node id, and one of the others.
fn with_another(stack: &Stack, id: i32) -> (&Server, &Server) {
    let index = usize::try_from(id).unwrap() - 1;
    (&stack.brokers()[index], &stack.brokers()[(index + 1) % 3])
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn create_topic(stack: &Stack) {
    let admin = admin_of(stack.broker());
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(3));
    let created = block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    assert_eq!(created, [Ok(TOPIC.to_owned())]);
}

fn two_in_sync_are_enough(broker: &Server) -> bool {
    // Another broker may not know of the topic yet.
    let options = AdminOptions::new().broker_id(1);
    let config = block_on(admin_of(broker).describe_configs(&[ResourceSpecifier::Topic(TOPIC)], &options));
    let config = config.unwrap().remove(0).unwrap();
    config.get("min.insync.replicas").unwrap().value.as_deref() == Some("2")
}

/// Writes a record, which all replicas in sync have then. The client is new, and knows what the broker tells it.
fn write(through: &Server) {
    let servers = format!("127.0.0.1:{}", through.port());
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("acks", "all").create().unwrap();
    let record = FutureRecord::<(), _>::to(TOPIC).payload("an order");
    block_on(producer.send(record, PATIENCE)).unwrap();
}

#[test]
fn one_of_three_brokers_may_die_freeze_or_be_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let three =
        || StackConfig { brokers: Brokers::Three, gates: true, groups: groups(), ..config(folder.path()) };
    let stack = Stack::start(three()).unwrap();
    brokers_can_be_told_apart(&stack);
    create_topic(&stack);
    let in_sync = |partition: &Partition| partition.in_sync == 3;
    let mut leader = await_partition(stack.broker(), "three replicas are in sync", in_sync).leader;
    assert!(two_in_sync_are_enough(stack.broker()));
    write(stack.broker());

    kill_the_leader(&stack, leader);
    leader = await_partition(stack.broker(), "the killed broker is in sync again", in_sync).leader;
    freeze_the_leader(&stack, leader);
    leader = await_partition(stack.broker(), "the frozen broker is in sync again", in_sync).leader;
    move_the_leader(&stack, leader);
    write(stack.broker());
    leader = move_the_replicas(&stack);
    cut_the_leader_off(&stack, leader);
    write(stack.broker());

    let error = Stack::start(config(folder.path())).unwrap_err();
    assert!(matches!(error, StackError::OtherBrokers { found: 3, asked: 1, .. }), "{error}");
    drop(stack);
    let again = Stack::start(three()).unwrap();
    await_partition(again.broker(), "the topic is there after a restart", in_sync);
    brokers_can_be_told_apart(&again);
}

/// Only root may give groups away.
fn groups() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(7001)
}

/// By their groups and by their ports for peers.
fn brokers_can_be_told_apart(stack: &Stack) {
    let mut ports = HashSet::new();
    for (group, broker) in (7001..).zip(stack.brokers()) {
        ports.extend([broker.port()].into_iter().chain(broker.peer_ports().unwrap()));
        let status = fs::read_to_string(format!("/proc/{}/status", broker.pid().unwrap())).unwrap();
        let is_in_it = status.contains(&format!("Gid:\t{group}\t{group}\t"));
        assert!(is_in_it || groups().is_none(), "{status}");
    }
    assert_eq!(ports.len(), 9, "{ports:?}");
}

fn kill_the_leader(stack: &Stack, leader: i32) {
    let (killed, other) = with_another(stack, leader);
    killed.kill().unwrap();
    write(other);
    await_partition(other, "another broker leads", |partition| partition.leader != leader);
    killed.start().unwrap();
    killed.wait_ready(PATIENCE).unwrap();
}

fn freeze_the_leader(stack: &Stack, leader: i32) {
    let (frozen, other) = with_another(stack, leader);
    frozen.pause().unwrap();
    await_partition(other, "another broker leads", |partition| partition.leader != leader);
    write(other);
    frozen.resume().unwrap();
    frozen.wait_ready(PATIENCE).unwrap();
}

fn move_the_leader(stack: &Stack, leader: i32) {
    let to = leader % 3 + 1;
    stack.move_leader(TOPIC, 0, to).unwrap();
    let (_, other) = with_another(stack, to);
    await_partition(other, "the chosen broker leads", |partition| partition.leader == to);
    for (topic, to, reason) in [(TOPIC, 4, "no such broker: 4"), ("no-such-topic", 1, "no such partition")] {
        let error = stack.move_leader(topic, 0, to).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// Gives who leads at the end.
fn move_the_replicas(stack: &Stack) -> i32 {
    stack.place(TOPIC, 0, &[2, 3]).unwrap();
    let without = await_partition(stack.broker(), "two are left", |partition| partition.in_sync == 2);
    assert_ne!(without.leader, 1);
    write(stack.broker());
    let error = stack.place(TOPIC, 0, &[2, 4]).unwrap_err().to_string();
    assert!(error.contains("the replicas of") && error.contains("no such broker: 4"), "{error}");
    stack.place(TOPIC, 0, &[1, 2, 3]).unwrap();
    await_partition(stack.broker(), "three replicas are in sync", |partition| partition.in_sync == 3).leader
}

/// Clients only: for the other brokers it is there.
fn cut_the_leader_off(stack: &Stack, leader: i32) {
    let (cut_off, other) = with_another(stack, leader);
    let gate = cut_off.gate().unwrap();
    gate.close();
    let client = admin_of(cut_off);
    let answer = client.inner().fetch_metadata(Some(TOPIC), Duration::from_secs(4));
    assert!(answer.is_err(), "it was answered");
    let seen = await_partition(other, "a broker answers", |_| true);
    assert_eq!((seen.leader, seen.in_sync), (leader, 3), "beyond the session of 3 s");
    gate.open();
    client.inner().fetch_metadata(Some(TOPIC), PATIENCE).unwrap();
}
