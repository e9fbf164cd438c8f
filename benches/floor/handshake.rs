//! The floor of a handshake: one thread that accepts, reads a request, answers it with 101 and a prepared welcome in
//! one write, and keeps the socket registered. It checks and counts nothing and never closes. No server can cost less.
//!
//! A server for `loadgen --room load`, as `volley` is: `bare_handshake 127.0.0.1:18480`, ended by a signal.

#![allow(missing_docs, clippy::print_stdout)]

use bytes::Bytes;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use slab::Slab;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use volley::protocol::encode;
use volley::protocol::message::ServerMessage;
use volley::protocol::variant::Encoding;

const LISTENER: Token = Token(usize::MAX);

const WELCOME: &str = r#"{"welcome":{"room":"load","session":"1","you":{"id":"1","name":"guest-1"},"recovered":false,
    "epoch":"1","last":0,"tick_ms":100,"snapshot":{"likes":0,"online":1,"events":[]}}}"#;

fn welcome() -> Bytes {
    let message: ServerMessage = serde_json::from_str(WELCOME).expect("as the wire says");
    encode::message(&message, Encoding::Json)
}

fn listen(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None).expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.set_tcp_nodelay(true).expect("TCP_NODELAY");
    socket.bind(&address.into()).expect("the address is free");
    socket.listen(4_096).expect("listens");
    socket
}

/// Answers a complete request; returns false if it is incomplete.
fn answer(socket: &OwnedFd, buffer: &mut [u8; 4_096], welcome: &[u8]) -> bool {
    let Ok((n, _)) = recv(socket, &mut buffer[..], RecvFlags::empty()) else { return false };
    let Ok(head) = std::str::from_utf8(&buffer[..n]) else { return false };
    let Some((_, rest)) = head.split_once("Sec-WebSocket-Key: ") else { return false };
    let accept = derive_accept_key(rest.split("\r\n").next().unwrap_or_default().as_bytes());
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\
         sec-websocket-protocol: volley.v1.json\r\n\r\n"
    )
    .into_bytes();
    out.extend_from_slice(welcome);
    send(socket, &out, SendFlags::NOSIGNAL).is_ok()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(address) = arguments.next().and_then(|argument| argument.parse().ok()) else {
        println!("usage: bare_handshake ADDRESS");
        return;
    };
    let _ = rlimit::increase_nofile_limit(20_000);
    let (listener, welcome) = (listen(address), welcome());
    let mut poll = Poll::new().expect("epoll");
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE).expect("registers");
    let (mut events, mut sockets, mut buffer) = (Events::with_capacity(1_024), Slab::new(), [0; 4_096]);
    loop {
        if poll.poll(&mut events, None).is_err() {
            continue;
        }
        for event in &events {
            if event.token() != LISTENER {
                if let Some(socket) = sockets.get(event.token().0) {
                    answer(socket, &mut buffer, &welcome);
                }
                continue;
            }
            loop {
                match accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    Ok(socket) => {
                        let entry = sockets.vacant_entry();
                        let (fd, token) = (socket.as_raw_fd(), Token(entry.key()));
                        poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE).expect("registers");
                        entry.insert(socket);
                    }
                    Err(Errno::AGAIN) => break,
                    Err(error) => panic!("accept: {error}"),
                }
            }
        }
    }
}
