//! The broker's settings, as a Java properties file.

use std::collections::BTreeMap;

/// The two ports of the one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) broker: u16,
    pub(crate) controller: u16,
}

/// The settings of a broker and controller in one process. Folders are relative to the stack's folder.
pub(crate) fn settings(
    ports: Ports,
    data: &str,
    overrides: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let Ports { broker, controller } = ports;
    let ours = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
        ("listeners", format!("BROKER://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", format!("BROKER://127.0.0.1:{broker}")),
        ("listener.security.protocol.map", "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned()),
        ("inter.broker.listener.name", "BROKER".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", data.to_owned()),
        // The services make their topics; a misspelt name must fail, not make one more.
        ("auto.create.topics.enable", "false".to_owned()),
        // One node: every internal topic has one replica. Few partitions: quick to make and to load.
        ("default.replication.factor", "1".to_owned()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("share.coordinator.state.topic.replication.factor", "1".to_owned()),
        ("share.coordinator.state.topic.min.isr", "1".to_owned()),
        ("share.coordinator.state.topic.num.partitions", "4".to_owned()),
        // After kill -9 a broker is refused until its former self's session is over: 3 s, not 9.
        ("broker.session.timeout.ms", "3000".to_owned()),
        ("broker.heartbeat.interval.ms", "500".to_owned()),
        // A group of one must not wait three seconds for company.
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        // Sessions down to 1 s: tests of failures need not wait six.
        ("group.min.session.timeout.ms", "1000".to_owned()),
        // The default of 128 MB would be a quarter of the heap; this is enough for 600,000 keys a pass.
        ("log.cleaner.dedupe.buffer.size", (16 << 20).to_string()),
    ];
    let mut settings: BTreeMap<_, _> =
        ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    settings.extend(overrides.clone());
    settings
}

/// A Java properties file.
pub(crate) fn properties(settings: &BTreeMap<String, String>) -> String {
    settings
        .iter()
        .map(|(name, value)| format!("{}={}\n", escaped(name, true), escaped(value, false)))
        .collect()
}

/// As `java.util.Properties.load` reads it: a name ends at a blank, `=` or `:`, a value loses its leading blanks,
/// a backslash escapes, and what is not ASCII is written in UTF-16 units.
fn escaped(text: &str, is_name: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (position, character) in text.char_indices() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            ' ' if is_name || position == 0 => escaped.push_str("\\ "),
            '=' | ':' | '#' | '!' if is_name => escaped.extend(['\\', character]),
            ' '..='~' => escaped.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::BROKER_DATA;

    const PORTS: Ports = Ports { broker: 9092, controller: 20_001 };

    #[test]
    fn the_broker_listens_on_loopback_only() {
        let settings = settings(PORTS, BROKER_DATA, &BTreeMap::new());
        assert_eq!(settings["listeners"], "BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:20001");
        assert_eq!(settings["advertised.listeners"], "BROKER://127.0.0.1:9092");
        assert_eq!(settings["auto.create.topics.enable"], "false");
    }

    #[test]
    fn every_internal_topic_fits_on_one_node() {
        let settings = settings(PORTS, BROKER_DATA, &BTreeMap::new());
        for (name, value) in settings.iter().filter(|(name, _)| name.contains("replication.factor")) {
            assert_eq!(value, "1", "{name}");
        }
    }

    #[test]
    fn a_caller_may_override_a_setting() {
        let overrides = BTreeMap::from([("log.dirs".to_owned(), "elsewhere".to_owned())]);
        assert_eq!(settings(PORTS, BROKER_DATA, &overrides)["log.dirs"], "elsewhere");
    }

    #[test]
    fn properties_are_written_as_java_reads_them() {
        let settings = BTreeMap::from([
            ("a name:x".to_owned(), " 1 = 1\\é".to_owned()),
            ("b".to_owned(), "two\nlines 😀".to_owned()),
        ]);
        assert_eq!(properties(&settings), "a\\ name\\:x=\\ 1 = 1\\\\\\u00e9\nb=two\\nlines \\ud83d\\ude00\n");
    }
}
