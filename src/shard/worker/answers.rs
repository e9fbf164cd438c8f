//! Answers to connections that are not sent yet in this duty cycle.
//!
//! Each write wakes a waiting peer, so writes are joined: a newcomer's 101 goes with the welcome, and a subscriber's
//! ack goes with the frame that shows the comment.
//!
//! Does not know: sockets, frames.

use std::collections::HashMap;

/// Bytes that wait for a write, by the index of their connection. Empty between duty cycles.
#[derive(Debug, Default)]
pub(in crate::shard) struct Answers {
    waiting: HashMap<u32, Vec<u8>>,
    /// The subscribers among them, in order. One may stand here twice, or after its answer was sent.
    subscribers: Vec<u32>,
}

impl Answers {
    /// Keeps the first bytes for a new connection.
    pub(in crate::shard) fn begin(&mut self, conn: u32, bytes: Vec<u8>) {
        self.waiting.insert(conn, bytes);
    }

    /// Adds a whole message for a subscriber; returns how many bytes wait for it now.
    pub(in crate::shard) fn add(&mut self, conn: u32, message: &[u8]) -> usize {
        let waiting = self.waiting.entry(conn).or_default();
        waiting.extend_from_slice(message);
        self.subscribers.push(conn);
        waiting.len()
    }

    /// Takes the bytes that wait for the connection; the caller sends them.
    pub(in crate::shard) fn take(&mut self, conn: u32) -> Option<Vec<u8>> {
        if self.waiting.is_empty() { None } else { self.waiting.remove(&conn) }
    }

    /// Takes the list of subscribers for which answers may wait.
    pub(in crate::shard) fn take_subscribers(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.subscribers)
    }

    /// Returns the list of [`Answers::take_subscribers`], to reuse its memory.
    pub(in crate::shard) fn reuse_subscribers(&mut self, list: Vec<u32>) {
        self.subscribers = list;
    }

    /// Takes all answers that still wait at the end of a cycle.
    pub(in crate::shard) fn take_all(&mut self) -> HashMap<u32, Vec<u8>> {
        self.subscribers.clear();
        std::mem::take(&mut self.waiting)
    }

    /// Returns the emptied map of [`Answers::take_all`], to reuse its memory.
    pub(in crate::shard) fn reuse(&mut self, emptied: HashMap<u32, Vec<u8>>) {
        self.waiting = emptied;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_one_connection_go_together_and_once() {
        let mut answers = Answers::default();
        answers.begin(1, b"101".to_vec());
        assert_eq!((answers.add(2, b"ack 1 "), answers.add(2, b"ack 2")), (6, 11));
        assert_eq!(answers.take(2), Some(b"ack 1 ack 2".to_vec()));
        assert_eq!(answers.take(2), None, "it was the caller's to send");
        let subscribers = answers.take_subscribers();
        assert_eq!(subscribers, [2, 2], "a newcomer waits for its welcome instead");
        answers.reuse_subscribers(Vec::new());
        let rest = answers.take_all();
        assert_eq!(rest.into_iter().collect::<Vec<_>>(), [(1, b"101".to_vec())]);
        assert!(answers.take_all().is_empty());
    }
}
