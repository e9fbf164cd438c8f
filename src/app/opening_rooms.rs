//! Rooms that are being opened, and the items that wait for them. When a room is open, its items are played in the order
//! of their arrival.
//!
//! Does not know: how a room is opened, or how an item is played.

use super::mail::JoinRequest;
use super::post_mail::PostMail;
use crate::limits::OPENING_WAIT_MAX;
use crate::policy::said::Said;
use crate::protocol::local::{ConnRef, RoomKey};
use std::collections::{HashMap, VecDeque};

/// An item that came for a room before it was open.
pub(super) enum Wait {
    Join(Box<JoinRequest>),
    /// An operation of a client.
    Said {
        from: ConnRef,
        said: Said,
    },
    /// Events of the show's owner.
    Post(Box<PostMail>),
}

/// All rooms of one shard that are being opened. Bounded by the registry; the items of all rooms together are bounded by
/// [`OPENING_WAIT_MAX`].
#[derive(Default)]
pub(super) struct OpeningRooms {
    rooms: HashMap<RoomKey, VecDeque<Wait>>,
    /// The rooms of `rooms` that are open now. Their items are played before anything else reaches them.
    open: VecDeque<RoomKey>,
    waiting: usize,
}

impl OpeningRooms {
    /// The room is being opened from now on.
    pub(super) fn begin(&mut self, room: RoomKey) {
        self.rooms.insert(room, VecDeque::new());
    }

    /// Whether items for the room have to wait.
    pub(super) fn holds(&self, room: RoomKey) -> bool {
        self.rooms.contains_key(&room)
    }

    /// Adds an item for a room that [`OpeningRooms::holds`].
    ///
    /// # Errors
    /// Gives the item back when the limit is reached.
    pub(super) fn add(&mut self, room: RoomKey, wait: Wait) -> Result<(), Wait> {
        match self.rooms.get_mut(&room) {
            Some(line) if self.waiting < OPENING_WAIT_MAX => {
                self.waiting += 1;
                line.push_back(wait);
                Ok(())
            }
            _ => Err(wait),
        }
    }

    /// The room is open now; its items come next.
    pub(super) fn opened(&mut self, room: RoomKey) {
        self.open.push_back(room);
    }

    /// Whether an open room may have items to play.
    pub(super) fn is_due(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next item to play; `None` when no open room has any.
    pub(super) fn next(&mut self) -> Option<(RoomKey, Wait)> {
        while let Some(&room) = self.open.front() {
            if let Some(wait) = self.rooms.get_mut(&room).and_then(VecDeque::pop_front) {
                self.waiting -= 1;
                return Some((room, wait));
            }
            self.open.pop_front();
            self.rooms.remove(&room);
        }
        None
    }

    /// The room cannot be opened; returns the items that waited for it.
    pub(super) fn fail(&mut self, room: RoomKey) -> VecDeque<Wait> {
        let line = self.rooms.remove(&room).unwrap_or_default();
        self.waiting -= line.len();
        line
    }

    /// Takes the items of all rooms, for a drain; the rooms are still being opened.
    pub(super) fn empty(&mut self) -> Vec<Wait> {
        self.waiting = 0;
        self.rooms.values_mut().flat_map(std::mem::take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: RoomKey = RoomKey(1);
    const B: RoomKey = RoomKey(2);

    fn like(count: u64) -> Wait {
        Wait::Said { from: ConnRef { shard: 0, index: 0, generation: 0 }, said: Said::Like(count) }
    }

    fn played(openings: &mut OpeningRooms) -> Vec<(RoomKey, u64)> {
        let mut played = Vec::new();
        while let Some((room, Wait::Said { said: Said::Like(count), .. })) = openings.next() {
            played.push((room, count));
        }
        played
    }

    #[test]
    fn what_waited_is_played_in_its_order_and_before_what_comes_later() {
        let mut openings = OpeningRooms::default();
        openings.begin(A);
        openings.begin(B);
        for n in 0..3 {
            assert!(openings.add(A, like(n)).is_ok() && openings.add(B, like(10 + n)).is_ok());
        }
        assert!(openings.next().is_none() && !openings.is_due(), "nothing is open");
        openings.opened(B);
        assert!(openings.is_due());
        let Some((B, Wait::Said { said: Said::Like(10), .. })) = openings.next() else { panic!() };
        assert!(openings.add(B, like(13)).is_ok(), "the line is not through yet");
        assert_eq!(played(&mut openings), [(B, 11), (B, 12), (B, 13)]);
        assert!(!openings.holds(B) && openings.holds(A) && !openings.is_due());
        assert_eq!(openings.fail(A).len(), 3);
        assert!(!openings.holds(A) && openings.waiting == 0);
    }

    #[test]
    fn the_line_is_bounded_over_all_rooms() {
        let mut openings = OpeningRooms::default();
        openings.begin(A);
        openings.begin(B);
        assert!((0..OPENING_WAIT_MAX as u64 - 1).all(|n| openings.add(A, like(n)).is_ok()));
        assert!(openings.add(B, like(1)).is_ok());
        assert!(openings.add(B, like(2)).is_err() && openings.add(A, like(3)).is_err());
        openings.opened(B);
        assert_eq!(played(&mut openings), [(B, 1)]);
        assert!(openings.add(A, like(3)).is_ok(), "its place is free again");
        assert_eq!(openings.empty().len(), OPENING_WAIT_MAX);
        assert!(openings.holds(A));
        assert!(openings.add(A, like(4)).is_ok());
    }
}
