//! The floor: a server that only sends. It uses one non-blocking `send` per viewer and message, in the order of a list;
//! or, joined, one per viewer for all messages that have arrived meanwhile. It has no bounds, checks or history, and is
//! not meant for use.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::net::{SendFlags, send};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const LISTENER: Token = Token(usize::MAX);

#[derive(Default)]
struct Floor {
    viewers: Vec<TcpStream>,
    is_joined: bool,
}

/// Serves the port until the process is ended.
///
/// # Errors
/// No port, no listener.
pub fn main(is_joined: bool, args: &[String]) -> Result<(), String> {
    serve(is_joined, args.first().and_then(|a| a.parse().ok()).ok_or("bare PORT")?).map_err(|e| e.to_string())
}

fn serve(is_joined: bool, port: u16) -> std::io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1_024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor { is_joined, ..Floor::default() };
    // Connections without a role yet, and publishers, each with its incomplete input.
    let mut talkers: HashMap<Token, (TcpStream, Vec<u8>, bool)> = HashMap::new();
    let (mut next, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    prepare(&stream)?;
                    next += 1;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    talkers.insert(Token(next), (stream, Vec::new(), false));
                }
                continue;
            }
            let Some((mut stream, mut said, mut publishes)) = talkers.remove(&event.token()) else { continue };
            let stays = loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break false,
                    Ok(read) => said.extend_from_slice(&buffer[..read]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                    Err(_) => break false,
                }
            };
            if !publishes && let Some(end) = said.windows(4).position(|w| w == b"\r\n\r\n") {
                stream.write_all(answer(&said[..end]).as_bytes())?;
                publishes = said.starts_with(b"GET /pub ");
                said.drain(..end + 4);
                if !publishes {
                    poll.registry().deregister(&mut stream)?;
                    floor.viewers.push(stream);
                    continue;
                }
            }
            if publishes {
                floor.publish(&mut said);
            }
            if stays {
                talkers.insert(event.token(), (stream, said, publishes));
            }
        }
    }
}

/// The socket options that Volley sets.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(32 << 10)
}

fn answer(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

impl Floor {
    /// Forwards the whole frames at the start of `said`, and removes them.
    fn publish(&mut self, said: &mut Vec<u8>) {
        let (mut taken, mut out) = (0, Vec::new());
        while let Some((text, bytes)) = unmask(&said[taken..]) {
            frame(&text, &mut out);
            taken += bytes;
            if !self.is_joined {
                self.send(&out);
                out.clear();
            }
        }
        said.drain(..taken);
        if !out.is_empty() {
            self.send(&out);
        }
    }

    /// Waits for a blocked viewer, so that no message is left out; removes one that has disconnected.
    fn send(&mut self, bytes: &[u8]) {
        self.viewers.retain(|viewer| {
            let mut rest = bytes;
            while !rest.is_empty() {
                match send(viewer, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                    Err(_) => return false,
                }
            }
            true
        });
    }
}

/// A client's frame: its payload, and how many bytes it took; frames of 64 KiB and more are not made here.
fn unmask(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (header, length) = match bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        short => (2, usize::from(short)),
    };
    let key = bytes.get(header..header + 4)?;
    let payload = bytes.get(header + 4..header + 4 + length)?;
    Some((payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect(), header + 4 + length))
}

fn frame(text: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    if text.len() < 126 {
        out.push(text.len() as u8);
    } else {
        out.push(126);
        out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    }
    out.extend_from_slice(text);
}
