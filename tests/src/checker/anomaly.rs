//! What was found to be wrong, in the words of Jepsen.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

/// How many anomalies of a class are kept; the others are only counted.
const KEPT: usize = 20;

/// What kind of anomaly it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Confirmed to a client, or in the log, and then missing: in the log, the states, the letters or the changelog.
    LostWrite,
    /// An instance showed a state or an outcome that was never committed.
    AbortedRead,
    /// States, progress, letters, outcomes and the group's offsets do not belong together.
    TornTransaction,
    /// An event took effect twice, or is a letter twice.
    Duplicate,
    /// A read showed something older than a read before it, at one instance or as told by `position=`.
    NonMonotonicRead,
    /// It is committed, and an instance that has caught up does not show it; or an instance does not catch up.
    Unseen,
    /// Anything else that differs from the model.
    Wrong,
    /// A process ended by itself.
    ProcessEnded,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::LostWrite,
        Self::AbortedRead,
        Self::TornTransaction,
        Self::Duplicate,
        Self::NonMonotonicRead,
        Self::Unseen,
        Self::Wrong,
        Self::ProcessEnded,
    ];

    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LostWrite => "lost write",
            Self::AbortedRead => "aborted read",
            Self::TornTransaction => "torn transaction",
            Self::Duplicate => "duplicate",
            Self::NonMonotonicRead => "non-monotonic read",
            Self::Unseen => "unseen",
            Self::Wrong => "wrong",
            Self::ProcessEnded => "process ended",
        }
    }

    /// The class of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// What kind it is.
    pub class: Class,
    /// What was seen, and where.
    pub what: String,
}

/// Everything that was found: all of it counted, and some of each class kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    anomalies: Vec<Anomaly>,
    counts: BTreeMap<Class, usize>,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, class: Class, what: impl Into<String>) {
        let count = self.counts.entry(class).or_default();
        *count += 1;
        if *count <= KEPT {
            self.anomalies.push(Anomaly { class, what: what.into() });
        }
    }

    /// Adds one if it is not so.
    pub(crate) fn expect(&mut self, is_so: bool, class: Class, what: impl FnOnce() -> String) {
        if !is_so {
            self.add(class, what());
        }
    }

    /// Adds all that was found elsewhere.
    pub fn extend(&mut self, others: Self) {
        for (class, count) in others.counts {
            *self.counts.entry(class).or_default() += count;
        }
        for anomaly in others.anomalies {
            if self.kept(anomaly.class) < KEPT {
                self.anomalies.push(anomaly);
            }
        }
    }

    /// Adds what was found in an instance's answers, or that it did not answer.
    pub(super) fn take(&mut self, others: Result<Self, String>) {
        match others {
            Ok(others) => self.extend(others),
            Err(silent) => self.add(Class::Unseen, silent),
        }
    }

    fn kept(&self, class: Class) -> usize {
        self.anomalies.iter().filter(|anomaly| anomaly.class == class).count()
    }

    /// Those that are kept, at most twenty of a class.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// How many there are of a class.
    pub fn count(&self, class: Class) -> usize {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// How many there are of each class, for people.
    pub fn counts(&self) -> String {
        let counts = self.counts.iter().map(|(class, count)| format!("{}: {count}", class.name()));
        if self.is_empty() { "nothing".to_owned() } else { counts.collect::<Vec<_>>().join(", ") }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// For a report: the count of each class, and the anomalies that are kept.
    pub fn to_json(&self) -> Value {
        let counts: serde_json::Map<String, Value> =
            Class::ALL.iter().map(|class| (class.name().to_owned(), json!(self.count(*class)))).collect();
        let anomaly = |anomaly: &Anomaly| json!({ "class": anomaly.class.name(), "what": anomaly.what });
        json!({ "counts": counts, "anomalies": self.anomalies.iter().map(anomaly).collect::<Vec<_>>() })
    }

    /// Fails the test if anything was found.
    pub fn assert_none(&self) {
        assert!(self.is_empty(), "the checker found:\n{self}");
    }
}

/// The counts in one line, then a line for each anomaly.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.counts())?;
        self.anomalies
            .iter()
            .try_for_each(|anomaly| write!(f, "\n{}: {}", anomaly.class.name(), anomaly.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_some_of_each_class_are_kept() {
        let mut findings = Findings::default();
        (0..30).for_each(|number| findings.add(Class::Unseen, format!("order {number}")));
        let mut all = findings.clone();
        all.add(Class::Wrong, "another content");
        all.extend(findings);
        assert_eq!((all.count(Class::Unseen), all.anomalies().len()), (60, KEPT + 1));
        let report = all.to_json();
        assert_eq!((&report["counts"]["unseen"], &report["counts"]["lost write"]), (&json!(60), &json!(0)));
        assert!(!report.to_string().contains('\n'), "it is one line");
        assert!(all.to_string().starts_with("unseen: 60, wrong: 1\nunseen: order 0\n"));
    }

    #[test]
    #[should_panic(expected = "duplicate: an event twice")]
    fn a_finding_fails_a_test_with_its_words() {
        let mut findings = Findings::default();
        findings.assert_none();
        findings.add(Class::Duplicate, "an event twice");
        findings.assert_none();
    }
}
