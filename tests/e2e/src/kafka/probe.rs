//! Whether a broker answers, in Kafka's own protocol: it listens long before it does.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// `ApiVersions` (key 18), version 0, correlation 7, no client id: length and header, no body.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

/// Asks once.
pub(super) fn answers(port: u16) -> bool {
    ask(port).is_ok_and(|answered| answered)
}

fn ask(port: u16) -> std::io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(&API_VERSIONS)?;
    // Length, correlation, error code.
    let mut head = [0; 10];
    stream.read_exact(&mut head)?;
    Ok(head[4..] == [0, 0, 0, 7, 0, 0])
}
