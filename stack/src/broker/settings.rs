//! The broker's settings, as a Java properties file.

use std::collections::BTreeMap;

use crate::brokers::{Brokers, Node};

/// Where one node listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Where clients find the broker.
    pub(crate) clients: u16,
    pub(crate) controller: u16,
    pub(crate) gated: Option<Gated>,
}

/// Where a broker listens that clients find at a gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gated {
    /// For what comes through the gate.
    pub(crate) clients: u16,
    /// For the other brokers.
    pub(crate) brokers: u16,
}

/// What belongs to its listeners.
fn listeners(ports: Ports) -> [(&'static str, String); 5] {
    let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let (advertised, controller) = (at("BROKER", ports.clients), at("CONTROLLER", ports.controller));
    let protocols = "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT";
    let (listeners, advertised, between_brokers, protocols) = match ports.gated {
        None => (format!("{advertised},{controller}"), advertised, "BROKER", protocols.to_owned()),
        Some(Gated { clients, brokers }) => {
            let (clients, brokers) = (at("BROKER", clients), at("INTERNAL", brokers));
            let listeners = format!("{clients},{brokers},{controller}");
            let protocols = format!("{protocols},INTERNAL:PLAINTEXT");
            (listeners, format!("{advertised},{brokers}"), "INTERNAL", protocols)
        }
    };
    [
        ("listeners", listeners),
        ("advertised.listeners", advertised),
        ("inter.broker.listener.name", between_brokers.to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listener.security.protocol.map", protocols),
    ]
}

/// The settings of a broker and controller in one process; `ports` has those of all nodes. Folders are relative to the
/// stack's folder.
pub(crate) fn settings(
    node: Node,
    ports: &[Ports],
    data: &str,
    overrides: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let voters = node.of().nodes().zip(ports);
    let voters = voters.map(|(voter, ports)| format!("{}@127.0.0.1:{}", voter.id(), ports.controller));
    let (replicas, in_sync) = match node.of() {
        Brokers::One => ("1", "1"),
        Brokers::Three => ("3", "2"),
    };
    let ours = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.id().to_string()),
        ("controller.quorum.voters", voters.collect::<Vec<_>>().join(",")),
        ("log.dirs", data.to_owned()),
        // The services make their topics; a misspelt name must fail, not make one more.
        ("auto.create.topics.enable", "false".to_owned()),
        // As many replicas as there are nodes. Few partitions of the internal topics: quick to make and to load.
        ("default.replication.factor", replicas.to_owned()),
        ("offsets.topic.replication.factor", replicas.to_owned()),
        ("offsets.topic.num.partitions", "4".to_owned()),
        ("transaction.state.log.replication.factor", replicas.to_owned()),
        ("transaction.state.log.min.isr", in_sync.to_owned()),
        ("transaction.state.log.num.partitions", "4".to_owned()),
        ("share.coordinator.state.topic.replication.factor", replicas.to_owned()),
        ("share.coordinator.state.topic.min.isr", in_sync.to_owned()),
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
    // What was acknowledged is on two nodes, and is never given up for a node that does not have it.
    let of_three =
        [("min.insync.replicas", in_sync.to_owned()), ("unclean.leader.election.enable", "false".to_owned())];
    let of_three = of_three.into_iter().filter(|_| node.of() == Brokers::Three);
    let ours = ours.into_iter().chain(listeners(ports[node.index()])).chain(of_three);
    let mut settings: BTreeMap<_, _> = ours.map(|(name, value)| (name.to_owned(), value)).collect();
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

    const PORTS: [Ports; 3] = [
        Ports { clients: 9092, controller: 20_001, gated: None },
        Ports { clients: 9093, controller: 20_002, gated: Some(Gated { clients: 20_003, brokers: 20_004 }) },
        Ports { clients: 9094, controller: 20_005, gated: None },
    ];

    fn settings_of(brokers: Brokers, index: usize) -> BTreeMap<String, String> {
        let node = brokers.nodes().nth(index).unwrap();
        let ports = &PORTS[..usize::from(brokers.count())];
        settings(node, ports, &node.data(), &BTreeMap::new())
    }

    #[test]
    fn the_broker_listens_on_loopback_only() {
        let settings = settings_of(Brokers::One, 0);
        assert_eq!(settings["listeners"], "BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:20001");
        assert_eq!(settings["advertised.listeners"], "BROKER://127.0.0.1:9092");
        assert_eq!(settings["auto.create.topics.enable"], "false");
    }

    #[test]
    fn every_internal_topic_fits_on_one_node() {
        let settings = settings_of(Brokers::One, 0);
        for (name, value) in settings.iter().filter(|(name, _)| name.contains("replication.factor")) {
            assert_eq!(value, "1", "{name}");
        }
        assert_eq!(settings["controller.quorum.voters"], "1@127.0.0.1:20001");
        assert!(!settings.contains_key("min.insync.replicas"));
    }

    #[test]
    fn with_three_nodes_a_write_is_on_two() {
        let settings = settings_of(Brokers::Three, 2);
        for (name, value) in &settings {
            if name.contains("replication.factor") {
                assert_eq!(value, "3", "{name}");
            }
            if name.contains("min.isr") || name == "min.insync.replicas" {
                assert_eq!(value, "2", "{name}");
            }
        }
        assert_eq!((&*settings["node.id"], &*settings["log.dirs"]), ("3", "broker/3/data"));
        let voters = "1@127.0.0.1:20001,2@127.0.0.1:20002,3@127.0.0.1:20005";
        assert_eq!(settings["controller.quorum.voters"], voters);
    }

    #[test]
    fn clients_are_sent_to_the_gate_and_brokers_are_not() {
        let settings = settings_of(Brokers::Three, 1);
        let listeners = "BROKER://127.0.0.1:20003,INTERNAL://127.0.0.1:20004,CONTROLLER://127.0.0.1:20002";
        assert_eq!(settings["listeners"], listeners);
        let advertised = "BROKER://127.0.0.1:9093,INTERNAL://127.0.0.1:20004";
        assert_eq!(settings["advertised.listeners"], advertised);
        assert_eq!(settings["inter.broker.listener.name"], "INTERNAL");
    }

    #[test]
    fn a_caller_may_override_a_setting() {
        let overrides = BTreeMap::from([("log.dirs".to_owned(), "elsewhere".to_owned())]);
        let node = Brokers::One.nodes().next().unwrap();
        assert_eq!(settings(node, &PORTS, "data", &overrides)["log.dirs"], "elsewhere");
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
