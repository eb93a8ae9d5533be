//! What was shown.

use std::collections::BTreeMap;

use reqwest::Response;
use serde_json::Value;

use super::places::is_as_new;
use super::shown::{Shown, check_order, check_outcome};
use crate::checker::{Changelog, Class, Findings, Place};

/// What was shown, one after the other, without repeats: by one instance, or by several in turn.
#[derive(Debug, Default)]
pub struct Sightings {
    shown: BTreeMap<String, Vec<Shown>>,
    /// What became of each event, and the port of who said so.
    outcomes: BTreeMap<Place, (u16, Vec<String>)>,
    /// How often an instance had to show nothing older than another one.
    turns: usize,
    /// What was wrong, whatever was committed.
    findings: Findings,
}

impl Sightings {
    /// Notes what was shown of an order. False if nothing was.
    pub(super) async fn note_order(
        &mut self,
        port: u16,
        id: String,
        answer: Response,
    ) -> reqwest::Result<bool> {
        let status = match answer.status().as_u16() {
            200 => Some(answer.json::<Value>().await?["status"].as_str().unwrap_or_default().to_owned()),
            404 => None,
            // Not restored, or not processed yet.
            503 => return Ok(false),
            other => {
                self.findings.add(Class::Wrong, format!("{port} answered {other} for {id}"));
                return Ok(false);
            }
        };
        let shown = self.shown.entry(id).or_default();
        if shown.last().is_none_or(|last| last.status != status) {
            shown.push(Shown { port, status });
        }
        Ok(true)
    }

    /// An answer has a position; it must be as new as others.
    pub(super) fn note_position(&mut self, port: u16, position: &str, others: &[String]) {
        for other in others.iter().filter(|other| !is_as_new(position, other)) {
            let what = format!("{port} was at {position}; it must not be before {other}");
            self.findings.add(Class::NonMonotonicRead, what);
        }
    }

    /// An instance had its turn, perhaps after another one.
    pub(super) fn note_turn(&mut self, is_after_another: bool) {
        self.turns += usize::from(is_after_another);
    }

    pub(super) async fn note_outcome(
        &mut self,
        port: u16,
        place: Place,
        answer: Response,
    ) -> reqwest::Result<()> {
        match answer.status().as_u16() {
            200 => {
                let outcome =
                    answer.json::<Value>().await?["outcome"].as_str().unwrap_or_default().to_owned();
                let (_, shown) = self.outcomes.entry(place).or_insert_with(|| (port, Vec::new()));
                if shown.last() != Some(&outcome) {
                    shown.push(outcome);
                }
            }
            503 => {}
            other => self.findings.add(Class::Wrong, format!("{port} answered {other} for {place:?}")),
        }
        Ok(())
    }

    /// What was shown and not committed, and what went back.
    pub fn find(&self, changelog: &Changelog) -> Findings {
        let mut findings = self.findings.clone();
        for (place, (port, shown)) in &self.outcomes {
            findings.extend(check_outcome(*port, *place, shown, changelog));
        }
        for (id, shown) in &self.shown {
            findings.extend(check_order(id, shown, &changelog.statuses(id)));
        }
        findings
    }

    /// How many outcomes of events were seen.
    pub fn outcomes(&self) -> usize {
        let outcomes = self.outcomes.values().flat_map(|(_, shown)| shown);
        outcomes.filter(|outcome| *outcome != "pending").count()
    }

    /// How many states were seen.
    pub fn count(&self) -> usize {
        self.shown.values().map(Vec::len).sum()
    }

    /// How often an instance showed an order after another one had, and had to show nothing older.
    pub fn turns(&self) -> usize {
        self.turns
    }
}
