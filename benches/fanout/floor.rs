//! The floor: a loop of `send`s of the same bytes to every socket, with or without joining. No server can cost less.

use super::server::{Burst, Sender, Sent};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

pub struct Floor {
    orders: SyncSender<Burst>,
    answers: Receiver<Sent>,
    goes_on: Arc<AtomicBool>,
    is_sending: bool,
    sent: Sent,
}

impl Floor {
    pub fn new(sockets: Vec<TcpStream>) -> Self {
        let (orders, to_do) = sync_channel::<Burst>(1);
        let (done, answers) = sync_channel(1);
        let goes_on = Arc::new(AtomicBool::new(false));
        let flag = goes_on.clone();
        std::thread::spawn(move || {
            for burst in to_do {
                if done.send(flood(&sockets, burst, &flag)).is_err() {
                    return;
                }
            }
        });
        Self { orders, answers, goes_on, is_sending: false, sent: Sent::default() }
    }
}

impl Sender for Floor {
    fn begin(&mut self, burst: Burst) {
        self.goes_on.store(true, Ordering::Relaxed);
        self.is_sending = true;
        self.orders.send(burst).expect("the loop runs");
    }

    fn end(&mut self) -> Sent {
        if std::mem::take(&mut self.is_sending) {
            self.goes_on.store(false, Ordering::Relaxed);
            let more = self.answers.recv().expect("the loop runs");
            self.sent.deliveries += more.deliveries;
            self.sent.bytes += more.bytes;
            self.sent.sends += more.sends;
        }
        self.sent
    }
}

/// One `send` of `join` frames per socket and turn. It waits for blocked sockets, so that no frame is left out. It also
/// checks one socket in a hundred for inbound bytes, as any server must.
fn flood(sockets: &[TcpStream], burst: Burst, goes_on: &AtomicBool) -> Sent {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let join = if burst.interval_us > 0 { 1 } else { burst.join };
    let joined: Vec<u8> = super::server::frame(burst.bytes).repeat(join);
    let mut next = Instant::now();
    let mut sent = Sent::default();
    let mut scratch = [0; 16];
    while goes_on.load(Ordering::Relaxed) {
        for (n, socket) in sockets.iter().enumerate() {
            let mut rest = &joined[..];
            while !rest.is_empty() {
                sent.sends += 1;
                match send(socket, rest, flags) {
                    Ok(taken) => rest = &rest[taken..],
                    Err(rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                    Err(error) => panic!("a viewer is gone: {error}"),
                }
            }
            if n % 100 == 0 {
                let _ = recv(socket, &mut scratch[..], RecvFlags::DONTWAIT);
            }
        }
        sent.deliveries += (sockets.len() * join) as u64;
        sent.bytes += (sockets.len() * joined.len()) as u64;
        if burst.interval_us > 0 {
            next += Duration::from_micros(burst.interval_us);
            std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
    }
    sent
}
