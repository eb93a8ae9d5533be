//! An HTTP server that stops well.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

/// Before accepting again when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}; PORT and BIND choose another address")]
pub(crate) struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens on an address; port 0 is any free one.
///
/// # Errors
/// The port is taken, or the address is not this machine's.
pub(crate) async fn bind(address: IpAddr, port: u16) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(address, port);
    let listener = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
    if let Err(error) = set_socket_send_buffer_size(&listener, SEND_BUFFER) {
        debug!(%error, "the send buffer stays as it is");
    }
    Ok(listener)
}

/// How long a server waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the head of a request, from the moment at which the connection is free for one. A client that takes
    /// longer is let go (the attack is called Slowloris), and so is one that has nothing to ask.
    pub head: Duration,
    /// For a client that takes nothing of its answer: it holds memory and one of the places for requests.
    pub write: Duration,
    /// For running requests, when the server is to stop.
    pub grace: Duration,
}

/// How much of an answer the system keeps for a client that is slower than the service, in bytes. A connection inherits
/// it from the one that listens. The system's own choice is megabytes, of which a third must go before it asks for more:
/// a slow client would seem to take nothing for minutes.
const SEND_BUFFER: usize = 128 * 1024;

/// Lets the process have as many connections as the system allows it: the usual limit is 1024, and is there for
/// programs that use `select(2)`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        debug!(%error, "the limit of open files stays as it is");
    }
}

/// Serves until `shutdown`, then takes no new connection and lets those that are open finish their requests.
pub async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken, patience: Patience) {
    raise_file_limit();
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listening");
    }
    let connections = GracefulShutdown::new();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => spawn(stream, peer, &app, patience, &connections),
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let grace = patience.grace;
    if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
        warn!(?grace, "requests were still running when the time was up");
    }
}

fn spawn(
    stream: TcpStream,
    peer: SocketAddr,
    app: &Router,
    patience: Patience,
    connections: &GracefulShutdown,
) {
    // An answer is written at once and not held back for more (Nagle).
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection was gone at once");
        return;
    }
    let service = TowerToHyperService::new(app.clone().map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    }));
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(patience.write));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a connection ended early");
        }
    });
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::{MethodRouter, get};
    use futures_util::{Stream, StreamExt, stream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(5),
        write: Duration::from_millis(200),
        grace: Duration::from_secs(5),
    };

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        server: JoinHandle<()>,
    }

    impl Running {
        async fn start(handler: MethodRouter, patience: Patience) -> Self {
            let listener = bind([127, 0, 0, 1].into(), 0).await.unwrap();
            let address = listener.local_addr().unwrap();
            let stop = CancellationToken::new();
            let app = Router::new().route("/", handler);
            let server = tokio::spawn(serve(listener, app, stop.clone(), patience));
            Self { address, stop, server }
        }
    }

    /// More than any buffer takes.
    fn endless() -> impl Stream<Item = io::Result<Vec<u8>>> {
        stream::repeat_with(|| Ok(vec![b'x'; 65_536]))
    }

    #[tokio::test]
    async fn a_request_that_runs_is_finished_and_no_new_connection_is_taken() {
        let entered = std::sync::Arc::new(Notify::new());
        let proceed = std::sync::Arc::new(Notify::new());
        let (enter, go) = (entered.clone(), proceed.clone());
        let handler = move || {
            let (enter, go) = (enter.clone(), go.clone());
            async move {
                enter.notify_one();
                go.notified().await;
                "done"
            }
        };
        let Running { address, stop, server } = Running::start(get(handler), PATIENCE).await;

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        entered.notified().await;
        stop.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        proceed.notify_one();

        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
        struct Sent(CancellationToken);
        impl Drop for Sent {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let over = CancellationToken::new();
        let given_up = over.clone();
        let handler = move || async move {
            let sent = Sent(given_up);
            Body::from_stream(endless().inspect(move |_| _ = &sent))
        };
        let Running { address, stop, server } = Running::start(get(handler), PATIENCE).await;

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        tokio::time::timeout(PATIENCE.grace, over.cancelled()).await.unwrap();
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_slow_and_reads_on_is_served() {
        let handler = || async { Body::from_stream(endless()) };
        let patience = Patience { write: Duration::from_secs(1), grace: Duration::ZERO, ..PATIENCE };
        let Running { address, stop, server } = Running::start(get(handler), patience).await;

        // What its own system keeps for it counts as taken.
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(65_536).unwrap();
        let mut client = client.connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        // Three times the time-out, and more than what is in buffers when it is over.
        let began = std::time::Instant::now();
        let (mut buffer, mut received) = (vec![0; 65_536], 0);
        while began.elapsed() < 3 * patience.write || received < 10_000_000 {
            let slow = began.elapsed() < 3 * patience.write;
            let length = client.read(&mut buffer).await.unwrap();
            assert!(length > 0, "closed after {received} bytes and {:?}", began.elapsed());
            received += length;
            if slow {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        stop.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_a_clear_error() {
        let taken = bind([127, 0, 0, 1].into(), 0).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address.ip(), address.port()).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("PORT"), "{error}");
    }
}
