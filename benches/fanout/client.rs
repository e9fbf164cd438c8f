//! The reading process: opens sockets and reads all they give, cheaply.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Sockets from one source address: far below the 28,000 ephemeral ports.
const PER_ADDRESS: usize = 5_000;

/// `port viewers`: connects, says `ready`, then reads until its standard input ends; says what it read.
pub fn main(mut args: impl Iterator<Item = String>) {
    let mut number = || args.next().and_then(|a| a.parse::<usize>().ok()).expect("port, viewers");
    let (port, viewers) = (number(), number());
    super::server::pin(1);
    rlimit::increase_nofile_limit(u64::MAX).expect("RLIMIT_NOFILE can be read");
    let mut poll = Poll::new().expect("a poll");
    let mut sockets: Vec<TcpStream> = (0..viewers).map(|n| connect(port as u16, n / PER_ADDRESS)).collect();
    for (n, socket) in sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(n), Interest::READABLE).expect("registers");
    }
    say("ready");
    let (stop, stopped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if stop.send(line.unwrap_or_default()).is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Events::with_capacity(1_024);
    let (mut bytes, mut began, mut cpu) = (0_u64, Instant::now(), super::server::cpu());
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("polls");
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok((n, _)) = recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                bytes += n as u64;
                if n < buffer.len() {
                    break;
                }
            }
        }
        match stopped.try_recv().as_deref() {
            Ok("begin") => (bytes, began, cpu) = (0, Instant::now(), super::server::cpu()),
            Ok(_) => break,
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            Err(_) => {}
        }
    }
    let busy = (super::server::cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    say(&format!("{bytes} {busy:.3}"));
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent reads");
}

fn connect(port: u16, address: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + address as u8), 0));
    socket.bind(&from.into()).expect("binds");
    let to = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    socket.connect(&to.into()).expect("the server listens");
    socket.set_nonblocking(true).expect("non-blocking");
    TcpStream::from_std(socket.into())
}
