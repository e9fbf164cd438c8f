//! The publishers: their messages, schedule and unsent bytes.

use super::latency::STAMP_DIGITS;
use super::speaks::Speaks;
use mio::net::TcpStream;
use rustix::net::{SendFlags, send};
use std::fmt::Write;

/// Connections that publish, in turns.
pub const PUBLISHERS: usize = 4;
/// Bytes that may wait for a peer that does not read; further messages count as offered and are not sent.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// The size of a message.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A message (for Volley: a text) of this many bytes.
    Bytes(usize),
    /// A comment of 12 to 30 Chinese characters.
    Comment,
}

/// One per measurement.
pub struct Press {
    speaks: Speaks,
    waiting: [Vec<u8>; PUBLISHERS],
    turn: usize,
    random: u64,
    message: String,
    /// Messages and comments that were due, sent or not.
    pub offered: u64,
    /// How many of these the peer did not accept.
    pub unsent: u64,
}

impl Press {
    pub fn new(speaks: Speaks) -> Self {
        let waiting = std::array::from_fn(|_| Vec::new());
        Self { speaks, waiting, turn: 0, random: 0x9e37_79b9_7f4a_7c15, message: String::new(), offered: 0, unsent: 0 }
    }

    /// A number below `bound`, the same in every run.
    fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// One message, due at `due_ns`.
    pub fn say(&mut self, shape: Shape, due_ns: u64) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        let user = self.random(10_000);
        let begun = match self.speaks {
            // Volley adds the user itself.
            Speaks::Volley => write!(message, "{{\"comment\":{{\"text\":\"{due_ns:0STAMP_DIGITS$x}"),
            _ => write!(message, "{{\"user\":\"guest {user:04}\",\"text\":\"{due_ns:0STAMP_DIGITS$x}"),
        };
        begun.expect("a String takes every write");
        let end = if self.speaks == Speaks::Volley { "\"}}" } else { "\"}" };
        match shape {
            Shape::Bytes(bytes) => {
                let has = if self.speaks == Speaks::Volley { STAMP_DIGITS } else { message.len() + end.len() };
                message.extend((b'a'..=b'z').cycle().take(bytes.saturating_sub(has)).map(char::from));
            }
            Shape::Comment => {
                for _ in 0..12 + self.random(19) {
                    // The common ideographs: three bytes each.
                    let one = char::from_u32(0x4e00 + self.random(0x5000) as u32);
                    message.push(one.expect("an ideograph"));
                }
            }
        }
        message.push_str(end);
        self.offered += 1;
        if !self.queue(&message) {
            self.unsent += 1;
        }
        self.message = message;
    }

    /// A like for Volley.
    pub fn like(&mut self) {
        self.queue("{\"like\":{\"count\":1}}");
    }

    /// For all others: the likes so far, in one message.
    pub fn likes(&mut self, total: u64) {
        self.queue(&format!("{{\"likes\":{total}}}"));
    }

    fn queue(&mut self, message: &str) -> bool {
        self.turn = (self.turn + 1) % PUBLISHERS;
        let waiting = &mut self.waiting[self.turn];
        let fits = waiting.len() < WAITING_BYTES_MAX;
        if fits {
            self.speaks.publish(message, waiting);
        }
        fits
    }

    /// Writes the bytes that the peer accepts now.
    ///
    /// # Errors
    /// A publisher's connection was closed.
    pub fn write<'a>(&mut self, publishers: impl Iterator<Item = &'a TcpStream>) -> Result<(), String> {
        for (waiting, socket) in self.waiting.iter_mut().zip(publishers) {
            while !waiting.is_empty() {
                match send(socket, waiting, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(sent) => drop(waiting.drain(..sent)),
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(error) => return Err(format!("a publisher's connection broke: {error}")),
                }
            }
        }
        Ok(())
    }
}
