//! A log in memory, which ends with its process: for tests, and for `--data memory`.
//!
//! A batch is stored as the slice that is delivered, so an append copies no record.
//!
//! Does not know: what a record means, except for deletions.

use super::outbox::Outbox;
use super::{
    AppendError, Base, Delivery, Head, Limit, Log, OpenError, Opened, ReadError, Record, Retention, Sink, Ticket,
    deleted, deletes, digest,
};
use crate::limits::{OFFSET_MAX, RETAIN_EVENTS_MAX};
use crate::protocol::event::Event;
use crate::protocol::ids::{Digest, Epoch, Hex64, Offset, RoomId};
use crate::protocol::kind::Left;
use crate::protocol::kind::{Ballot, Post};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Has at most `rooms_max` open rooms. [`Log::retain`] bounds the events of each.
pub struct MemoryLog {
    rooms: DashMap<RoomId, Arc<Mutex<MemoryRoom>>>,
    count: AtomicUsize,
    rooms_max: usize,
    seed: u64,
    epochs: AtomicU64,
}

impl MemoryLog {
    /// An empty log. Epochs are derived from `seed`. It must be random, or clients of an earlier process could take
    /// this log for the one they know.
    pub fn new(rooms_max: usize, seed: u64) -> Self {
        Self { rooms: DashMap::new(), count: AtomicUsize::new(0), rooms_max, seed, epochs: AtomicU64::new(0) }
    }

    /// Clones the pointer, so that no guard of the map is held during work on the room.
    fn room(&self, room: &RoomId) -> Option<Arc<Mutex<MemoryRoom>>> {
        self.rooms.get(room).map(|found| Arc::clone(&found))
    }

    fn epoch(&self) -> Epoch {
        // SplitMix64 (Steele, Lea, Flood 2014) gives a different number for each count.
        let count = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        let mut z = self.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Hex64(z ^ (z >> 31))
    }
}

struct MemoryRoom {
    epoch: Epoch,
    last: Offset,
    /// The digest of the newest record.
    digest: Digest,
    /// The time of the newest batch.
    at_ms: u64,
    base: Option<Base>,
    /// Without empty batches.
    batches: VecDeque<Arc<[Record]>>,
    /// Records of the first batch that retention has removed.
    skip: usize,
    events: usize,
    bytes: usize,
    outbox: Outbox,
}

impl Log for MemoryLog {
    fn open(&self, room: &RoomId, sink: Arc<dyn Sink>) -> Result<Opened, OpenError> {
        let Entry::Vacant(entry) = self.rooms.entry(room.clone()) else { return Err(OpenError::AlreadyOpen) };
        let one_more = |count| (count < self.rooms_max).then_some(count + 1);
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).map_err(|_| OpenError::Full)?;
        let room = MemoryRoom {
            epoch: self.epoch(),
            last: 0,
            digest: digest::EMPTY,
            at_ms: 0,
            base: None,
            batches: VecDeque::new(),
            skip: 0,
            events: 0,
            bytes: 0,
            outbox: Outbox::new(sink),
        };
        let opened = Opened { head: room.head(), digest: digest::EMPTY, base: None };
        entry.insert(Arc::new(Mutex::new(room)));
        Ok(opened)
    }

    fn append(&self, room: &RoomId, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        let room = self.room(room).ok_or(AppendError::Closed)?;
        room.lock().append(ticket, events, now_ms)
    }

    fn read(&self, room: &RoomId, after: Offset, limit: Limit) -> Result<Vec<Record>, ReadError> {
        let room = self.room(room).ok_or(ReadError::Unknown)?;
        // The batches are found under the lock and copied after it, so that a long read does not delay a tick.
        let (batches, skip) = room.lock().range(after, limit.events)?;
        let mut size = 0;
        let fits = |(n, record): &(usize, &Record)| {
            size += bytes(&record.event);
            *n == 0 || size <= limit.bytes
        };
        let all = batches.iter().flat_map(|batch| batch.iter()).skip(skip).take(limit.events);
        Ok(all.enumerate().take_while(fits).map(|(_, record)| record.clone()).collect())
    }

    fn head(&self, room: &RoomId) -> Result<Option<Head>, ReadError> {
        let Some(room) = self.room(room) else { return Ok(None) };
        let room = room.lock();
        Ok(room.outbox.is_open().then(|| room.head()))
    }

    fn nudge(&self, room: &RoomId) {
        if let Some(room) = self.room(room) {
            room.lock().outbox.flush();
        }
    }

    fn retain(&self, room: &RoomId, retention: &Retention, now_ms: u64, base: Base) {
        if let Some(room) = self.room(room) {
            room.lock().retain(retention, now_ms, base);
        }
    }

    fn close(&self, room: &RoomId) {
        // The count falls under the entry's lock: an opening that finds the name free also finds a place.
        let give_back = |_: &RoomId, _: &Arc<Mutex<MemoryRoom>>| self.count.fetch_sub(1, Ordering::AcqRel) > 0;
        if let Some((_, room)) = self.rooms.remove_if(room, give_back) {
            room.lock().outbox.close();
        }
    }
}

