//! A network between the brokers that loses packets: `make test-network`.
//!
//! The program moves into a network namespace of its own, so that nothing outside can be touched, and drops packets there
//! with nftables. The process of each broker has a group of its own ([`StackConfig::groups`]): the first packet of a
//! connection tells by it which broker begins the connection, and conntrack keeps that as the connection's mark. What a
//! broker sends to another one is what it sends to the ports that the other has for its peers, on connections that bear its
//! mark; and what it sends from its own such ports, on connections that bear the other's. Clients' connections have no mark.
//! Packets are lost and never delayed (that takes netem, which not every kernel has): TCP sends them again after 0.2 s,
//! 0.4 s and so on, and that delays them.
//!
//! [`StackConfig::groups`]: local_stack::StackConfig::groups

use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use std::{env, fs};

use end_to_end_tests::checker::{Class, Findings};
use end_to_end_tests::{World, until};
use local_stack::Server;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use tokio::task::block_in_place;
use tokio::time::sleep;

/// Asks for faults of the network.
const ASKED: &str = "CLUSTER_NETWORK";
/// Has the network namespace from which this program came into its own.
const OUTSIDE: &str = "CLUSTER_NETWORK_OUTSIDE";
const NAMESPACE: &str = "/proc/self/ns/net";
/// Without it conntrack forgets the connection of a packet that does not fit to what arrived before.
const LIBERAL: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";

/// The group of the first broker.
const FIRST_GROUP: u32 = 7001;
/// Marks what the brokers begin with 1, 2 and 3. A cut adds its rules to the chain `cut`.
const TABLE: &str = "table inet cluster {
    counter lost {}
    chain output {
        type filter hook output priority filter
        meta skgid 7001-7003 ct direction original ct mark set meta skgid map { 7001 : 1, 7002 : 2, 7003 : 3 }
        jump cut
    }
    chain cut {}
}
";

/// Brokers speak several times a second. A cut that has lost nothing so long after it should have ended does nothing.
const SPEAKING: Duration = Duration::from_secs(10);

/// What is lost between brokers, around one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Everything between it and the other two.
    Isolated,
    /// Everything between it and the next broker. The third one reaches both.
    FromNext,
    /// What it sends. What the others send arrives.
    Mute,
    /// What the others send to it. What it sends arrives.
    Deaf,
    /// So many of 100 packets between any two brokers.
    Lossy(u32),
}

impl Cut {
    /// The next one.
    pub(crate) fn draw(chance: &mut ChaCha8Rng) -> Self {
        let percent = chance.random_range(5..=40);
        [Self::Isolated, Self::FromNext, Self::Mute, Self::Deaf, Self::Lossy(percent)]
            [chance.random_range(0..5)]
    }

    /// Whether packets are lost from one broker to another, both by index, if it is around the broker `around`.
    fn loses(self, around: usize, from: usize, to: usize) -> bool {
        let next = (around + 1) % 3;
        match self {
            Self::Isolated => from == around || to == around,
            Self::FromNext => [(around, next), (next, around)].contains(&(from, to)),
            Self::Mute => from == around,
            Self::Deaf => to == around,
            Self::Lossy(_) => true,
        }
    }

    /// The rules of the chain.
    fn rules(self, around: usize, brokers: &[Server]) -> String {
        let links = (0..3).flat_map(|from| (0..3).map(move |to| (from, to)));
        let lost = links.filter(|(from, to)| from != to && self.loses(around, *from, *to));
        let (ports, chance) = (|index: usize| peer_ports(&brokers[index]), self.chance());
        let rules = lost.flat_map(|(from, to)| {
            let requests = format!("ct mark {} ct direction original tcp dport {}", from + 1, ports(to));
            let answers = format!("ct mark {} ct direction reply tcp sport {}", to + 1, ports(from));
            [requests, answers].map(|packets| {
                format!("add rule inet cluster cut {packets} {chance} counter name lost drop\n")
            })
        });
        rules.collect()
    }

