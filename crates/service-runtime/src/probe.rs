//! The `healthcheck` subcommand: asks a running service on this machine whether it is ready, so that an image
//! needs no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use crate::settings;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Success if `GET /health/ready` answers 200 in time, of the service that listens on this address of this machine.
pub(crate) fn ready(bind: IpAddr, port: u16) -> ExitCode {
    let host = match bind {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    let address = SocketAddr::new(host, port);
    match status_line(address) {
        Ok(line) if line.contains(" 200 ") => ExitCode::SUCCESS,
        Ok(line) => fail(address, &line),
        Err(error) => fail(address, &error.to_string()),
    }
}

fn fail(address: SocketAddr, reason: &str) -> ExitCode {
    settings::complain(&format!("the service at {address} is not ready: {reason}"));
    ExitCode::FAILURE
}

fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 64];
    let length = connection.read(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer[..length]);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
