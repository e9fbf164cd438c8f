//! How many comments each of Volley's frames holds, so that 5,000 copies of a frame are not parsed 5,000 times.
//!
//! A frame is known by its positions and its length. The viewers of the sample read it whole and count its comments; for
//! the others the positions are enough. Who comes before the sample has to wait for it.

use std::collections::{HashMap, VecDeque};

/// Frames that are remembered: far more than a viewer lags behind within Volley's ring.
const FRAMES_MAX: usize = 4_096;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    prev: u64,
    last: u64,
    bytes: usize,
}

#[derive(Default)]
struct Known {
    comments: Option<u64>,
    /// Copies seen before anybody has read one.
    unread: u64,
}

#[derive(Default)]
pub struct Frames {
    known: HashMap<Key, Known>,
    order: VecDeque<Key>,
}

impl Frames {
    /// A copy of a frame has come, `whole` if all of it is there to read. Gives the comments that this lets us count.
    pub fn seen(&mut self, prev: u64, last: u64, bytes: usize, whole: Option<&[u8]>) -> u64 {
        if prev == last {
            return 0; // Counters alone.
        }
        let key = Key { prev, last, bytes };
        let known = self.known.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Known::default()
        });
        let found = match (known.comments, whole) {
            (Some(comments), _) => comments,
            (None, Some(body)) => {
                let comments = count(body);
                known.comments = Some(comments);
                comments * (1 + std::mem::take(&mut known.unread))
            }
            (None, None) => {
                known.unread += 1;
                0
            }
        };
        if self.order.len() > FRAMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        found
    }
}

/// Comments in a frame. What people say here has no quotation marks.
fn count(body: &[u8]) -> u64 {
    const EVENT: &[u8] = b"{\"offset\":";
    body.windows(EVENT.len()).filter(|window| *window == EVENT).count() as u64
}
