//! What a connection keeps and does for its framing ([`crate::protocol::variant::Framing`]): how its bytes become
//! messages, and what it sends besides messages.
//!
//! Does not know: sockets, the tenant, which framings there are.

use crate::protocol::codes::Close;
use crate::shard::tenant::Caps;
use bytes::Bytes;
use tokio_tungstenite::tungstenite::Message;

/// The inbound half of one connection.
pub(in crate::shard) trait Transport {
    /// Takes bytes from `input` until a message is whole or nothing is left. An answer of the framing itself (a pong,
    /// the answer to a close) is appended to `output` and belongs *before* any reply to the message.
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

    /// Whether a message or a part of one was begun and not finished.
    fn is_open(&self) -> bool;

    /// The last bytes to a peer before its socket is closed.
    fn close(code: Close) -> Bytes;

    /// What makes a silent peer show that it is there.
    fn keep_alive() -> Bytes;
}

/// What came in.
pub(in crate::shard) enum Incoming {
    /// A whole text or binary message, or a ping (already answered into the output) or pong.
    Message(Message),
    /// The peer closes; the answer is in the output.
    PeerClosed,
}

/// Compressed messages that came in.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::shard) struct Inflated {
    pub messages: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub refused: u64,
}
