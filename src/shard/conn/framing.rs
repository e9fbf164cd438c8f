//! The inbound state of a connection for its framing ([`crate::protocol::variant::Framing`]): it makes messages of bytes,
//! and writes the framing's own control frames.
//!
//! Does not know: sockets, the tenant, which framings there are.

use crate::protocol::codes::Close;
use crate::shard::tenant::Caps;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

/// The inbound half of one connection.
pub(in crate::shard) trait Transport {
    /// Takes bytes from `input` until a message is whole or `input` is empty. An answer of the framing itself (a pong,
    /// the answer to a close) is appended to `output` and must be sent *before* any reply to the message.
    ///
    /// # Errors
    /// The code to close with.
    fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
        caps: &Caps,
        inflated: &mut Inflated,
        now_us: u64,
    ) -> Result<Option<Incoming>, Close>;

    /// Whether a message or a part of one is open.
    fn is_open(&self) -> bool;

    /// The last bytes to a peer before its socket is closed.
    fn close(code: Close) -> Bytes;

    /// A frame that makes a silent peer answer.
    fn keep_alive() -> Bytes;
}

pub(in crate::shard) enum Incoming {
    /// A whole text or binary message, a ping (already answered in the output) or a pong.
    Message(Message),
    /// The peer sent a close frame; the answer is in the output.
    PeerClosed,
}

/// Counts of compressed inbound messages.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Inflated {
    pub messages: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub refused: u64,
}
