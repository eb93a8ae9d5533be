//! Clients that are slow, rude or many: nothing crashes, nothing stays behind, others are served.

use std::time::{Duration, Instant};

use end_to_end_tests::{Service, World, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the services of these tests wait for a head and for a body.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How many connections are many.
const MANY: u64 = 10_000;

async fn connect(service: &Service) -> TcpStream {
    TcpStream::connect(("127.0.0.1", service.port())).await.unwrap()
}

/// Sends bytes as they are, then reads until the server closes.
async fn say(service: &Service, bytes: &[u8]) -> String {
    let mut stream = connect(service).await;
    // A server that has heard enough may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    rest(stream).await
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn cart() -> Service {
    let world = World::shared().await.with("READ_TIMEOUT", &format!("{}s", READ_TIMEOUT.as_secs()));
    world.cart().await
}

#[tokio::test]
async fn a_slow_head_is_cut_off_and_a_slow_body_is_a_408() {
    let cart = cart().await;
    let began = Instant::now();
    let mut head = connect(&cart).await;
    head.write_all(b"POST /orders HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut body = connect(&cart).await;
    let slow =
        "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    body.write_all(slow.as_bytes()).await.unwrap();
    // Others are served meanwhile.
    assert_eq!(cart.create("A", 1).await.status, 201);
    let answer = rest(head).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = rest(body).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow-request"), "{answer}");
    let took = began.elapsed();
    assert!(took >= READ_TIMEOUT && took < READ_TIMEOUT * 5, "{took:?}");
}

#[tokio::test]
async fn a_client_that_goes_early_is_no_harm() {
    let cart = cart().await;
    let (files, memory) = (open_files(&cart), cart.resident_memory());
    for part in
        ["P", "POST /orders HTTP/1.1\r\n", "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"]
    {
        for _ in 0..100 {
            let mut stream = connect(&cart).await;
            stream.write_all(part.as_bytes()).await.unwrap();
        }
    }
    assert_eq!(cart.create("A", 1).await.status, 201);
    // The connection of that request may stay.
    are_closed(&cart, files + 1).await;
    let more = cart.resident_memory().saturating_sub(memory);
    assert!(more < 8 << 20, "{} MB more", more >> 20);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let orders = World::shared().await.orders().await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let last = "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = one("/health/live") + &one("/orders/nobody") + &one("/health/ready") + last;
    let answer = say(&orders, all.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 4, "{answer}");
    let places =
        ["\"live\"", "unknown-order", "\"ready\"", "There is nothing at"].map(|part| answer.find(part));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer}");
}

#[tokio::test]
async fn a_connection_goes_on_behind_a_chunked_body() {
    let cart = cart().await;
    let body = r#"{"orderId": "CHUNKED", "itemsCount": 1}"#;
    let chunked = format!(
        "POST /create-order HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let answer = say(&cart, (chunked + &request("GET", "/health/live", "")).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("\"live\""), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_no_more() {
    let cart = cart().await;
    let nested = request("POST", "/orders", &"{\"a\":".repeat(100_000));
    let twice = request("POST", "/create-order", r#"{"orderId": "A", "orderId": "B", "itemsCount": 1}"#);
    let huge = request(
        "POST",
        "/create-order",
        &format!(r#"{{"orderId": "A", "itemsCount": {}}}"#, "9".repeat(10_000)),
    );
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    let cases: [(&[u8], &[&str]); 13] = [
        (nested.as_bytes(), &[" 400 "]),
        (twice.as_bytes(), &[" 400 "]),
        (huge.as_bytes(), &[" 400 "]),
        (b"POST /create-order HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd", &[" 400 "]),
        (b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", &[" 400 "]),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", &[" 400 "]),
        (b"POST /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", &[" 501 "]),
        (b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n", &[" 413 "]),
        (b"POST /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", &[" 400 "]),
        (b"\x16\x03\x01 a TLS client", &[" 400 "]),
        (b"GET / HTTP/9.9\r\n\r\n", &[" 400 ", " 505 "]),
        (b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n", &[" 400 "]),
        (long.as_bytes(), &[" 414 ", " 431 "]),
    ];
    for (bytes, expected) in cases {
        let answer = say(&cart, bytes).await;
        let start: String = answer.chars().take(200).collect();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        assert!(
            expected.iter().any(|code| answer.get(..13).is_some_and(|line| line.contains(code))),
            "{shown}: {start}"
        );
    }
    assert_eq!(cart.create("A", 1).await.status, 201);
}

#[tokio::test]
async fn a_body_is_taken_before_its_request_is_refused() {
    let cart = cart().await;
    let head = |path: &str, media_type: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\n")
    };
    let size = 4 << 20;
    let whole = |head: String| {
        [format!("{head}Content-Length: {size}\r\n\r\n").into_bytes(), vec![b' '; size]].concat()
    };
    let chunk = [format!("{:x}\r\n", size / 4).into_bytes(), vec![b' '; size / 4], b"\r\n".to_vec()].concat();
    let chunked = |head: String| {
        [
            format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes(),
            chunk.repeat(4),
            b"0\r\n\r\n".to_vec(),
        ]
        .concat()
    };
    let json = "application/json";
    for (request, status) in [
        (whole(head("/orders", json)), 413),
        (chunked(head("/orders", json)), 413),
        (whole(head("/orders", "text/plain")), 415),
        (whole(head("/nowhere", json)), 404),
        (chunked(head("/health", json)), 405),
    ] {
        let mut stream = connect(&cart).await;
        stream.write_all(&request).await.expect("all of it is taken");
        let answer = rest(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
}

/// Lets this process have many connections, beside the files of other tests.
fn make_room_for_connections() {
    let limit = getrlimit(Resource::Nofile);
    let needed = MANY + 2_000;
    let is_enough = limit.maximum.is_none_or(|maximum| maximum >= needed);
    assert!(is_enough, "this test needs {needed} open files: raise the hard limit (`ulimit -Hn`)");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

async fn open_many(service: &Service) -> Vec<TcpStream> {
    make_room_for_connections();
    let mut idle = Vec::new();
    for _ in 0..MANY {
        idle.push(connect(service).await);
    }
    assert_eq!(service.create("A", 1).await.status, 201, "others are served");
    idle
}

fn open_files(service: &Service) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", service.pid().as_raw_nonzero())).unwrap().count()
}

/// Waits until a service has the files of its connections back: all but so many.
async fn are_closed(service: &Service, but: usize) {
    let closed = async || (open_files(service) <= but).then_some(());
    eventually("the connections are closed", closed).await;
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little_and_end() {
    // Longer than it takes to open them all.
    let cart = World::shared().await.with("READ_TIMEOUT", "15s").cart().await;
    let (before, files) = (cart.resident_memory(), open_files(&cart));
    let idle = open_many(&cart).await;
    let first = cart.resident_memory();
    let each = first.saturating_sub(before) / idle.len() as u64;
    assert!(each < 16 << 10, "{each} bytes a connection");
    drop(idle);
    are_closed(&cart, files + 10).await;

    // Nothing of them has stayed behind: the next ones use the same memory.
    let idle = open_many(&cart).await;
    let more = cart.resident_memory().saturating_sub(first);
    assert!(more < 16 << 20, "{} MB more than the first time", more >> 20);
    // Those that ask nothing are let go.
    are_closed(&cart, files + 10).await;
    drop(idle);
}
