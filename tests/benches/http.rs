//! What the services' HTTP costs: `cargo bench -p end-to-end-tests --bench http -- [create|read]`.
//!
//! Beside each service runs a bare program, which is the ceiling: the same axum and the same Kafka client, without
//! anything that a service does. Both take turns under the same load; what counts is their ratio.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use end_to_end_tests::World;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// How long one turn takes, and how many count; the first does not.
const TURN: Duration = Duration::from_secs(4);
const TURNS: usize = 5;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [mode, brokers, topic] = arguments.as_slice()
        && mode == "bare"
    {
        return bare(brokers, topic).await;
    }
    let world = World::own_with(&[]).await.with("RUST_LOG", "info");
    let cart = world.cart().await;
    let (_bare, bare) = start_bare(&world).await;
    let runs = |name: &str| arguments.is_empty() || arguments.iter().any(|wanted| wanted == name);
    if runs("create") {
        for connections in [32, 256] {
            compare("create", connections, bare, cart.port(), &create).await;
        }
    }
    if runs("read") {
        // A topic of its own: the load of before is not to be consumed.
        let world = world.anew();
        let (cart, orders) = (world.cart().await, world.orders().await);
        assert_eq!(cart.create("READ-1", 3).await.status, 201);
        orders.order("READ-1", |_| true).await;
        compare("read", 64, bare, orders.port(), &|_| {
            "GET /orders/READ-1 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()
        })
        .await;
    }
}

/// A request for a new order.
fn create(number: u64) -> String {
    let body = format!(r#"{{"orderId": "B-{number}", "itemsCount": 3}}"#);
    let length = body.len();
    format!(
        "POST /create-order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n\
         {body}"
    )
}

/// Lets both take turns; prints what each did in a second, and the median of the ratios.
async fn compare(
    name: &str,
    connections: usize,
    bare: u16,
    service: u16,
    request: &(impl Fn(u64) -> String + Copy + Send + Sync + 'static),
) {
    let mut ratios = Vec::new();
    for turn in 0..=TURNS {
        let ceiling = rate(bare, connections, *request).await;
        let real = rate(service, connections, *request).await;
        println!(
            "{name}, {connections} connections: {real:.0}/s; bare {ceiling:.0}/s; {:.2}",
            real / ceiling
        );
        if turn > 0 {
            ratios.push(real / ceiling);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("{name}, {connections} connections: median ratio {:.2}", ratios[TURNS / 2]);
}

/// Answers a second, with so many connections that each ask as soon as they are answered.
async fn rate(port: u16, connections: usize, request: impl Fn(u64) -> String + Copy + Send + 'static) -> f64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let answered = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + TURN;
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let answered = answered.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
                stream.get_ref().set_nodelay(true).unwrap();
                while Instant::now() < end {
                    let request = request(NUMBER.fetch_add(1, Ordering::Relaxed));
                    stream.get_mut().write_all(request.as_bytes()).await.unwrap();
                    answer(&mut stream).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = answered.load(Ordering::Relaxed) as f64;
    count / TURN.as_secs_f64()
}

/// Reads one answer, which must be a 2xx.
async fn answer(stream: &mut BufReader<TcpStream>) {
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 2"), "{line}");
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
}

/// The bare program, in a process of its own, and its port.
async fn start_bare(world: &World) -> (Child, u16) {
    let bare = world.anew();
    bare.events().create(3, &[]).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["bare", &world.stack().bootstrap_servers(), bare.topic()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    (child, line.trim().parse().unwrap())
}

/// Takes what comes and gives it to Kafka; shows a text of an order's size.
async fn bare(brokers: &str, topic: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .create()
        .unwrap();
    let topic: Arc<str> = topic.into();
    let publish = async |State((producer, topic)): State<(FutureProducer, Arc<str>)>, body: Bytes| {
        let value = [&body[..], &[b'x'; 200]].concat();
        let record = FutureRecord::to(&topic).key(&body[..]).payload(&value);
        producer.send(record, Duration::from_secs(5)).await.unwrap();
        (StatusCode::CREATED, "x".repeat(400))
    };
    let app = Router::new()
        .route("/create-order", post(publish))
        .route("/orders/READ-1", get(|| async { "x".repeat(400) }))
        .with_state((producer, topic));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    axum::serve(listener, app).await.unwrap();
}
