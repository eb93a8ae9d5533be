//! What happens to the instances of a trial.

use std::time::Duration;

use end_to_end_tests::Trial;
use end_to_end_tests::checker::Findings;
use rand::RngExt;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::members::Member;

/// How often an instance is killed while it is alone.
const KILLS: usize = 4;

/// How often all instances are replaced.
const ROUNDS: usize = 2;

/// So long the broker hangs: many reads, and shorter than any time-out.
const HANGS: Duration = Duration::from_millis(500);

/// Everything happens; then everything is checked.
pub(crate) async fn find(trial: &mut Trial) -> Findings {
    let mut findings = alone(trial).await;
    findings.extend(together(trial).await);
    findings
}

/// An instance that is alone is killed, also while the broker hangs: what it shows then is in no transaction that is
/// committed. That is looked at before the next one does the same again.
async fn alone(trial: &mut Trial) -> Findings {
    let mut findings = Findings::default();
    for round in 0..KILLS {
        let service = trial.named("one").await;
        let watch = trial.watch(&service);
        service.processing(3).await;
        service.goes_on().await;
        moment(trial).await;
        let hangs = round > 0;
        if hangs {
            trial.world.stack().broker().pause().unwrap();
            sleep(HANGS).await;
        }
        service.kill().await;
        if hangs {
            block_in_place(|| trial.world.stack().broker().resume()).unwrap();
        }
        let sightings = watch.end().await;
        findings.extend(trial.find_in_sightings(&[sightings]).await);
    }
    findings
}

/// Instances are killed, stopped, and frozen until their sessions are over. Others take over from them, each before the
/// open transaction of the one that was killed has timed out.
async fn together(trial: &mut Trial) -> Findings {
    let relay = trial.relay();
    let mut sightings = Vec::new();
    let mut first = Member::join(trial, &relay).await;
    let mut second = Member::join(trial, &relay).await;
    for _ in 0..ROUNDS {
        first.has_work().await;
        moment(trial).await;
        sightings.push(first.is_killed(&relay, &second).await);
        first = Member::join(trial, &relay).await;
        first.has_work().await;
        sightings.push(second.is_stopped(&relay, &first).await);
        second = Member::join(trial, &relay).await;
        second.has_work().await;
        moment(trial).await;
        second.sleeps(&first).await;
    }
    sightings.push(relay.end().await);
    let mut services = Vec::new();
    for member in [first, second] {
        let (service, shown) = member.stays().await;
        sightings.push(shown);
        services.push(service);
    }
    trial.find(&services.iter().collect::<Vec<_>>(), &sightings).await
}

/// Any moment of a transaction.
async fn moment(trial: &mut Trial) {
    sleep(Duration::from_micros(trial.chance.random_range(0..300_000))).await;
}
