//! The brokers and the instances, and what happens to them.

use std::time::Duration;

use end_to_end_tests::checker::{Class, Findings};
use end_to_end_tests::{Relay, Service, Sightings, Topic, Trial, Watch};
use local_stack::Server;
use rand::RngExt;
use rustix::process::Signal;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::fault::{End, Fault, How, Log};

const INSTANCES: usize = 3;

/// For a broker that starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than the session of an instance, which is 6 s.
const BEYOND_SESSION: Duration = Duration::from_secs(8);

/// An instance, and what reads it.
struct Member {
    name: String,
    service: Service,
    watch: Watch,
}

/// Three brokers and three instances under a load.
pub(crate) struct Cluster {
    pub(crate) trial: Trial,
    members: Vec<Member>,
    relay: Relay,
    sightings: Vec<Sightings>,
    /// Instances that ended by themselves, and faults that did nothing.
    ended: Findings,
}

impl Cluster {
    /// Starts the instances. The load must run.
    pub(crate) async fn begin(mut trial: Trial) -> Self {
        let relay = trial.relay();
        let (sightings, ended) = (Vec::new(), Findings::default());
        let mut cluster = Self { trial, members: Vec::new(), relay, sightings, ended };
        for number in 0..INSTANCES {
            cluster.join(format!("instance-{number}")).await;
        }
        for member in &cluster.members {
            member.service.goes_on().await;
        }
        cluster
    }

    /// Lets a fault happen and end.
    pub(crate) async fn suffer(&mut self, fault: &Fault) {
        match fault {
            Fault::Broker { leads, how, hold, instance } => {
                let broker = self.leader_of(*leads);
                self.break_brokers(&[broker], *how);
                if let Some(end) = instance {
                    self.end_instances(1, *end).await;
                }
                sleep(*hold).await;
                self.mend_brokers(&[broker], *how);
            }
            Fault::TwoBrokers { how, hold } => {
                let first = self.trial.chance.random_range(0..3);
                let brokers = [first, (first + 1) % 3];
                self.break_brokers(&brokers, *how);
                sleep(*hold).await;
                self.mend_brokers(&brokers, *how);
            }
            Fault::RollingRestart => {
                for broker in 0..3 {
                    self.break_brokers(&[broker], How::Stop);
                    self.mend_brokers(&[broker], How::Stop);
                }
            }
            Fault::MoveLeaders { log, times } => {
                for _ in 0..*times {
                    self.move_leader(*log);
                }
            }
            Fault::Instance(end) => self.end_instances(1, *end).await,
            Fault::TwoInstances(end) => self.end_instances(2, *end).await,
            Fault::Network { leads, cut, hold } => {
                let broker = self.leader_of(*leads);
                self.ended
                    .extend(crate::network::suffer(self.trial.world.stack(), broker, *cut, *hold).await);
            }
        }
    }

    /// Waits until all instances are ready; gives them, with what was seen of them, and what was found meanwhile.
    pub(crate) async fn end(mut self) -> (Trial, Vec<Service>, Vec<Sightings>, Findings) {
        self.note_ended().await;
        let mut services = Vec::new();
        for member in self.members {
            self.sightings.push(member.watch.end().await);
            services.push(member.service.ready().await);
        }
        self.sightings.push(self.relay.end().await);
        (self.trial, services, self.sightings, self.ended)
    }

    /// An instance that has ended by itself is noted, and comes back.
    pub(crate) async fn note_ended(&mut self) {
        for index in (0..self.members.len()).rev() {
            if self.members[index].service.is_running() {
                continue;
            }
            let member = self.members.swap_remove(index);
            let log = member.service.log();
            let last = log
                .lines()
                .rfind(|line| line.contains("ERROR") || line.contains("error"))
                .unwrap_or_default();
            let what = format!("{}: {last}", member.service.log_path().display());
            self.ended.add(Class::ProcessEnded, what);
            self.relay.leave(&member.service);
            self.sightings.push(member.watch.end().await);
            self.join(member.name).await;
        }
    }

    async fn join(&mut self, name: String) {
        let service = self.trial.named(&name).await;
        let watch = self.trial.watch(&service);
        self.relay.join(&service);
        self.members.push(Member { name, service, watch });
    }

    /// Ends some instances at the same time; they are back at the end.
    async fn end_instances(&mut self, count: usize, end: End) {
        self.note_ended().await;
        match end {
            End::Freeze => self.freeze_instances(count).await,
            End::Kill => self.replace_instances(count, false).await,
            End::Stop => self.replace_instances(count, true).await,
        }
    }

    async fn freeze_instances(&mut self, count: usize) {
        let frozen = &self.members[..count];
        frozen.iter().for_each(|member| member.service.signal(Signal::STOP));
        sleep(BEYOND_SESSION).await;
        frozen.iter().for_each(|member| member.service.signal(Signal::CONT));
        // Next time it is another one's turn.
        self.members.rotate_left(count);
    }

    async fn replace_instances(&mut self, count: usize, with_sigterm: bool) {
        let leaving: Vec<Member> = self.members.drain(..count).collect();
        let mut names = Vec::new();
        for member in leaving {
            self.relay.leave(&member.service);
            match with_sigterm {
                true => member.service.stop().await,
                false => member.service.kill().await,
            }
            self.sightings.push(member.watch.end().await);
            names.push(member.name);
        }
        for name in names {
            self.join(name).await;
        }
    }

    fn brokers(&self) -> &[Server] {
        self.trial.world.stack().brokers()
    }

    fn break_brokers(&self, indices: &[usize], how: How) {
        for broker in indices.iter().map(|index| &self.brokers()[*index]) {
            match how {
                How::Kill => block_in_place(|| broker.kill()).unwrap(),
                How::Stop => block_in_place(|| broker.stop()).unwrap(),
                How::Freeze => broker.pause().unwrap(),
                How::CutOff => broker.gate().expect("there are gates").close(),
            }
        }
    }

    fn mend_brokers(&self, indices: &[usize], how: How) {
        let brokers = || indices.iter().map(|index| &self.brokers()[*index]);
        for broker in brokers() {
            match how {
                How::Kill | How::Stop => block_in_place(|| broker.start()).unwrap(),
                How::Freeze => broker.resume().unwrap(),
                How::CutOff => broker.gate().expect("there are gates").open(),
            }
        }
        for broker in brokers() {
            block_in_place(|| broker.wait_ready(PATIENCE)).unwrap();
        }
    }

    fn topic(&self, log: Log) -> Topic {
        let world = &self.trial.world;
        match log {
            Log::Events => world.events(),
            Log::Changelog => world.changelog(),
            Log::DeadLetters => world.dead_letters(),
            Log::TransactionState => world.events().beside("__transaction_state"),
            Log::ConsumerOffsets => world.events().beside("__consumer_offsets"),
        }
    }

    /// The index of the broker that leads the first partition; any if none does.
    fn leader_of(&mut self, log: Log) -> usize {
        let leader = block_in_place(|| self.topic(log).leader(0));
        let leader = leader.and_then(|node| usize::try_from(node - 1).ok());
        leader.unwrap_or_else(|| self.trial.chance.random_range(0..3))
    }

    /// To the next broker. One that is not in sync yet cannot lead, and then nothing moves.
    fn move_leader(&mut self, log: Log) {
        let (topic, stack) = (self.topic(log), self.trial.world.stack());
        let Some(leader) = block_in_place(|| topic.leader(0)) else { return };
        let moved = block_in_place(|| stack.move_leader(topic.name(), 0, leader % 3 + 1));
        if let Err(error) = moved {
            println!("cluster: {error}");
        }
    }
}