impl MemoryRoom {
    fn head(&self) -> Head {
        let first = self.batches.front().map_or(self.last + 1, |batch| batch[self.skip].offset);
        Head { epoch: self.epoch, first, last: self.last }
    }

    fn append(&mut self, ticket: Ticket, events: Vec<Event>, now_ms: u64) -> Result<(), AppendError> {
        let count = events.len();
        // Offsets are used up after 285,000 years at 1,000 a second.
        let has_offsets = count as u64 <= OFFSET_MAX - self.last;
        self.outbox.admit(|| if has_offsets { Ok(()) } else { Err(AppendError::Unavailable) })?;
        if count > 0 {
            self.at_ms = if self.last == 0 { now_ms } else { now_ms.max(self.at_ms + 1) };
        }
        let at_ms = self.at_ms;
        let place = |(offset, event): (Offset, Event)| {
            self.digest = digest::extend(self.digest, offset, &event);
            Record { offset, at_ms, digest: self.digest, event }
        };
        let records: Arc<[Record]> = (self.last + 1..).zip(events).map(place).collect();
        if count > 0 {
            self.last += count as u64;
            self.events += count;
            self.bytes += records.iter().map(|record| bytes(&record.event)).sum::<usize>();
            self.batches.push_back(Arc::clone(&records));
        }
        for (offset, left) in records.iter().flat_map(|record| deletes(&record.event)) {
            self.delete(offset, left);
        }
        self.outbox.deliver(Delivery::Appended { ticket: Some(ticket), records });
        Ok(())
    }

    /// Removes a comment's text. The batch is copied, so deliveries of it do not change.
    fn delete(&mut self, offset: Offset, left: Left) {
        let at = self.batches.partition_point(|batch| batch.last().is_none_or(|record| record.offset < offset));
        let skip = if at == 0 { self.skip } else { 0 };
        let Some(batch) = self.batches.get_mut(at) else { return };
        let Ok(found) = batch.binary_search_by_key(&offset, |record| record.offset) else { return };
        let Event::Comment(comment) = &batch[found].event else { return };
        if comment.deleted {
            return;
        }
        let gone = Event::Comment(deleted(comment, left));
        if found >= skip {
            self.bytes = self.bytes - bytes(&batch[found].event) + bytes(&gone);
        }
        Arc::make_mut(batch)[found].event = gone;
    }

    /// The batches that hold the range, and the number of records to skip in the first of them.
    #[expect(clippy::type_complexity)]
    fn range(&mut self, after: Offset, limit: usize) -> Result<(Vec<Arc<[Record]>>, usize), ReadError> {
        self.outbox.flush();
        if !self.outbox.is_open() {
            return Err(ReadError::Unknown);
        }
        let Head { first, last, .. } = self.head();
        if after > last {
            return Err(ReadError::Ahead { last });
        }
        if after + 1 < first {
            return Err(ReadError::TooOld { first });
        }
        let begin = self.batches.partition_point(|batch| batch.last().is_none_or(|r| r.offset <= after));
        let mut batches = Vec::new();
        let (mut skip, mut count) = (0, 0);
        for batch in self.batches.range(begin..) {
            if batches.is_empty() {
                skip = batch.partition_point(|record| record.offset <= after);
            }
            count += batch.len();
            batches.push(Arc::clone(batch));
            if count - skip >= limit {
                break;
            }
        }
        Ok((batches, skip))
    }

