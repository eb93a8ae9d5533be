//! What stands between clients and a broker, so that a test can cut them off from each other.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// A relay in front of the port that a broker has for clients. The brokers' own traffic goes around it.
///
/// A closed gate is like a network that loses every packet: nothing passes in either direction, not even the end of a
/// connection, and new connections get no answer. What was held up arrives once the gate is open again.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    broker: u16,
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    position: Mutex<Position>,
    moved: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    Open,
    Closed,
    /// The gate was dropped.
    Gone,
}

impl Gate {
    /// An open gate at `port` of 127.0.0.1, in front of the port `broker`.
    pub(crate) fn new(port: u16, broker: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let switch = Arc::new(Switch::default());
        let for_connections = Arc::clone(&switch);
        thread::spawn(move || accept(&listener, broker, &for_connections));
        Ok(Self { port, broker, switch })
    }

    /// Lets nothing pass from now on, but what is being written at this moment.
    pub fn close(&self) {
        self.switch.set(Position::Closed);
    }

    /// Lets everything pass again, what was held up first.
    pub fn open(&self) {
        self.switch.set(Position::Open);
    }

    /// Where the broker itself listens.
    pub(crate) fn broker(&self) -> u16 {
        self.broker
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.switch.set(Position::Gone);
        // The thread that accepts connections sees it when the next one comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Switch {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, position: Position) {
        *self.position() = position;
        self.moved.notify_all();
    }

    /// Returns once the gate is not closed; false if that is because it is gone.
    fn wait_open(&self) -> bool {
        let waited = self.moved.wait_while(self.position(), |position| *position == Position::Closed);
        *waited.unwrap_or_else(PoisonError::into_inner) == Position::Open
    }
}

fn accept(listener: &TcpListener, broker: u16, switch: &Arc<Switch>) {
    for client in listener.incoming() {
        if *switch.position() == Position::Gone {
            return;
        }
        let Ok(client) = client else { continue };
        let switch = Arc::clone(switch);
        // A connection that fails is closed by being dropped: the client sees that, as it should.
        thread::spawn(move || connect(client, broker, &switch));
    }
}

fn connect(client: TcpStream, broker: u16, switch: &Arc<Switch>) -> io::Result<()> {
    if !switch.wait_open() {
        return Ok(());
    }
    let broker = TcpStream::connect(("127.0.0.1", broker))?;
    for stream in [&client, &broker] {
        stream.set_nodelay(true)?;
    }
    let (answers_from, answers_to) = (broker.try_clone()?, client.try_clone()?);
    let for_answers = Arc::clone(switch);
    thread::spawn(move || pass(answers_from, answers_to, &for_answers));
    pass(client, broker, switch);
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, switch: &Switch) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        if !switch.wait_open() || to.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    switch.wait_open();
    for stream in [from, to] {
        // It fails when the other end was quicker, and then it is done.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ports::free_port;
    use crate::wait;

    /// Longer than anything takes to get through an open gate.
    const SILENCE: Duration = Duration::from_millis(300);

    fn client(gate: &Gate) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", gate.port)).unwrap();
        client.set_read_timeout(Some(SILENCE)).unwrap();
        client
    }

    fn read(stream: &mut TcpStream) -> io::Result<String> {
        let mut bytes = [0; 64];
        stream.read(&mut bytes).map(|length| String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    fn is_silent(stream: &mut TcpStream) -> bool {
        read(stream).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn a_closed_gate_holds_everything_until_it_is_open_again() {
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate::new(free_port().unwrap(), broker.local_addr().unwrap().port()).unwrap();
        let mut client_end = client(&gate);
        let (mut broker_end, _) = broker.accept().unwrap();
        broker_end.set_read_timeout(Some(SILENCE)).unwrap();
        client_end.write_all(b"request").unwrap();
        assert_eq!(read(&mut broker_end).unwrap(), "request");

        gate.close();
        client_end.write_all(b"another").unwrap();
        broker_end.write_all(b"answer").unwrap();
        broker.set_nonblocking(true).unwrap();
        let mut late = client(&gate);
        late.write_all(b"hello").unwrap();
        for stream in [&mut client_end, &mut broker_end, &mut late] {
            assert!(is_silent(stream));
        }
        assert!(broker.accept().is_err(), "a connection got through");

        broker.set_nonblocking(false).unwrap();
        gate.open();
        let (mut late_broker_end, _) = broker.accept().unwrap();
        assert_eq!(read(&mut broker_end).unwrap(), "another");
        assert_eq!(read(&mut client_end).unwrap(), "answer");
        assert_eq!(read(&mut late_broker_end).unwrap(), "hello");

        gate.close();
        drop(broker_end);
        assert!(is_silent(&mut client_end), "the end of a connection got through");
        gate.open();
        assert_eq!(read(&mut client_end).unwrap(), "");
    }

    #[test]
    fn a_broker_that_is_away_is_a_closed_connection_and_is_found_when_it_is_back() {
        let (port, broker) = (free_port().unwrap(), free_port().unwrap());
        let gate = Gate::new(port, broker).unwrap();
        assert!(!is_silent(&mut client(&gate)));
        let broker = TcpListener::bind(("127.0.0.1", broker)).unwrap();
        client(&gate).write_all(b"request").unwrap();
        assert_eq!(read(&mut broker.accept().unwrap().0).unwrap(), "request");
        drop(gate);
        let port_is_free = || TcpListener::bind(("127.0.0.1", port)).ok();
        assert!(wait::until(Duration::from_secs(20), port_is_free).is_some());
    }
}
