//! Settings of topics that the promises rest on. What is weak is told once, and ends nothing.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::topics::{MAX_MESSAGE_BYTES, Settings, TopicError, Topics};

/// When a topic is looked at again that is not there yet.
const AGAIN: Duration = Duration::from_secs(2);

/// How often a topic is looked at whose settings are not told. A broker that starts does not know them yet; without the
/// permission, they are never told.
const LOOKS: usize = 5;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The events.
    Events,
    /// The changelog, or the dead letters: what is made of an event, and larger than it.
    Results,
    /// Kafka's own, of transactions and of consumed offsets.
    Internal,
}

/// What Kafka keeps of transactions and of consumed offsets: as safe as these are, so safe is exactly once.
pub const INTERNAL: [(&str, Role); 2] =
    [("__transaction_state", Role::Internal), ("__consumer_offsets", Role::Internal)];

/// Tells what is weak in the settings of topics, each when it is there.
pub async fn tell_weak(topics: &Topics, expected: &[(&str, Role)]) {
    let mut left: Vec<_> = expected.iter().map(|(topic, role)| (*topic, *role, LOOKS)).collect();
    loop {
        let mut later = Vec::new();
        for (topic, role, looks) in left {
            match topics.settings(topic).await {
                Ok(Some(found)) if !found.values.is_empty() => tell(topic, role, &found),
                Ok(Some(_)) if looks > 1 => later.push((topic, role, looks - 1)),
                Ok(Some(_)) | Err(TopicError::NotAllowed(_)) => {
                    info!(
                        topic,
                        "settings not checked: Kafka does not tell them (permission DESCRIBE_CONFIGS)"
                    );
                }
                Ok(None) => later.push((topic, role, looks)),
                Err(error) => {
                    debug!(topic, %error, "settings not known yet");
                    later.push((topic, role, looks));
                }
            }
        }
        if later.is_empty() {
            return;
        }
        left = later;
        tokio::time::sleep(AGAIN).await;
    }
}

fn tell(topic: &str, role: Role, found: &Settings) {
    for reason in weaknesses(role, found) {
        warn!(topic, reason, "a setting of the topic is weak");
    }
}

/// What is weak in a topic, for a person.
fn weaknesses(role: Role, found: &Settings) -> Vec<String> {
    let value = |name: &str| found.values.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| value(name).parse::<u64>().ok();
    let mut weak = Vec::new();
    match (found.copies, number("min.insync.replicas")) {
        (1, _) => weak.push("it has 1 copy: what is confirmed is lost with its broker".to_owned()),
        (_, Some(least @ 0..2)) => weak.push(format!(
            "min.insync.replicas={least}: what is confirmed may be in one copy only; have three copies and set it to 2"
        )),
        _ => {}
    }
    if value("unclean.leader.election.enable") == "true" {
        weak.push(
            "unclean.leader.election.enable=true: what is confirmed is lost when a broker becomes leader that was \
             behind; set it to false"
                .to_owned(),
        );
    }
    let policy = value("cleanup.policy");
    if role == Role::Events && policy.contains("compact") {
        weak.push(format!(
            "cleanup.policy={policy}: of an order's events only the last is kept, so that no view can be built again; \
             set it to delete"
        ));
    }
    if let Some(most) =
        number("max.message.bytes").filter(|most| role == Role::Results && *most < MAX_MESSAGE_BYTES)
    {
        weak.push(format!(
            "max.message.bytes={most}: what is made of a large event does not fit, and its partition would stop; set it \
             to {MAX_MESSAGE_BYTES}"
        ));
    }
    weak
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(copies: usize, values: &[(&str, &str)]) -> Settings {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings { copies, values: values.collect() }
    }

    /// The settings that are told, by name.
    fn told(role: Role, found: &Settings) -> Vec<String> {
        let name = |weak: String| weak.split([':', '=']).next().unwrap_or_default().to_owned();
        weaknesses(role, found).into_iter().map(name).collect()
    }

    #[test]
    fn a_topic_is_weak_where_one_broker_can_lose_what_was_confirmed() {
        let two = [("min.insync.replicas", "2"), ("unclean.leader.election.enable", "false")];
        assert!(told(Role::Events, &found(3, &two)).is_empty());
        assert_eq!(told(Role::Internal, &found(3, &[("min.insync.replicas", "1")])), ["min.insync.replicas"]);
        assert_eq!(told(Role::Internal, &found(1, &two)), ["it has 1 copy"]);
        let unclean = [("min.insync.replicas", "2"), ("unclean.leader.election.enable", "true")];
        assert_eq!(told(Role::Results, &found(3, &unclean)), ["unclean.leader.election.enable"]);
    }

    #[test]
    fn events_must_not_be_compacted_and_results_need_room() {
        let compact = found(3, &[("cleanup.policy", "compact"), ("max.message.bytes", "4194303")]);
        assert_eq!(told(Role::Events, &compact), ["cleanup.policy"]);
        assert_eq!(told(Role::Results, &compact), ["max.message.bytes"]);
        assert!(told(Role::Internal, &compact).is_empty());
        assert!(told(Role::Results, &found(3, &[("max.message.bytes", "4194304")])).is_empty());
    }

    #[test]
    fn what_is_not_known_is_not_weak() {
        for role in [Role::Events, Role::Results, Role::Internal] {
            assert!(told(role, &found(3, &[])).is_empty());
        }
    }
}
