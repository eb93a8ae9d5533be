//! Stands between clients and the brokers. It answers some requests as a broker would that is not up to date, and holds
//! others back.
//!
//! It reads only what it needs of Kafka's protocol: the head of a request (<https://kafka.apache.org/protocol>), and
//! of the answers that it changes the fields in front of the one that it sets.

mod hold;
mod stale;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use local_stack::Stack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use self::hold::Hold;
pub use self::hold::{Api, Held};
pub use self::stale::Stale;

/// The proxy. It ends with the runtime of the test.
pub struct Proxy {
    shared: Arc<Shared>,
}

struct Shared {
    /// The port of each broker, and that of the proxy in front of it.
    ports: Vec<(u16, u16)>,
    /// How often a client (`client.id`) got such an answer.
    stale: Mutex<HashMap<(&'static str, Stale), usize>>,
    holds: Mutex<Vec<Hold>>,
}

/// Requests that are not answered yet, by correlation id.
type Open = Arc<Mutex<HashMap<i32, Request>>>;

struct Request {
    api: i16,
    client: String,
    /// Who waits for the answer.
    answered: Option<oneshot::Sender<()>>,
}

impl Proxy {
    /// In front of each broker of this stack.
    pub async fn before(stack: &Stack) -> Self {
        let (mut ports, mut listeners) = (Vec::new(), Vec::new());
        for broker in stack.brokers() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.push((broker.port(), listener.local_addr().unwrap().port()));
            listeners.push((broker.port(), listener));
        }
        let shared = Arc::new(Shared { ports, stale: Mutex::default(), holds: Mutex::default() });
        for (broker, listener) in listeners {
            tokio::spawn(accept(listener, broker, shared.clone()));
        }
        Self { shared }
    }

    /// Its addresses, as `KAFKA_BOOTSTRAP_SERVERS` takes them.
    pub fn addresses(&self) -> String {
        let addresses = self.shared.ports.iter().map(|(_, port)| format!("127.0.0.1:{port}"));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// From now on the client gets stale answers.
    pub fn go_stale(&self, client: &'static str, stale: Stale) {
        self.shared.stale.lock().unwrap().insert((client, stale), 0);
    }

    /// The client gets true answers again. Returns how many were stale.
    pub fn catch_up(&self, client: &'static str, stale: Stale) -> usize {
        self.shared.stale.lock().unwrap().remove(&(client, stale)).unwrap_or(0)
    }

    /// The next request of this kind by the client is held back, and with it what comes behind it on its connection.
    pub fn hold(&self, client: &'static str, api: Api) -> Held {
        let (hold, held) = Hold::new(client, api);
        self.shared.holds.lock().unwrap().push(hold);
        held
    }

    /// How many stale answers the client got.
    pub fn stale_answers(&self, client: &'static str, stale: Stale) -> usize {
        self.shared.stale.lock().unwrap().get(&(client, stale)).copied().unwrap_or(0)
    }
}

async fn accept(listener: TcpListener, broker: u16, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", broker)).await else { continue };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let open = Open::default();
        tokio::spawn(requests(from_client, to_server, open.clone(), shared.clone()));
        tokio::spawn(answers(from_server, to_client, open, shared.clone()));
    }
}

async fn frame(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_u32().await.ok()?;
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

async fn pass(to: &mut OwnedWriteHalf, frame: &[u8]) -> Option<()> {
    to.write_u32(u32::try_from(frame.len()).unwrap()).await.ok()?;
    to.write_all(frame).await.ok()
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, open: Open, shared: Arc<Shared>) {
    while let Some(frame) = frame(&mut from).await {
        // API, its version, the correlation id, and the client's name with its length.
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let correlation = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let name = &frame[10..][..usize::try_from(number(8)).unwrap_or(0)];
        let (api, client) = (number(0), String::from_utf8_lossy(name).into_owned());
        let answered = match shared.take_hold(api, &client) {
            Some(hold) => Some(hold.until_released().await),
            None => None,
        };
        open.lock().unwrap().insert(correlation, Request { api, client, answered });
        if pass(&mut to, &frame).await.is_none() {
            break;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, open: Open, shared: Arc<Shared>) {
    while let Some(mut frame) = frame(&mut from).await {
        let correlation = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        shared.hide_brokers(&mut frame);
        if let Some(Request { api, client, answered }) = open.lock().unwrap().remove(&correlation) {
            if let Some(answered) = answered {
                let _ = answered.send(());
            }
            let mut stale = shared.stale.lock().unwrap();
            let of_client = stale.iter_mut().find(|((name, stale), _)| *name == client && stale.api() == api);
            if let Some(((_, stale), times)) = of_client
                && stale.set(&mut frame)
            {
                *times += 1;
            }
        }
        if pass(&mut to, &frame).await.is_none() {
            break;
        }
    }
}

impl Shared {
    fn take_hold(&self, api: i16, client: &str) -> Option<Hold> {
        let mut holds = self.holds.lock().unwrap();
        let index = holds.iter().position(|hold| hold.is_for(api, client))?;
        Some(holds.swap_remove(index))
    }

    /// Where a broker names an address, clients get the proxy's.
    fn hide_brokers(&self, answer: &mut [u8]) {
        const HOST: &[u8] = b"127.0.0.1";
        const PORT: usize = size_of::<u32>();
        for at in HOST.len()..(answer.len() + 1).saturating_sub(PORT) {
            if !answer[..at].ends_with(HOST) {
                continue;
            }
            let port = &mut answer[at..at + PORT];
            for (broker, proxy) in &self.ports {
                if *port == u32::from(*broker).to_be_bytes() {
                    port.copy_from_slice(&u32::from(*proxy).to_be_bytes());
                    break;
                }
            }
        }
    }
}
