//! The `healthcheck` subcommand: asks a running service on this machine whether it is ready, so that an image
//! needs no curl.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::settings;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Success if `GET /health/ready` on 127.0.0.1:`port` answers 200 in time.
pub fn ready(port: u16) -> ExitCode {
    match status_line(port) {
        Ok(line) if line.contains(" 200 ") => ExitCode::SUCCESS,
        Ok(line) => fail(port, &line),
        Err(error) => fail(port, &error.to_string()),
    }
}

fn fail(port: u16, reason: &str) -> ExitCode {
    settings::complain(&format!("the service on port {port} is not ready: {reason}"));
    ExitCode::FAILURE
}

fn status_line(port: u16) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 64];
    let length = connection.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
