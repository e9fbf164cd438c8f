//! The pass: one branch-poor loop over a room's dense subscriber slots. It is the heart of the product.
//!
//! Visits socket by socket, never message by message: the kernel's per-socket state is cold on each visit, so all
//! frames that a subscriber lacks go in one write. The start of a pass rotates, so that no subscriber is always last.

use crate::faults::fail_point;
use crate::limits::{JOIN_FRAMES_MAX, JOINED_BYTES_MAX, JOINED_SLOTS_MIN};
use crate::protocol::variant::{VARIANTS, Variant};
use crate::shard::fanout::ring::{Ring, Seq};
use rustix::fd::RawFd;
use rustix::io::Errno;
use smallvec::SmallVec;
use std::io::IoSlice;

/// Takes the bytes: sockets, or a counting sink in benchmarks and tests.
pub trait Wire {
    /// Sends without blocking; returns the number of bytes taken.
    ///
    /// # Errors
    /// `AGAIN` when the socket is full, anything else when it is broken.
    fn send(&mut self, fd: RawFd, bytes: &[u8]) -> Result<usize, Errno>;

    /// Sends several pieces in one call, as [`Wire::send`] does.
    ///
    /// # Errors
    /// As [`Wire::send`].
    fn send_joined(&mut self, fd: RawFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno>;
}

/// A subscriber that keeps up: 16 bytes, four to a cache line. It is always at a frame boundary.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Slot {
    pub fd: RawFd,
    /// Index of the connection in the shard's table.
    pub conn: u32,
    /// Next entry of the ring to send.
    pub cursor: Seq,
    /// [`Variant::index`].
    pub variant: u8,
}

const _: () = assert!(size_of::<Slot>() == 16);

impl Slot {
    pub fn variant(&self) -> Variant {
        Variant::ALL[usize::from(self.variant)]
    }
}

/// A slot that a slice of the pass could not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The socket took only `sent` bytes (perhaps 0) of the frames that the subscriber lacked: it is now a laggard at
    /// `cursor`.
    Blocked {
        conn: u32,
        /// The slot's cursor before this visit.
        cursor: Seq,
        /// Bytes taken of the frames from `cursor` on.
        sent: usize,
    },
    Broken {
        conn: u32,
    },
}

/// Counts of one slice; added up by the caller, and published once per cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendTally {
    /// System calls.
    pub sends: u64,
    /// Whole frames that sockets took.
    pub deliveries: u64,
    /// Bytes that sockets took.
    pub bytes: u64,
}

/// The caught-up subscribers of one room on one shard, and the progress of the pass over them.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
    /// Number of slots that read each variant.
    readers: [u32; VARIANTS],
    /// Next slot to visit.
    at: usize,
    /// Slots still to visit until all have every frame; 0 if no pass is under way.
    todo: usize,
    /// No slot is further behind than this many frames.
    behind: usize,
    /// Slots still to visit until all were visited since the lap began. New frames prolong a pass; a lap ends after one
    /// visit of each slot.
    lap_todo: usize,
    /// Frames that arrived since the lap began.
    lap_frames: usize,
    /// Where the next sample begins.
    sample_at: usize,
}

/// One of this many slots is in a sample.
const SAMPLE_OF: usize = 6;

impl Slots {
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn get(&self, place: usize) -> &Slot {
        &self.slots[place]
    }

    /// One in six of the slots: six samples in a row cover all slots.
    pub fn sample(&mut self) -> impl Iterator<Item = &Slot> {
        let from = self.sample_at;
        self.sample_at = (from + 1) % SAMPLE_OF;
        self.slots.iter().skip(from).step_by(SAMPLE_OF)
    }

    /// Notes that the slot at `place` was sent all frames up to `cursor` outside of the pass, which then skips it.
    pub fn was_sent(&mut self, place: usize, cursor: Seq) {
        self.slots[place].cursor = cursor;
    }

