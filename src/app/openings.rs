//! Rooms that are being opened, and who waits for them meanwhile: played in the order of arrival when they are open.
//!
//! Does not know: how a room is opened, or what is done with those who waited.

use super::mail::Newcomer;
use super::posts::Letter;
use crate::limits::OPENING_WAIT_MAX;
use crate::policy::said::Said;
use crate::protocol::local::{ConnRef, RoomKey};
use std::collections::{HashMap, VecDeque};

/// Something that came for a room before it was open.
pub(super) enum Wait {
    /// Somebody wants to follow it.
    Join(Box<Newcomer>),
    /// A client said something.
    Said {
        /// The client's connection.
        from: ConnRef,
        /// The operation.
        said: Said,
    },
    /// Events of the show's owner.
    Post(Box<Letter>),
}

/// All rooms of one shard that are being opened. Bounded by the registry; who waits, by [`OPENING_WAIT_MAX`] together.
#[derive(Default)]
pub(super) struct Openings {
    rooms: HashMap<RoomKey, VecDeque<Wait>>,
    /// Those of them that are open now: what waits is to be played before anything else comes to them.
    open: VecDeque<RoomKey>,
    waiting: usize,
}

impl Openings {
    /// The room is being opened from now on.
    pub(super) fn begin(&mut self, room: RoomKey) {
        self.rooms.insert(room, VecDeque::new());
    }

    /// Whether what comes for the room has to wait.
    pub(super) fn holds(&self, room: RoomKey) -> bool {
        self.rooms.contains_key(&room)
    }

    /// Lets something wait for a room that [`Openings::holds`].
    ///
    /// # Errors
    /// Gives it back when as much waits as may.
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

    /// The room is open.
    pub(super) fn opened(&mut self, room: RoomKey) {
        self.open.push_back(room);
    }

    /// Whether somebody waits for a room that is open.
    pub(super) fn is_due(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next to be played; `None` when nobody waits for an open room any more.
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

    /// The room cannot be opened: who waited for it.
    pub(super) fn fail(&mut self, room: RoomKey) -> VecDeque<Wait> {
        let line = self.rooms.remove(&room).unwrap_or_default();
        self.waiting -= line.len();
        line
    }

    /// Everything that waits, for a drain; the rooms stay as they are.
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

    fn played(openings: &mut Openings) -> Vec<(RoomKey, u64)> {
        let mut played = Vec::new();
        while let Some((room, Wait::Said { said: Said::Like(count), .. })) = openings.next() {
            played.push((room, count));
        }
        played
    }

    #[test]
    fn what_waited_is_played_in_its_order_and_before_what_comes_later() {
        let mut openings = Openings::default();
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
        let mut openings = Openings::default();
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
