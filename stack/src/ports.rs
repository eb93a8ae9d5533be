//! Which port a server gets.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Mutex;

use crate::error::StackError;

/// Below the range from which the kernel gives ports to outgoing connections (32768 and up on Linux, 49152 on
/// others): a server that is stopped for a while must find its port free again.
const RANGE: std::ops::Range<u16> = 15_000..32_000;
const TRIES: u32 = 200;

/// Ports handed out by this process: two stacks that start at once must not be given the same one before either
/// has bound it.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// What wants a port, and how a person chooses another for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortUse {
    /// Who listens there.
    pub(crate) what: &'static str,
    /// The command-line flag.
    pub(crate) flag: &'static str,
    /// The make variable.
    pub(crate) variable: &'static str,
}

impl PortUse {
    /// Refuses a port on which another program listens.
    ///
    /// # Errors
    /// [`StackError::PortTaken`].
    pub(crate) fn check_free(&self, port: u16) -> Result<(), StackError> {
        if is_free(port) {
            return Ok(());
        }
        let Self { what, flag, variable } = *self;
        Err(StackError::PortTaken { port, what, flag, variable })
    }
}

/// A port of 127.0.0.1 on which nothing listens, and which this process has not given out before. It lies outside
/// the range from which the kernel serves outgoing connections, so that none of these takes it in the meantime.
///
/// # Errors
/// [`StackError::NoFreePort`].
pub fn free_port() -> Result<u16, StackError> {
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = given.get_or_insert_default();
    choose(given, is_free, || rand::random_range(RANGE))
}

fn choose(
    given: &mut HashSet<u16>,
    is_free: impl Fn(u16) -> bool,
    mut candidate: impl FnMut() -> u16,
) -> Result<u16, StackError> {
    (0..TRIES)
        .map(|_| candidate())
        .find(|port| !given.contains(port) && is_free(*port))
        .inspect(|port| {
            given.insert(*port);
        })
        .ok_or(StackError::NoFreePort { tries: TRIES })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: PortUse = PortUse { what: "Kafka", flag: "--kafka-port", variable: "KAFKA_PORT" };

    #[test]
    fn a_port_is_given_once_and_only_when_free() {
        let mut given = HashSet::from([1]);
        let mut candidates = [1, 2, 3, 3, 4].into_iter();
        let mut next = || candidates.next().unwrap();
        assert_eq!(choose(&mut given, |port| port != 2, &mut next).unwrap(), 3);
        assert_eq!(choose(&mut given, |port| port != 2, &mut next).unwrap(), 4);
    }

    #[test]
    fn a_machine_without_free_ports_is_an_error_not_an_endless_search() {
        let error = choose(&mut HashSet::new(), |_| false, || 1).unwrap_err();
        assert!(matches!(error, StackError::NoFreePort { .. }));
    }

    #[test]
    fn a_taken_port_is_refused_with_the_setting_to_change() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let message = BROKER.check_free(port).unwrap_err().to_string();
        assert!(message.contains(&port.to_string()), "{message}");
        assert!(message.contains("--kafka-port") && message.contains("KAFKA_PORT="), "{message}");
        BROKER.check_free(free_port().unwrap()).unwrap();
    }
}
