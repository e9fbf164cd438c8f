//! The process that connects, and then only listens.

use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Sockets per source address: far below the 28,000 ephemeral ports.
const PER_ADDRESS: usize = 10_000;

/// `address viewers`. At each line `N` it connects N more viewers, waits until each has its welcome, and prints `in`.
pub fn main(address: &str, viewers: usize) {
    rlimit::increase_nofile_limit(u64::MAX).expect("RLIMIT_NOFILE can be read");
    let address: SocketAddr = address.parse().expect("an address");
    let mut sockets = Vec::with_capacity(viewers);
    for line in std::io::stdin().lock().lines() {
        let more: usize = line.ok().and_then(|line| line.parse().ok()).expect("a number");
        // A storm: all connect at the same time.
        let first = sockets.len();
        for n in first..first + more {
            sockets.push(connect(address, n / PER_ADDRESS));
        }
        sockets[first..].iter_mut().for_each(welcomed);
        println!("in");
    }
}

fn connect(to: SocketAddr, address: usize) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + address as u8), 0));
    socket.bind(&from.into()).expect("binds");
    socket.connect(&to.into()).expect("the node listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let request = format!(
        "GET /v1/rooms/idle/ws HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("writes");
    stream
}

fn welcomed(stream: &mut TcpStream) {
    let (mut got, mut buffer) = (Vec::new(), [0; 2_048]);
    while !got.windows(11).any(|w| w == b"{\"welcome\":") {
        let n = stream.read(&mut buffer).expect("an answer");
        assert!(n > 0, "refused: {}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..n]);
    }
}
