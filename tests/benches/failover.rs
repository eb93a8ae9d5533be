//! How long an order waits when one of three brokers fails: `make test-failover`.
//!
//! Every 100 ms an order is created for each partition, through cart-service, and read at two instances of order-service.
//! Then something happens to a broker. Two times are taken for each partition, and the longest counts: how long no write
//! was confirmed, and how long no order became visible at both instances. A write that is refused is sent again with the
//! same key, so at the end every order must be there. The brokers' clocks are those of Kafka's defaults.
//!
//! A leader that is killed must cost no more than the brokers' session (9 s) and 5 s until writes are confirmed again, and
//! another 10 s until they are visible.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use end_to_end_tests::murmur2::partition;
use end_to_end_tests::{Answer, How, Log, Service, World};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

const PARTITIONS: u32 = 3;
/// An order for each partition.
const TICK: Duration = Duration::from_millis(100);
/// After a refusal.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing happens at first.
const CALM: Duration = Duration::from_secs(3);
/// How long a broker is away: longer than it takes the others to do without it.
const AWAY: Duration = Duration::from_secs(25);
/// How long one hangs: longer than the transaction coordinator waits for its answer to a marker (`request.timeout.ms`, 30 s).
const HANGS: Duration = Duration::from_secs(45);

/// Kafka's defaults, in place of those of our stack.
const BROKER_SETTINGS: [(&str, &str); 2] =
    [("broker.session.timeout.ms", "9000"), ("broker.heartbeat.interval.ms", "2000")];
const SESSION: Duration = Duration::from_secs(9);

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// To the leader of a topic's first partition.
    Leader(How, Log),
    /// To two brokers of three.
    Two(How),
    /// Each broker is stopped in order and started, the next once all replicas are in sync.
    RollingRestart,
}

const FAULTS: [(Fault, &str); 9] = [
    (Fault::Leader(How::Kill, Log::Events), "leader of the events killed"),
    (Fault::Leader(How::Kill, Log::Changelog), "leader of the changelog killed"),
    (Fault::Leader(How::Kill, Log::TransactionState), "leader of `__transaction_state` killed"),
    (Fault::Leader(How::Kill, Log::ConsumerOffsets), "leader of `__consumer_offsets` killed"),
    (Fault::Leader(How::Stop, Log::Events), "leader of the events stopped in order"),
    (Fault::Leader(How::Freeze, Log::Events), "leader of the events frozen"),
    (Fault::Leader(How::CutOff, Log::Events), "leader of the events cut off from clients"),
    (Fault::RollingRestart, "rolling restart"),
    (Fault::Two(How::Kill), "two of three killed"),
];

/// When an order was confirmed and when it was visible.
struct Order {
    partition: i32,
    confirmed: Instant,
    visible: Instant,
}

/// How a fault was felt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Felt {
    /// No write was confirmed for so long.
    refused: Duration,
    /// No order became visible for so long.
    stale: Duration,
}

#[tokio::main]
async fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let rounds = given.iter().find_map(|argument| argument.parse().ok()).unwrap_or(3).max(1);
    let words: Vec<&String> = given.iter().filter(|argument| argument.parse::<usize>().is_err()).collect();
    let world = World::of_three_brokers(&BROKER_SETTINGS).await;
    let world = world.with("TOPIC_PARTITIONS", &PARTITIONS.to_string()).with("RUST_LOG", "info");
    println!("failover: logs are in {}", world.folder().display());
    let clients = Clients::start(&world).await;
    // The brokers have to get warm, too.
    clients.felt(&world, async {}).await;
    println!("| what happens | no write confirmed for | nothing new visible for | answers 503 |");
    println!("|---|---|---|---|");
    let (mut too_long, mut measured) = (Vec::new(), 0);
    for (fault, name) in FAULTS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(*word)) {
            continue;
        }
        measured += 1;
        let (mut all, before) = (Vec::new(), clients.refusals.load(Ordering::Relaxed));
        for _ in 0..rounds {
            world.replicas_in_sync().await;
            all.push(clients.felt(&world, happen(&world, fault)).await);
        }
        let refusals = clients.refusals.load(Ordering::Relaxed) - before;
        println!(
            "| {name} | {} | {} | {refusals} |",
            told(&all, |felt| felt.refused),
            told(&all, |felt| felt.stale)
        );
        let worst = |time: fn(&Felt) -> Duration| all.iter().map(time).max().unwrap_or_default();
        let is_kill = matches!(fault, Fault::Leader(How::Kill, _));
        let confirmed = SESSION + Duration::from_secs(5);
        let visible = confirmed + Duration::from_secs(10);
        if is_kill && (worst(|felt| felt.refused) > confirmed || worst(|felt| felt.stale) > visible) {
            too_long.push(name);
        }
    }
    assert!(measured > 0, "no fault is called so: {words:?}");
    assert!(too_long.is_empty(), "felt for too long: {too_long:?}");
}

