//! The instances of a trial.

use end_to_end_tests::{Relay, Service, Sightings, Trial, Watch, eventually};
use rustix::process::Signal;

/// An instance without a name, and what reads it.
pub(crate) struct Member {
    pub(crate) service: Service,
    watch: Watch,
}

impl Member {
    /// Starts one, and waits until it is ready.
    pub(crate) async fn join(trial: &mut Trial, relay: &Relay) -> Self {
        let service = trial.world.orders().await;
        let watch = trial.watch(&service);
        relay.join(&service);
        Self { service, watch }
    }

    /// Kills it in the middle of its work, and waits until another one has taken all over.
    pub(crate) async fn is_killed(self, relay: &Relay, heir: &Self) -> Sightings {
        relay.leave(&self.service);
        self.service.kill().await;
        heir.service.processing(3).await;
        self.watch.end().await
    }

    /// Stops it, and waits until another one has taken all over.
    pub(crate) async fn is_stopped(self, relay: &Relay, heir: &Self) -> Sightings {
        relay.leave(&self.service);
        self.service.stop().await;
        heir.service.processing(3).await;
        self.watch.end().await
    }

    /// Freezes it until another one has taken all over, and waits until it takes part again.
    pub(crate) async fn sleeps(&self, heir: &Self) {
        self.service.signal(Signal::STOP);
        heir.service.processing(3).await;
        self.service.signal(Signal::CONT);
        eventually("it takes part again", async || (heir.service.active().await < 3).then_some(())).await;
    }

    /// Waits until it has a share of the partitions.
    pub(crate) async fn has_work(&self) {
        eventually("it has a share", async || (self.service.active().await > 0).then_some(())).await;
        self.service.goes_on().await;
    }

    /// Ends the reading; it runs on.
    pub(crate) async fn stays(self) -> (Service, Sightings) {
        (self.service, self.watch.end().await)
    }
}
