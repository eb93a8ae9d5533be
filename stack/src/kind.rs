//! What the servers of a stack are.

use crate::brokers::Node;
use crate::ports::PortUse;
use crate::registry;

/// Which server of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Broker(Node),
    Registry,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        self.port_use().what
    }

    pub(crate) fn port_use(self) -> PortUse {
        match self {
            Self::Broker(node) => node.port_use(),
            Self::Registry => registry::PORT,
        }
    }
}
