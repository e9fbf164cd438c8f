//! The inbound half of a connection without its worker: takes bytes, and returns what a worker would see.
//!
//! For tests outside of the crate (the fuzz targets): the same `Transport::receive` that a shard calls, on a descriptor
//! that is never read. It stops at the first error or close, as a worker does. Does not know: rooms, tenants, timers.

use crate::protocol::codes::Close;
use crate::protocol::variant::Encoding;
use crate::shard::conn::framing::{Incoming, Inflated, Transport};
use crate::shard::conn::{Conn, Standing};
pub use crate::shard::tenant::Caps;
use std::fs::File;
use std::io;
use tokio_tungstenite::tungstenite::Message;

/// One thing that a worker would see or send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Bytes for the peer: a pong, or the answer to a close frame.
    Wrote(Vec<u8>),
    Text(String),
    Binary(Vec<u8>),
    /// The peer sent a close frame.
    PeerClosed,
    /// The connection is closed with this code.
    Refused(Close),
}

/// The inbound state of one connection without a socket.
pub struct Probe(Conn<()>);

impl Probe {
    /// A new connection.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn new(caps: Caps) -> io::Result<Self> {
        let conn = Conn::new(File::open("/dev/null")?.into(), 0, Encoding::Json, caps, 0);
        Ok(Self(conn))
    }

    /// Takes bytes that arrived at `now_us`, and appends the observations to `seen`.
    pub fn feed(&mut self, mut input: &[u8], now_us: u64, seen: &mut Vec<Observed>) {
        let mut output = Vec::new();
        while !self.0.is_closing() {
            let result =
                self.0.framing.receive(&mut input, &mut output, &self.0.caps, &mut Inflated::default(), now_us);
            self.0.date_what_is_open(now_us);
            if !output.is_empty() {
                seen.push(Observed::Wrote(std::mem::take(&mut output)));
            }
            let end = match result {
                Ok(Some(Incoming::Message(Message::Text(text)))) => {
                    seen.push(Observed::Text(text.as_str().to_owned()));
                    continue;
                }
                Ok(Some(Incoming::Message(Message::Binary(bytes)))) => {
                    seen.push(Observed::Binary(bytes.to_vec()));
                    continue;
                }
                Ok(Some(Incoming::Message(_))) => continue,
                Ok(None) => return,
                Ok(Some(Incoming::PeerClosed)) => Observed::PeerClosed,
                Err(close) => Observed::Refused(close),
            };
            seen.push(end);
            self.0.standing = Standing::Closing(None);
        }
    }

    /// When the open frame or message began, in monotonic microseconds: the stall timer runs from then on. 0 if none is
    /// open.
    pub fn open_since_us(&self) -> u64 {
        self.0.open_since_us
    }
}
