//! The inbound half of a connection without its worker: bytes in, what a worker would see out.
//!
//! For tests outside of the crate (the fuzz targets): the same `Conn::receive` that a shard calls, on a descriptor that
//! nobody reads. It stops where a worker stops listening. Does not know: rooms, tenants, timers.

use crate::protocol::codes::Close;
use crate::protocol::variant::Encoding;
use crate::shard::conn::framing::{Incoming, Inflated, Transport};
use crate::shard::conn::{Conn, Standing};
pub use crate::shard::tenant::Caps;
use std::fs::File;
use std::io;
use tokio_tungstenite::tungstenite::Message;

/// What a worker would see or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// These bytes are to be sent (a pong, the answer to a close frame).
    Wrote(Vec<u8>),
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// The peer closes.
    PeerClosed,
    /// The peer has earned this close code.
    Refused(Close),
}

/// A connection's inbound state.
pub struct Probe(Conn<()>);

impl Probe {
    /// A new connection.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub fn new(caps: Caps) -> io::Result<Self> {
        let conn = Conn::new(File::open("/dev/null")?.into(), 0, Encoding::Json, caps, 0);
        Ok(Self(conn))
    }

    /// Takes bytes that came at `now_us`, and appends what follows from them.
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

    /// When the frame or message that is begun and not finished was begun: the stall timer runs from then on. 0: none is.
    pub fn open_since_us(&self) -> u64 {
        self.0.open_since_us
    }
}