    /// Which of the packets are lost, if not all.
    fn chance(self) -> String {
        match self {
            Self::Lossy(percent) => format!("numgen random mod 100 < {percent}"),
            _ => String::new(),
        }
    }
}

/// As a set of nftables.
fn peer_ports(broker: &Server) -> String {
    let [brokers, controller] = broker.peer_ports().expect("there are gates");
    format!("{{ {brokers}, {controller} }}")
}

/// The groups that brokers need for faults of the network, if these are asked for.
pub(crate) fn groups() -> Option<u32> {
    env::var_os(ASKED).map(|_| FIRST_GROUP)
}

/// Moves this program into a network namespace of its own if faults of the network are asked for: it begins anew there, and
/// this returns once it has. All that needs the network is fetched before.
///
/// # Errors
/// What is missing, as a sentence.
pub(crate) async fn enter() -> Result<(), String> {
    if groups().is_none() {
        return Ok(());
    }
    let here = fs::read_link(NAMESPACE).map_err(|_| "faults of the network need Linux")?;
    if env::var_os(OUTSIDE).is_some_and(|outside| Path::new(&outside) != here) {
        return set_up();
    }
    if !rustix::process::geteuid().is_root() {
        return Err("faults of the network need root, to have a network of their own".to_owned());
    }
    for (program, argument) in [("nft", "--version"), ("ip", "-Version"), ("unshare", "--version")] {
        run(program, &[argument], "")?;
    }
    World::prepare().await;
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut anew = Command::new("unshare");
    anew.args(["--net", "--"]).arg(program).args(env::args_os().skip(1)).env(OUTSIDE, here);
    Err(format!("unshare does not run: {}", anew.exec()))
}

/// A new namespace has a loopback device that is down.
fn set_up() -> Result<(), String> {
    run("ip", &["link", "set", "lo", "up"], "")?;
    run("nft", &["-f", "-"], TABLE)?;
    fs::write(LIBERAL, "1").map_err(|error| format!("cannot write {LIBERAL}: {error}"))
}

/// Cuts, around the broker with this index, waits and mends, until all brokers are ready again. Finds a cut that has lost
/// nothing.
pub(crate) async fn suffer(world: &World, around: usize, cut: Cut, hold: Duration) -> Findings {
    let (brokers, before) = (world.stack().brokers(), lost());
    set_rules(&cut.rules(around, brokers));
    sleep(hold).await;
    let has_lost = until(SPEAKING, async || (lost() > before).then_some(())).await;
    set_rules("");
    world.brokers_ready(&[0, 1, 2]);
    let mut findings = Findings::default();
    if has_lost.is_none() {
        let what =
            format!("{cut:?} around {} has lost no packet in {:?}", brokers[around].name(), hold + SPEAKING);
        findings.add(Class::Wrong, what);
    }
    findings
}

/// In place of those that were there.
fn set_rules(rules: &str) {
    let script = format!("flush chain inet cluster cut\n{rules}");
    block_in_place(|| run("nft", &["-f", "-"], &script)).unwrap();
}

/// How many packets all cuts have lost so far.
fn lost() -> u64 {
    let counter = block_in_place(|| run("nft", &["list", "counter", "inet", "cluster", "lost"], "")).unwrap();
    let mut words = counter.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no counter: {counter}"))
}

/// Gives what a program says if it is told this.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let said = |Output { status, stdout, stderr }| match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => {
            Err(format!("{program} {arguments:?} failed: {}\n{input}", String::from_utf8_lossy(&stderr)))
        }
    };
    said_by(program, arguments, input)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                format!("{program} is missing: `stack/setup.sh --with-network` installs it")
            }
            _ => format!("{program} does not run: {error}"),
        })
        .and_then(said)
}

fn said_by(program: &str, arguments: &[&str], input: &str) -> std::io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Dropped, and so ended, before its end is waited for.
    child.stdin.take().expect("it is piped").write_all(input.as_bytes())?;
    child.wait_with_output()
}
