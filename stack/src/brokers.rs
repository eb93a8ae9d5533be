//! How many brokers a stack has, and what belongs to each.

use crate::ports::PortUse;

/// How many brokers a stack has. Each is a Kafka node that is controller, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Brokers {
    /// One. Every topic has one replica.
    #[default]
    One,
    /// Three. A topic has three replicas unless it is created with another number, and a write needs two of them: one
    /// broker may be away.
    Three,
}

impl Brokers {
    /// The number.
    pub fn count(self) -> u16 {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }

    /// Every broker, in the order of the node ids.
    pub(crate) fn nodes(self) -> impl Iterator<Item = Node> {
        (1..=self.count()).map(move |id| Node { id, of: self })
    }
}

/// One broker of a stack: what it is called, and where it keeps its things. All of this must stay as it is for the
/// folders that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    id: u16,
    of: Brokers,
}

impl Node {
    /// Its `node.id`, from 1 on.
    pub(crate) fn id(self) -> u16 {
        self.id
    }

    /// Its place among the brokers of its stack, from 0 on.
    pub(crate) fn index(self) -> usize {
        usize::from(self.id - 1)
    }

    /// The group of its process, if the first broker has the group `first`.
    pub(crate) fn group(self, first: u32) -> u32 {
        first + u32::from(self.id - 1)
    }

    /// The brokers that it is one of.
    pub(crate) fn of(self) -> Brokers {
        self.of
    }

    /// What wants its port, with its name for a sentence.
    pub(crate) fn port_use(self) -> PortUse {
        let what = match (self.of, self.id) {
            (Brokers::One, _) => "the Kafka broker",
            (Brokers::Three, 1) => "Kafka broker 1",
            (Brokers::Three, 2) => "Kafka broker 2",
            (Brokers::Three, _) => "Kafka broker 3",
        };
        PortUse { what, flag: "--kafka-port", variable: "KAFKA_PORT" }
    }

    /// The name of its log, without the ending.
    pub(crate) fn log(self) -> String {
        match self.of {
            Brokers::One => "broker".to_owned(),
            Brokers::Three => format!("broker-{}", self.id),
        }
    }

    /// Its folder, relative to the stack's. All brokers are in one folder, which `clean-data` deletes.
    pub(crate) fn folder(self) -> String {
        match self.of {
            Brokers::One => "broker".to_owned(),
            Brokers::Three => format!("broker/{}", self.id),
        }
    }

    /// Its records, relative to the stack's folder.
    pub(crate) fn data(self) -> String {
        format!("{}/data", self.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_single_broker_keeps_its_places() {
        let nodes: Vec<_> = Brokers::One.nodes().collect();
        let places: Vec<_> = nodes.iter().map(|node| (node.id(), node.data(), node.log())).collect();
        assert_eq!(places, [(1, "broker/data".to_owned(), "broker".to_owned())]);
    }

    #[test]
    fn three_brokers_share_nothing() {
        let nodes: Vec<_> = Brokers::Three.nodes().collect();
        assert_eq!(nodes.iter().map(|node| node.id()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(nodes.iter().map(|node| node.index()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(nodes.iter().map(|node| node.group(7001)).collect::<Vec<_>>(), [7001, 7002, 7003]);
        for of_node in [Node::data, Node::log, |node: Node| node.port_use().what.to_owned()] {
            let mut all: Vec<_> = nodes.iter().copied().map(of_node).collect();
            all.dedup();
            assert_eq!(all.len(), 3, "{all:?}");
        }
    }
}