    /// Changes the variant of the slot at `place`. All frames that the slot lacks must have bytes of `variant`.
    pub fn turn(&mut self, place: usize, variant: Variant) {
        let slot = &mut self.slots[place];
        self.readers[usize::from(slot.variant)] -= 1;
        slot.variant = variant.index() as u8;
        self.readers[variant.index()] += 1;
    }

    /// Whether a pass is under way.
    pub fn is_due(&self) -> bool {
        self.todo > 0
    }

    /// The most frames that a slot may be behind. The caller must finish the pass before the ring drops a frame that an
    /// unvisited slot lacks: a slot has no position of its own from which to announce a gap.
    pub fn behind(&self) -> usize {
        self.behind
    }

    /// Adds a subscriber; returns its place.
    pub fn add(&mut self, slot: Slot) -> usize {
        self.readers[usize::from(slot.variant)] += 1;
        self.slots.push(slot);
        if self.todo > 0 {
            self.todo += 1;
            self.lap_todo += 1;
        }
        self.slots.len() - 1
    }

    /// Removes the slot at `place` and returns it. The last slot moves to `place`: the second value is that slot's
    /// connection, which the caller has to tell.
    pub fn remove(&mut self, place: usize) -> (Slot, Option<u32>) {
        let slot = self.slots.swap_remove(place);
        self.readers[usize::from(slot.variant)] -= 1;
        if self.at >= self.slots.len() {
            self.at = 0;
        }
        if self.todo > 0 {
            // The moved slot may have left the stretch that was still to visit, so all slots are visited again. Slots
            // that have every frame are skipped without a send.
            self.todo = self.slots.len();
            self.lap_todo = self.slots.len();
        }
        (slot, self.slots.get(place).map(|moved| moved.conn))
    }

    /// The ring has a new entry that every slot lacks. A pass under way goes on, so that the slots not yet visited get
    /// both frames in one write.
    pub fn frame_came(&mut self) {
        if self.todo == 0 && !self.slots.is_empty() {
            // A new pass starts at a different slot than the one before: steps of about 0.618 of the way round never
            // bring two starts near each other.
            self.at = (self.at + self.slots.len() * 5 / 8 + 1) % self.slots.len();
            (self.lap_todo, self.lap_frames) = (self.slots.len(), 0);
        } else {
            self.lap_frames += 1;
        }
        self.todo = self.slots.len();
        self.behind = if self.todo == 0 { 0 } else { self.behind + 1 };
    }

