//! The stand-in for a service: ready at once, tells its environment, stops on SIGTERM, and dies when told to.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it logs like a service")]

use std::env;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// Not a test of anything: it returns at once unless [`crate::site::Site::run`] made this process a stand-in.
#[test]
fn stand_in() {
    if env::var_os("STAND_IN").is_none() {
        return;
    }
    if env::var_os("STAND_IN_REFUSES").is_some() {
        eprintln!("stand-in: my configuration is wrong");
        std::process::exit(3);
    }
    let port: u16 = env::var("PORT").unwrap().parse().unwrap();
    stop_on_sigterm();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    println!("stand-in: listening");
    for connection in listener.incoming() {
        answer(connection.unwrap());
    }
}

/// Tells whether the broker was still there to finish the work with.
fn stop_on_sigterm() {
    let mut signals = Signals::new([SIGTERM]).unwrap();
    thread::spawn(move || {
        signals.forever().next();
        let broker = TcpStream::connect(env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap()).is_ok();
        println!("stand-in: stopping {} the broker", if broker { "before" } else { "after" });
        std::process::exit(0);
    });
}

fn answer(mut connection: TcpStream) {
    let mut request = String::new();
    let mut lines = BufReader::new(connection.try_clone().unwrap());
    while lines.read_line(&mut request).unwrap() > 2 {}
    if request.starts_with("GET /die ") {
        println!("stand-in: told to die");
        std::process::exit(3);
    }
    let mut body = format!("PID={}\n", std::process::id());
    for (name, value) in env::vars() {
        writeln!(body, "{name}={value}").unwrap();
    }
    write!(
        connection,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}
