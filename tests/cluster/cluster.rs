//! The brokers and the instances, and what happens to them.

use std::time::Duration;

use end_to_end_tests::checker::{Class, Findings};
use end_to_end_tests::{Api, How, Log, Proxy, Relay, Service, Sightings, Trial, Watch};
use rand::RngExt;
use rustix::process::Signal;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::fault::{End, Fault};
use crate::network;

const INSTANCES: usize = 3;

/// The `client.id` of what writes the changelog.
const WRITER: &str = "order-service";

/// Until a transaction ends, under load and without another fault.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Through which services reach the brokers.
    proxy: Proxy,
    members: Vec<Member>,
    relay: Relay,
    sightings: Vec<Sightings>,
    /// Instances that ended by themselves, and faults that did nothing.
    found: Findings,
}

impl Cluster {
    /// Starts the instances. The load must run.
    pub(crate) async fn begin(mut trial: Trial, proxy: Proxy) -> Self {
        let relay = trial.relay();
        let (sightings, found) = (Vec::new(), Findings::default());
        let mut cluster = Self { trial, proxy, members: Vec::new(), relay, sightings, found };
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
                self.trial.world.break_brokers(&[broker], *how);
                if let Some(end) = instance {
                    self.end_instances(1, *end).await;
                }
                sleep(*hold).await;
                self.trial.world.mend_brokers(&[broker], *how);
            }
            Fault::TwoBrokers { how, hold } => {
                let first = self.trial.chance.random_range(0..3);
                let brokers = [first, (first + 1) % 3];
                self.trial.world.break_brokers(&brokers, *how);
                sleep(*hold).await;
                self.trial.world.mend_brokers(&brokers, *how);
            }
            Fault::RollingRestart => self.trial.world.restart_brokers_in_turn().await,
            Fault::MoveLeaders { log, times } => {
                for _ in 0..*times {
                    self.move_leader(*log);
                }
            }
            Fault::BelowMinIsr { hold } => self.below_min_isr(*hold).await,
            Fault::DelayedEndTxn { hold } => self.delay_end_of_transaction(*hold).await,
            Fault::Instance(end) => self.end_instances(1, *end).await,
            Fault::TwoInstances(end) => self.end_instances(2, *end).await,
            Fault::Network { leads, cut, hold } => {
                let broker = self.leader_of(*leads);
                let found = network::suffer(&self.trial.world, broker, *cut, *hold).await;
                self.found.extend(found);
            }
        }
    }

    /// Ends the load; gives the instances, with what was seen of them, and what was found.
    pub(crate) async fn end(mut self) -> (Trial, Vec<Service>, Vec<Sightings>, Findings) {
        self.note_ended().await;
        let mut services = Vec::new();
        for member in self.members {
            self.sightings.push(member.watch.end().await);
            services.push(member.service);
        }
        self.sightings.push(self.relay.end().await);
        self.trial.end_load().await;
        (self.trial, services, self.sightings, self.found)
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
            self.found.add(Class::ProcessEnded, what);
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

    /// The first partition of the changelog needs a broker that is away; the others do without it.
    async fn below_min_isr(&mut self, hold: Duration) {
        let away = self.trial.chance.random_range(0..3);
        let others: Vec<i32> = [1, 2, 3].into_iter().filter(|id| *id != away + 1).collect();
        self.trial.world.replicas_in_sync().await;
        self.place_others_of_changelog(&others);
        let changelog = self.trial.world.changelog();
        changelog.configure("min.insync.replicas", "3").await;
        let away = [away.cast_unsigned() as usize];
        self.trial.world.break_brokers(&away, How::Kill);
        sleep(hold).await;
        self.trial.world.mend_brokers(&away, How::Kill);
        changelog.configure("min.insync.replicas", "2").await;
        self.trial.world.replicas_in_sync().await;
        self.place_others_of_changelog(&[1, 2, 3]);
    }

    /// Puts the partitions of the changelog, but for the first one, on these brokers.
    fn place_others_of_changelog(&self, brokers: &[i32]) {
        let (world, changelog) = (&self.trial.world, self.trial.world.changelog());
        for partition in 1..block_in_place(|| changelog.partition_count()) {
            block_in_place(|| world.stack().place(changelog.name(), partition, brokers)).unwrap();
        }
    }

    async fn delay_end_of_transaction(&mut self, hold: Duration) {
        let mut held = self.proxy.hold(WRITER, Api::EndTxn);
        match timeout(PATIENCE, held.reached()).await {
            Ok(()) => sleep(hold).await,
            Err(_) => self.found.add(Class::Unseen, format!("no transaction ended within {PATIENCE:?}")),
        }
        // Dropped, it passes.
    }

    /// The index of the broker that leads the first partition; any if none does.
    fn leader_of(&mut self, log: Log) -> usize {
        let leader = self.trial.world.leader_of(log);
        leader.unwrap_or_else(|| self.trial.chance.random_range(0..3))
    }

    /// To the next broker. One that is not in sync yet cannot lead, and then nothing moves.
    fn move_leader(&mut self, log: Log) {
        let (topic, stack) = (self.trial.world.log(log), self.trial.world.stack());
        let Some(leader) = block_in_place(|| topic.leader(0)) else { return };
        let moved = block_in_place(|| stack.move_leader(topic.name(), 0, leader % 3 + 1));
        if let Err(error) = moved {
            println!("cluster: {error}");
        }
    }
}