    /// Visits slots until `budget` sends are done or all slots have every frame. Slots that could not be finished are
    /// put into `left`. They are still in place: the caller removes them.
    pub fn slice<W: Wire>(
        &mut self,
        ring: &Ring,
        wire: &mut W,
        budget: usize,
        left: &mut Vec<Unfinished>,
    ) -> SendTally {
        let mut tally = SendTally::default();
        let head = ring.head();
        // The frames that any slot may lack, per variant in use, as arguments for vectored writes; each slot uses the
        // tail that it lacks. Not the whole ring: in a room of two, looking at 64 frames would cost as much as the
        // sends.
        let reach = self.behind.min(JOIN_FRAMES_MAX).min(ring.len());
        let mut parts: SmallVec<[IoSlice<'_>; JOIN_FRAMES_MAX * VARIANTS]> = SmallVec::new();
        let mut ends = [0; VARIANTS];
        for variant in Variant::ALL.into_iter().filter(|variant| self.readers[variant.index()] > 0) {
            parts.extend(ring.newest(reach).map(|entry| IoSlice::new(entry.get(variant))));
            ends[variant.index()] = parts.len();
        }
        let parts = &parts[..];
        let mut joined = JoinedFrames::new(self.todo);
        let count = self.slots.len();
        let mut todo = self.todo;
        let mut at = self.at;
        while todo > 0 && (tally.sends as usize) < budget {
            todo -= 1;
            let slot = &mut self.slots[at];
            at = if at + 1 == count { 0 } else { at + 1 };
            let lag = head.wrapping_sub(slot.cursor) as usize;
            if lag == 0 {
                continue;
            }
            if lag > reach {
                // Further behind than one write can join: handled as a laggard.
                left.push(Unfinished::Blocked { conn: slot.conn, cursor: slot.cursor, sent: 0 });
                slot.cursor = head;
                continue;
            }
            let end = ends[usize::from(slot.variant)];
            let waiting = &parts[end - lag..end];
            tally.sends += 1;
            fail_point!("in_broadcast");
            let (result, wanted) = match waiting {
                [one] => (wire.send(slot.fd, one), one.len()),
                several => match joined.get(slot.variant, several) {
                    Some(bytes) => (wire.send(slot.fd, bytes), bytes.len()),
                    None => (wire.send_joined(slot.fd, several), several.iter().map(|part| part.len()).sum()),
                },
            };
            match result {
                Ok(sent) if sent == wanted => {
                    slot.cursor = head;
                    tally.deliveries += lag as u64;
                    tally.bytes += sent as u64;
                }
                Ok(sent) => {
                    left.push(Unfinished::Blocked { conn: slot.conn, cursor: slot.cursor, sent });
                    tally.bytes += sent as u64;
                    slot.cursor = head;
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => {
                    left.push(Unfinished::Blocked { conn: slot.conn, cursor: slot.cursor, sent: 0 });
                    slot.cursor = head;
                }
                Err(_) => {
                    left.push(Unfinished::Broken { conn: slot.conn });
                    slot.cursor = head;
                }
            }
        }
        self.visited(self.todo - todo);
        self.todo = todo;
        self.at = at;
        if todo == 0 {
            self.behind = 0;
        }
        tally
    }

    /// Notes that this many more slots were visited. When that ends a lap, every slot has the frames from before the
    /// lap.
    fn visited(&mut self, slots: usize) {
        match self.lap_todo.checked_sub(slots) {
            Some(left @ 1..) => self.lap_todo = left,
            _ => {
                self.behind = self.lap_frames;
                self.lap_frames = 0;
                // Slots that were visited twice count for the lap that begins.
                self.lap_todo += self.slots.len() - slots;
            }
        }
    }
}

/// The frames that many slots lack, joined in one piece of memory per variant: one `send` of that costs less than a
/// vectored write of the frames, and copying the frames once costs little compared with a slice of sends.
struct JoinedFrames {
    pieces: [JoinedBytes; VARIANTS],
    /// Whether enough slots are left to visit to be worth the copy.
    is_worth_it: bool,
}

#[derive(Default)]
struct JoinedBytes {
    /// The newest frames: as many as the furthest slot so far lacked.
    bytes: Vec<u8>,
    /// How many frames the slot before lacked, and their bytes: most often the next slot lacks the same.
    frames: usize,
    wanted: usize,
}

impl JoinedFrames {
    fn new(todo: usize) -> Self {
        Self { pieces: Default::default(), is_worth_it: todo >= JOINED_SLOTS_MIN }
    }

    /// `waiting`, the newest frames of a variant, in one piece; `None` if a vectored write is better.
    fn get(&mut self, variant: u8, waiting: &[IoSlice<'_>]) -> Option<&[u8]> {
        let JoinedBytes { bytes, frames, wanted } = &mut self.pieces[usize::from(variant)];
        if *frames != waiting.len() {
            (*frames, *wanted) = (waiting.len(), waiting.iter().map(|part| part.len()).sum());
        }
        if !self.is_worth_it || *wanted > JOINED_BYTES_MAX {
            return None;
        }
        if bytes.len() < *wanted {
            bytes.clear();
            bytes.reserve_exact(*wanted);
            waiting.iter().for_each(|part| bytes.extend_from_slice(part));
        }
        // The head does not move within a slice, so every slot lacks a tail of the same frames.
        Some(&bytes[bytes.len() - *wanted..])
    }
}

#[cfg(test)]
mod tests;
