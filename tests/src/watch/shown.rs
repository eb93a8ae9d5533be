//! What was shown of an order, or of an event, against what was committed.

use crate::checker::{Changelog, Class, Findings, Place};

/// What an instance showed of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its port.
    pub(super) port: u16,
    /// The order's status; `None` is a 404.
    pub(super) status: Option<String>,
}

/// The statuses were committed, in the order in which they were shown.
pub(super) fn check_order(id: &str, shown: &[Shown], committed: &[&str]) -> Findings {
    let mut findings = Findings::default();
    // Behind the one that was shown last.
    let mut next = 0;
    for (index, Shown { port, status }) in shown.iter().enumerate() {
        let at = |from: usize| {
            let status = status.as_deref()?;
            Some(from + committed[from..].iter().position(|committed| *committed == status)?)
        };
        let class = match (at(next), at(0)) {
            _ if status.is_none() && index == 0 => continue,
            (Some(found), _) => {
                next = found + 1;
                continue;
            }
            (None, Some(found)) => {
                next = found + 1;
                Class::NonMonotonicRead
            }
            (None, None) if status.is_none() => Class::NonMonotonicRead,
            (None, None) => Class::AbortedRead,
        };
        let (status, before) = (status.as_deref().unwrap_or("missing"), &shown[..index]);
        let what = format!("{port} showed {id} as {status}, after {before:?}; committed: {committed:?}");
        findings.add(class, what);
    }
    findings
}

/// An event has an outcome once its transaction is committed. Only what waits gets another one.
pub(super) fn check_outcome(port: u16, place: Place, shown: &[String], changelog: &Changelog) -> Findings {
    let mut findings = Findings::default();
    let (processed, committed) = (changelog.processed(place.0), changelog.outcome(place));
    let what =
        || format!("{port} showed {place:?} as {shown:?}; it is {committed:?}, {processed} is the next");
    for pair in shown.windows(2) {
        let [before, now] = pair else { continue };
        match (before.as_str(), now.as_str()) {
            ("pending", _) => {}
            ("held", "pending") | (_, "pending" | "held") => findings.add(Class::NonMonotonicRead, what()),
            ("held", _) => {}
            _ => findings.add(Class::AbortedRead, what()),
        }
    }
    let is_committed = |shown: &String| shown == "pending" || place.1 < processed;
    findings.expect(shown.iter().all(is_committed), Class::AbortedRead, what);
    let fits = shown.last().zip(committed).is_none_or(|(shown, committed)| may_be(shown, committed));
    findings.expect(fits, Class::AbortedRead, what);
    findings
}

/// Whether what was shown last may have been committed as this, or become it later.
fn may_be(shown: &str, committed: &str) -> bool {
    const OTHERS: [&str; 4] = ["applied", "duplicate", "held", "no_event"];
    match shown {
        // Older versions show the copy of an update that was held so.
        "applied" => committed == "applied" || committed.starts_with("duplicate_of:"),
        "dead_lettered" => !OTHERS.contains(&committed),
        "no_event" => committed == "no_event",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(shown: &[Option<&str>], committed: &[&str]) -> Vec<Class> {
        let shown = shown.iter().map(|status| Shown { port: 1, status: status.map(str::to_owned) });
        let findings = check_order("ORDER", &shown.collect::<Vec<_>>(), committed);
        findings.anomalies().iter().map(|anomaly| anomaly.class).collect()
    }

    #[test]
    fn what_was_shown_must_be_committed_and_may_not_go_back() {
        let committed = ["new", "shipped", "step 3", "shipped"];
        for right in
            [&[None, Some("new"), Some("shipped")][..], &[Some("shipped"), Some("step 3"), Some("shipped")]]
        {
            assert_eq!(classes(right, &committed), []);
        }
        assert_eq!(classes(&[Some("new"), Some("step 4")], &committed), [Class::AbortedRead]);
        let back = [Some("step 3"), Some("new"), Some("shipped"), None];
        assert_eq!(classes(&back, &committed), [Class::NonMonotonicRead; 2]);
        assert_eq!(classes(&[Some("new")], &[]), [Class::AbortedRead]);
    }

    #[test]
    fn an_outcome_is_shown_once_it_is_committed_and_stays() {
        let nothing = Changelog::default();
        let classes = |shown: &[&str]| -> Vec<Class> {
            let shown: Vec<String> = shown.iter().map(|shown| (*shown).to_owned()).collect();
            let findings = check_outcome(1, (0, 7), &shown, &nothing);
            findings.anomalies().iter().map(|anomaly| anomaly.class).collect()
        };
        assert_eq!(classes(&["pending"]), []);
        assert_eq!(classes(&["pending", "applied"]), [Class::AbortedRead]);
        assert_eq!(classes(&["pending", "held", "pending"]), [Class::NonMonotonicRead, Class::AbortedRead]);
    }
}
