//! Which server runs where.

use crate::broker::{Gated, Ports};
use crate::brokers::Node;
use crate::config::StackConfig;
use crate::error::StackError;
use crate::kind::Kind;
use crate::layout::Layout;
use crate::ports::{self, PortUse};
use crate::state::{BrokerRecord, Record, State};

/// What shall run where: servers that still run stay where they are.
pub(crate) fn plan(layout: &Layout, config: &StackConfig) -> Result<State, StackError> {
    let previous = State::read(&layout.state())?;
    if let Some(owner) = previous.as_ref().and_then(State::living_owner) {
        return Err(StackError::Owned { owner: owner.pid, data_dir: layout.root().to_owned() });
    }
    let running = |state: &&State| state.brokers().any(|record| record.broker.alive().is_some());
    let cluster = previous.as_ref().filter(running);
    if let Some(state) = cluster
        && (config.gates || config.groups.is_some() || state.count() != config.brokers)
        && let Some(process) = state.alive().next()
    {
        return Err(StackError::Running { pid: process.pid, data_dir: layout.root().to_owned() });
    }
    let broker = |node| plan_broker(node, cluster, config.kafka_port);
    let mut brokers = config.brokers.nodes().map(broker).collect::<Result<Vec<_>, _>>()?;
    let registry = previous.as_ref().map(|state| &state.registry);
    Ok(State {
        owner: None,
        first_broker: brokers.remove(0),
        other_brokers: brokers,
        registry: plan_one(Kind::Registry, registry, config.registry_port)?,
    })
}

/// While one broker of a cluster runs, it expects the controllers of the others where they were.
fn plan_broker(node: Node, cluster: Option<&State>, first: Option<u16>) -> Result<BrokerRecord, StackError> {
    let previous = cluster.and_then(|state| state.brokers().nth(node.index()));
    let asked = first.and_then(|first| first.checked_add(node.id() - 1));
    Ok(BrokerRecord {
        controller_port: previous.map_or_else(ports::free_port, |previous| Ok(previous.controller_port))?,
        broker: plan_one(Kind::Broker(node), previous.map(|previous| &previous.broker), asked)?,
    })
}

fn plan_one(kind: Kind, previous: Option<&Record>, asked: Option<u16>) -> Result<Record, StackError> {
    let running = previous.filter(|record| record.alive().is_some());
    match (running, asked) {
        (Some(record), Some(asked)) if record.port != asked => {
            let PortUse { what, flag, variable } = kind.port_use();
            Err(StackError::OtherPort { what, running: record.port, asked, flag, variable })
        }
        (Some(record), _) => Ok(record.clone()),
        (None, Some(asked)) => {
            kind.port_use().check_free(asked)?;
            Ok(Record { port: asked, process: None })
        }
        (None, None) => Ok(Record { port: ports::free_port()?, process: None }),
    }
}

/// Where each broker listens.
pub(crate) fn broker_ports(state: &State, gates: bool) -> Result<Vec<Ports>, StackError> {
    let ports = |record: &BrokerRecord| {
        let gated = if gates {
            Some(Gated { clients: ports::free_port()?, brokers: ports::free_port()? })
        } else {
            None
        };
        Ok(Ports { clients: record.broker.port, controller: record.controller_port, gated })
    };
    state.brokers().map(ports).collect()
}
