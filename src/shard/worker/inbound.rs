//! From readable sockets to the tenant.

use crate::limits::{MESSAGE_STALL_MS, READS_PER_TURN};
use crate::protocol::codes::Close;
use crate::protocol::variant::Encoding;
use crate::shard::conn::framing::{Incoming, Transport};
use crate::shard::tenant::{Inbound, Tenant};
use crate::shard::worker::Worker;
use crate::shard::worker::wheel::{Hint, HintKind};
use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio_tungstenite::tungstenite::Message;

impl<T: Tenant> Worker<T> {
    /// Reads until the socket has no more bytes or the connection's turn is over.
    pub(in crate::shard) fn readable(&mut self, index: u32) {
        let mut buffer = std::mem::take(&mut self.reading.buffer);
        for _ in 0..READS_PER_TURN {
            let Some(conn) = self.conns.get(index) else { break };
            match recv(&conn.fd, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    self.hang_up(index);
                    break;
                }
                Ok((n, _)) => {
                    self.feed(index, &buffer[..n]);
                    if n < buffer.len() {
                        // The socket is drained: more bytes raise a new edge.
                        self.reading.buffer = buffer;
                        return;
                    }
                }
                Err(Errno::AGAIN) => {
                    self.reading.buffer = buffer;
                    return;
                }
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.hang_up(index);
                    break;
                }
            }
        }
        self.reading.buffer = buffer;
        if let Some(conn) = self.conns.get(index) {
            self.reading.unread.push_back((index, conn.generation));
        }
    }

    /// Reads again from connections whose turn ended before their bytes did.
    pub(in crate::shard) fn read_the_unread(&mut self) {
        for _ in 0..self.reading.unread.len() {
            let Some((index, generation)) = self.reading.unread.pop_front() else { break };
            if self.conns.get(index).is_some_and(|conn| conn.generation == generation) {
                self.readable(index);
            }
        }
    }

    /// Passes bytes to the connection's framing, and whole messages to the tenant.
    pub(in crate::shard) fn feed(&mut self, index: u32, mut input: &[u8]) {
        let now_us = self.now_us;
        let mut output = std::mem::take(&mut self.reading.output);
        while let Some(conn) = self.conns.get_mut(index) {
            conn.heard_us = now_us;
            if conn.is_closing() {
                // Bytes that arrive after our close frame are ignored; they are read so that the peer sees the frame.
                break;
            }
            output.clear();
            let result =
                conn.framing.receive(&mut input, &mut output, &conn.caps, &mut self.report.messages.inflated, now_us);
            conn.date_what_is_open(now_us);
            let is_pong = output.first().is_some_and(|first| first & 0x0f == 0x0a);
            if is_pong {
                self.pong(index, &output);
            } else if !output.is_empty() {
                self.write(index, Bytes::copy_from_slice(&output));
            }
            match result {
                Ok(Some(Incoming::Message(message))) => self.message(index, &message),
                Ok(Some(Incoming::PeerClosed)) => self.linger(index, None),
                Ok(None) => break,
                Err(close) => self.close(index, close),
            }
        }
        self.reading.output = output;
        self.watch_for_a_stall(index);
    }

    fn message(&mut self, index: u32, message: &Message) {
        let (is_text, payload) = match message {
            Message::Text(text) => (true, text.as_bytes()),
            Message::Binary(bytes) => (false, &bytes[..]),
            // Pings are answered already, and pongs have counted as a sign of life.
            _ => return,
        };
        self.report.messages.inbound += 1;
        if self.conns.get(index).is_none() {
            return;
        }
        let to = self.conns.name(index);
        let (tenant, conns, mut cx) = self.split();
        let conn = &mut conns[index];
        if !conn.caps.any_type && is_text != (conn.encoding == Encoding::Json) {
            self.close(index, Close::Unsupported);
            return;
        }
        let Some(session) = conn.session.as_mut() else { return };
        // A bug in the handling of one message must not end the shard's other connections.
        let call = || tenant.message(&mut cx, to, session, Inbound { is_text, payload });
        if catch_unwind(AssertUnwindSafe(call)).is_err() {
            self.report.messages.panics += 1;
            self.close(index, Close::Bug);
        }
        self.carry_out();
    }

    /// An open message has a deadline.
    fn watch_for_a_stall(&mut self, index: u32) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        if conn.open_since_us > 0 && !conn.hints.stall {
            conn.hints.stall = true;
            let hint = Hint { conn: index, generation: conn.generation, kind: HintKind::Stall };
            self.wheel.schedule(self.now_us + MESSAGE_STALL_MS * 1_000, hint);
        }
    }
}
