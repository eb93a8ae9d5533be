//! Instances of both versions, which come and go under one load.

use std::ops::Deref;
use std::path::PathBuf;

use end_to_end_tests::{Answer, Service, Sightings, Trial, Watch, World, eventually};
use rand::RngExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

/// Of whom a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The older commit.
    Old,
    /// The working tree.
    New,
}

/// How an instance ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// As an orchestrator ends it.
    Sigterm,
    /// At once.
    Kill,
}

/// An instance, and what reads it.
pub(crate) struct Member {
    service: Service,
    watch: Watch,
}

impl Deref for Member {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl Member {
    /// How often it told of a record in the changelog that it does not know.
    pub(crate) fn warnings_of_a_strange_record(&self) -> usize {
        self.log().matches("a record of somebody else is in the changelog").count()
    }
}

/// A load that the older cart-service takes part in, and the instances under it.
pub(crate) struct Rollout {
    /// The load, and the checks at its end.
    pub(crate) trial: Trial,
    /// What the instances that have left have shown.
    pub(crate) sightings: Vec<Sightings>,
    old: PathBuf,
    redriven: usize,
}

impl Rollout {
    /// Begins the load.
    pub(crate) async fn begin() -> Self {
        let old = std::env::var("UPGRADE_FROM").expect("UPGRADE_FROM is set by `make test-upgrade`");
        let old = PathBuf::from(old);
        let trial = Trial::begin(World::own().await.with_programs(Some(&old))).await;
        Self { trial, sightings: Vec::new(), old, redriven: 0 }
    }

    fn world(&self, version: Version) -> World {
        let world = self.trial.world.fork();
        world.with_programs((version == Version::Old).then_some(&self.old))
    }

    /// Starts an instance of this name, and waits until it is ready.
    pub(crate) async fn start(&self, version: Version, name: &str) -> Service {
        let world = self.world(version).with("INSTANCE_ID", name);
        let service = world.orders().await;
        println!("upgrade: {version:?} {name} joins: {}", service.log_path().display());
        service
    }

    /// As [`start`](Self::start); it has its share of the partitions then, and is read from now on.
    pub(crate) async fn join(&mut self, version: Version, name: &str) -> Member {
        let service = self.start(version, name).await;
        let watch = self.trial.watch(&service);
        eventually("it has a share", async || (service.active().await > 0).then_some(())).await;
        service.goes_on().await;
        self.moment().await;
        Member { service, watch }
    }

    /// Ends an instance, at any moment.
    pub(crate) async fn leave(&mut self, member: Member, ending: Ending) {
        self.moment().await;
        match ending {
            Ending::Sigterm => member.service.stop().await,
            Ending::Kill => member.service.kill().await,
        }
        self.sightings.push(member.watch.end().await);
    }

    /// Ends the reading of an instance, which runs on.
    pub(crate) async fn unwatch(&mut self, member: Member) -> Service {
        self.sightings.push(member.watch.end().await);
        member.service
    }

    /// Waits until an instance has taken everything over, and lets it work alone for a while.
    pub(crate) async fn processes_all(&mut self, member: &Member) {
        member.processing(3).await;
        for _ in 0..5 {
            member.goes_on().await;
            self.moment().await;
        }
    }

    /// Requests that come to the older cart-service and, again, to the new one: the events of both must have one id, or
    /// order-service would take them for two; and they must be in one partition, or for events of two orders.
    pub(crate) async fn both_carts_make_the_same_events(&self) {
        let (old, new) = (self.world(Version::Old).cart().await, self.world(Version::New).cart().await);
        for number in 0..30 {
            let first = create(&old, number).await;
            let second = create(&new, number).await;
            for field in ["/eventId", "/kafka/partition"] {
                assert_eq!(first.pointer(field).unwrap(), second.pointer(field).unwrap(), "{field}");
            }
        }
        old.stop().await;
        new.stop().await;
    }

    /// Sends the newest letters again, at one version; the other one knows that.
    pub(crate) async fn redrive(&mut self, here: &Service, there: &Service) {
        let page = here.get("/dlq/messages?limit=10").await.json;
        let mut sent = 0;
        for letter in page["messages"].as_array().unwrap() {
            let offset = &letter["dlq_offset"];
            if redrive(here, offset).await != StatusCode::OK {
                continue;
            }
            sent += 1;
            eventually("the other version knows of the redrive", async || {
                let letter = there.get(&format!("/dlq/messages/{offset}")).await.json;
                letter["redrive"].is_object().then_some(())
            })
            .await;
            assert_eq!(
                redrive(there, offset).await,
                StatusCode::CONFLICT,
                "letter {offset} was sent again twice"
            );
        }
        assert!(sent > 0, "no letter was sent again: {page}");
        self.redriven += sent;
    }

    /// Ends the load.
    pub(crate) async fn end_load(&mut self) {
        self.trial.end_load().await;
        println!("upgrade: {} letters were sent again", self.redriven);
    }

    async fn moment(&mut self) {
        let pause = self.trial.chance.random_range(0..1_000);
        sleep(Duration::from_millis(pause)).await;
    }
}

async fn create(cart: &Service, number: usize) -> Value {
    let body = json!({ "orderId": format!("BOTH-{number}"), "itemsCount": 2 });
    let request =
        cart.request(Method::POST, "/create-order").header("Idempotency-Key", format!("both-{number}"));
    let answer = Answer::to(request.json(&body)).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    answer.json
}

async fn redrive(service: &Service, dlq_offset: &Value) -> StatusCode {
    let body = json!({ "requestedBy": "upgrade" });
    service.send("POST", &format!("/dlq/messages/{dlq_offset}/redrive"), &body).await.status
}