/// The median, with the shortest and the longest.
fn told(all: &[Felt], time: fn(&Felt) -> Duration) -> String {
    let mut times: Vec<Duration> = all.iter().map(time).collect();
    times.sort();
    let [first, .., last] = times.as_slice() else { return format!("{:.1?}", times) };
    format!("{:.1?} ({first:.1?} to {last:.1?})", times[times.len() / 2])
}

async fn happen(world: &World, fault: Fault) {
    match fault {
        Fault::Leader(how, log) => {
            let leader = world.leader_of(log).expect("it has a leader");
            take_away(world, &[leader], how).await;
        }
        Fault::Two(how) => take_away(world, &[0, 1], how).await,
        Fault::RollingRestart => world.restart_brokers_in_turn().await,
    }
}

async fn take_away(world: &World, indices: &[usize], how: How) {
    world.break_brokers(indices, how);
    sleep(if how == How::Freeze { HANGS } else { AWAY }).await;
    world.mend_brokers(indices, how);
}

/// Who writes and reads.
struct Clients {
    cart: Arc<Service>,
    orders: [Arc<Service>; 2],
    numbers: AtomicUsize,
    refusals: Arc<AtomicUsize>,
}

impl Clients {
    async fn start(world: &World) -> Arc<Self> {
        let cart = Arc::new(world.cart().await);
        let instance = async |name| Arc::new(world.fork().with("INSTANCE_ID", name).orders().await);
        let orders = [instance("first").await, instance("second").await];
        Arc::new(Self { cart, orders, numbers: AtomicUsize::new(0), refusals: Arc::default() })
    }

    /// Lets something happen beside the writes, and waits until everything is confirmed and visible.
    async fn felt(self: &Arc<Self>, world: &World, fault: impl Future<Output = ()>) -> Felt {
        let stop = Arc::new(AtomicBool::new(false));
        // A task of its own: the fault blocks the one that it is in.
        let writes = tokio::spawn(Arc::clone(self).write(Arc::clone(&stop)));
        sleep(CALM).await;
        let began = Instant::now();
        fault.await;
        world.replicas_in_sync().await;
        sleep(CALM).await;
        stop.store(true, Ordering::SeqCst);
        let orders = writes.await.unwrap();
        let longest = |time: fn(&Order) -> Instant| longest_gap(&orders, began, time);
        Felt { refused: longest(|order| order.confirmed), stale: longest(|order| order.visible) }
    }

    async fn write(self: Arc<Self>, stop: Arc<AtomicBool>) -> Vec<Order> {
        let (mut tasks, mut ticks) = (JoinSet::new(), interval(TICK));
        while !stop.load(Ordering::SeqCst) {
            ticks.tick().await;
            for partition in 0..PARTITIONS {
                let id = self.next_id(partition);
                let (cart, orders, refusals) =
                    (self.cart.clone(), self.orders.clone(), self.refusals.clone());
                tasks.spawn(async move { follow(id, partition, &cart, &orders, &refusals).await });
            }
        }
        tasks.join_all().await
    }

    /// An order that belongs into this partition.
    fn next_id(&self, wanted: u32) -> String {
        loop {
            let id = format!("ORDER-{}", self.numbers.fetch_add(1, Ordering::Relaxed));
            if partition(id.as_bytes(), PARTITIONS).cast_unsigned() == wanted {
                return id;
            }
        }
    }
}

/// Writes an order, whatever it takes, and waits until it can be read at every instance.
async fn follow(
    id: String,
    partition: u32,
    cart: &Service,
    orders: &[Arc<Service>],
    refusals: &AtomicUsize,
) -> Order {
    let create = || {
        let body = json!({ "orderId": id, "itemsCount": 1 });
        cart.request(Method::POST, "/create-order").header("idempotency-key", &id).json(&body)
    };
    loop {
        let answer = Answer::to(create()).await;
        match answer.status.as_u16() {
            201 => break,
            503 => {}
            _ => panic!("{}", answer.text),
        }
        refusals.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
    let confirmed = Instant::now();
    let path = format!("/order-details?orderId={id}");
    for instance in orders {
        while instance.get(&path).await.status != 200 {
            sleep(PAUSE).await;
        }
    }
    Order { partition: partition.cast_signed(), confirmed, visible: Instant::now() }
}

/// For how long nothing happened in a partition at the most; since the beginning of the fault, that is.
fn longest_gap(orders: &[Order], began: Instant, time: fn(&Order) -> Instant) -> Duration {
    let mut of_partitions: BTreeMap<i32, Vec<Instant>> = BTreeMap::new();
    for order in orders {
        of_partitions.entry(order.partition).or_default().push(time(order).max(began));
    }
    let longest = |mut times: Vec<Instant>| {
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    };
    of_partitions.into_values().map(longest).max().unwrap_or_default()
}
