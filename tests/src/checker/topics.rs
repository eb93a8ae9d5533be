//! What is in Kafka.

use tokio::task::block_in_place;

use super::anomaly::{Class, Findings};
use super::letters::{self, Origin, is_note_of_redrive};
use super::{Changelog, Checker, Times, states, together};
use crate::wait::{PATIENCE, until};

impl Checker<'_> {
    /// What is wrong with the dead letters, the changelog and the group's offsets. The instances must have seen
    /// everything.
    pub async fn find_in_topics(&self, times: Times) -> Findings {
        let changelog = block_in_place(|| Changelog::read(&self.world.changelog()));
        self.find_in_topics_and(&changelog, times).await
    }

    /// As [`find_in_topics`](Self::find_in_topics), with a changelog that was read before it was compacted.
    pub(crate) async fn find_in_topics_and(
        &self,
        changelog: &Result<Changelog, String>,
        times: Times,
    ) -> Findings {
        let mut findings = Findings::default();
        let letters = match self.letters().await {
            Ok(letters) => letters,
            Err(unreadable) => {
                findings.add(Class::Unseen, unreadable);
                return findings;
            }
        };
        findings.extend(letters::find(&letters, &self.model, &self.events, self.world.topic(), times));
        let changelog = match changelog {
            Ok(changelog) => changelog,
            Err(unreadable) => {
                findings.add(Class::Unseen, unreadable.as_str());
                return findings;
            }
        };
        findings.extend(states::find(changelog, &self.model, &self.events));
        self.find_in_progress(changelog, &mut findings);
        if times == Times::Once {
            let letters = letters.iter().filter(|record| !is_note_of_redrive(record)).map(Origin::of);
            findings.extend(together::find(changelog, &letters.collect::<Vec<_>>(), &self.events));
            findings.extend(together::check_model(changelog, &self.model));
            self.find_in_identity(changelog, &mut findings);
            self.find_in_group(&mut findings).await;
        }
        findings
    }

    /// Everything is processed, and nothing beyond.
    fn find_in_progress(&self, changelog: &Changelog, findings: &mut Findings) {
        for (partition, end) in &self.model.ends {
            let processed = changelog.processed(*partition);
            let what = || format!("partition {partition} is processed to {processed}, and ends at {end}");
            findings.expect(processed == *end, Class::TornTransaction, what);
        }
    }

    fn find_in_identity(&self, changelog: &Changelog, findings: &mut Findings) {
        let sources: Vec<_> = changelog.identities.iter().map(|identity| &identity["source"]).collect();
        let what = || format!("{sources:?} identifies the changelog");
        findings.expect(sources == [self.world.topic()], Class::Wrong, what);
    }

    /// The group's offsets, which tools show, are committed with the rest. Without transactions they come a moment later.
    async fn find_in_group(&self, findings: &mut Findings) {
        let (group, events, ends) = (self.world.group(), self.world.events(), &self.model.ends);
        let committed = || block_in_place(|| events.committed_by(&group));
        let all = until(PATIENCE, async || (committed() == *ends).then_some(())).await;
        let what = || format!("{group} has committed {:?}, the log ends at {ends:?}", committed());
        findings.expect(all.is_some(), Class::TornTransaction, what);
    }
}