    fn retain(&mut self, retention: &Retention, now_ms: u64, base: Base) {
        self.outbox.flush();
        for _ in 0..RETAIN_EVENTS_MAX {
            let Some(record) = self.batches.front().map(|batch| &batch[self.skip]) else { break };
            let is_old = now_ms.saturating_sub(record.at_ms) > retention.age_ms;
            let fits = !is_old && self.events <= retention.events && self.bytes <= retention.bytes;
            if fits || record.offset > base.offset {
                break;
            }
            self.bytes -= bytes(&record.event);
            self.events -= 1;
            self.skip += 1;
            if self.batches.front().is_some_and(|batch| self.skip == batch.len()) {
                self.batches.pop_front();
                self.skip = 0;
            }
        }
        self.base = Some(base);
    }
}

/// What an event takes in memory, about: the record itself, and each text with the two counters of its `Arc`.
/// Users are shared between their comments and counted with each: the bound is kept on the safe side.
fn bytes(event: &Event) -> usize {
    const ARC: usize = 16;
    let text = |text: &str| ARC + text.len();
    let own = size_of::<Record>();
    match event {
        Event::Likes { .. } => own,
        Event::Votes(votes) => {
            let ballots = votes.ballots.iter().map(|ballot| size_of::<Ballot>() + text(&ballot.user)).sum::<usize>();
            own + text(votes.poll.as_str()) + ballots
        }
        // Rare, and small: what it takes as JSON stands for what it takes here.
        Event::Post(post) => own + size_of::<Post>() + serde_json::to_vec(post).map_or(0, |json| 2 * json.len()),
        Event::Comment(comment) => {
            own + text(&comment.user.id)
                + text(&comment.user.name)
                + text(&comment.text)
                + comment.id.as_ref().map_or(0, |id| text(id.as_str()))
                + comment.ext.as_ref().map_or(0, |ext| ARC + ext.iter().map(|(k, v)| entry(k, v)).sum::<usize>())
        }
    }
}

/// Bytes of a map's entry. Key and value count twice, because the tree's nodes may be only half full.
fn entry(key: &str, value: &serde_json::Value) -> usize {
    2 * (size_of::<String>() + size_of::<serde_json::Value>()) + key.len() + heap(value)
}

fn heap(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| size_of::<Value>() + heap(value)).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| entry(key, value)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(rooms_max: usize) -> Arc<dyn Log> {
        Arc::new(MemoryLog::new(rooms_max, 42))
    }

    crate::log::suite::log_suite!(make);

    struct Full;

    impl Sink for Full {
        fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
            Err(delivery)
        }
    }

    fn room() -> RoomId {
        RoomId::new("r").unwrap()
    }

    #[test]
    fn a_reopened_room_is_empty_and_of_another_epoch() {
        let log = make(1);
        let before = log.open(&room(), Arc::new(Full)).unwrap();
        log.append(&room(), 1, vec![Event::Likes { add: 1 }], 1).unwrap();
        log.close(&room());
        let after = log.open(&room(), Arc::new(Full)).unwrap();
        assert_ne!(before.head.epoch, after.head.epoch);
        assert_eq!((after.head.first, after.head.last, after.base), (1, 0, None));
    }

    #[test]
    fn epochs_depend_on_the_seed() {
        let epoch = |seed| MemoryLog::new(1, seed).open(&room(), Arc::new(Full)).unwrap().head.epoch;
        assert_eq!(epoch(1), epoch(1));
        assert_ne!(epoch(1), epoch(2));
    }

    #[test]
    fn a_log_without_offsets_left_refuses_the_whole_batch() {
        let log = MemoryLog::new(1, 1);
        log.open(&room(), Arc::new(Full)).unwrap();
        log.room(&room()).unwrap().lock().last = OFFSET_MAX - 1;
        let likes = |count| vec![Event::Likes { add: 1 }; count];
        assert_eq!(log.append(&room(), 1, likes(2), 1), Err(AppendError::Unavailable));
        assert_eq!(log.append(&room(), 2, likes(1), 1), Ok(()));
        assert_eq!(log.head(&room()).unwrap().unwrap().last, OFFSET_MAX);
        assert_eq!(log.append(&room(), 3, likes(1), 1), Err(AppendError::Unavailable));
    }

    #[test]
    fn nested_fields_are_counted() {
        let plain = serde_json::json!({"k": "v"});
        let nested = serde_json::json!({"k": {"k": ["v", "v", {"k": "v"}]}});
        let of = |value: &serde_json::Value| heap(value);
        assert!(of(&nested) > of(&plain) + 5 * size_of::<serde_json::Value>());
    }
}
