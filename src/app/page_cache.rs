//! Pages that a shard's rooms hand out: the ones that are known, the ones that are being read, and the connections that
//! wait for them.
//!
//! Thousands of clients may come back to one position: the page is read for the first, the others wait for the same read,
//! and later ones get it at once. A page never changes, so it is forgotten only when the cache is full, when the log has
//! dropped the events that follow it, or when one of its events was deleted.
//!
//! Does not know: logs, actors, how a page is made.

use crate::limits::{CATCH_UP_BYTES_MAX, CATCH_UPS_IN_FLIGHT, CATCH_UPS_MAX};
use crate::protocol::ids::Offset;
use crate::protocol::local::{ConnRef, RoomKey};
use crate::protocol::message::ResumeFailure;
use crate::protocol::page::EncodedPage;
use crate::protocol::variant::Variant;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Names a page: the room, the position that it continues, and how it is written.
pub(super) type PageKey = (RoomKey, Offset, Variant);

#[derive(Default)]
pub(super) struct PageCache {
    known: HashMap<PageKey, Arc<EncodedPage>>,
    /// The keys of `known`, oldest first.
    order: VecDeque<PageKey>,
    bytes: usize,
    /// Connections that wait for a page; each waits for one at a time.
    asked: HashMap<PageKey, Vec<ConnRef>>,
    /// Pages that no log thread reads yet.
    line: VecDeque<PageKey>,
    /// Pages that a log thread reads now.
    in_flight: HashSet<PageKey>,
    /// Pages in flight that may show an event deleted meanwhile; they are read again.
    stale: HashSet<PageKey>,
}

impl PageCache {
    pub(super) fn find(&self, key: PageKey) -> Option<Arc<EncodedPage>> {
        self.known.get(&key).cloned()
    }

    /// Lets a connection wait for a page; returns whether it is the first to ask for it.
    pub(super) fn wait(&mut self, key: PageKey, to: ConnRef) -> bool {
        let waiting = self.asked.entry(key).or_default();
        waiting.push(to);
        let is_first = waiting.len() == 1;
        if is_first {
            self.line.push_back(key);
        }
        is_first
    }

    /// The page to be read next, if one more read may start; followed by one [`PageCache::arrived`].
    pub(super) fn next(&mut self) -> Option<PageKey> {
        if self.in_flight.len() == CATCH_UPS_IN_FLIGHT {
            return None;
        }
        let key = self.line.pop_front()?;
        self.in_flight.insert(key);
        Some(key)
    }

    /// Remembers the result of a read, and returns the connections that waited for it.
    pub(super) fn arrived(
        &mut self,
        key: PageKey,
        page: &Result<Option<Arc<EncodedPage>>, ResumeFailure>,
    ) -> Vec<ConnRef> {
        self.in_flight.remove(&key);
        if self.stale.remove(&key) && page.is_ok() {
            self.line.push_back(key);
            return Vec::new();
        }
        match page {
            Ok(Some(page)) => self.remember(key, page.clone()),
            // Earlier pages lead here, where the log has nothing any more.
            Err(ResumeFailure::TooOld) => self.forget(|(room, after, _)| *room == key.0 && *after <= key.1),
            Ok(None) | Err(_) => {}
        }
        self.asked.remove(&key).unwrap_or_default()
    }

    /// An event that pages of the room may show was deleted.
    pub(super) fn redact(&mut self, room: RoomKey) {
        self.forget(|(known, ..)| *known == room);
        self.stale.extend(self.in_flight.iter().filter(|(flying, ..)| *flying == room));
    }

    /// Forgets a room that has ended.
    pub(super) fn end(&mut self, room: RoomKey) {
        self.forget(|(known, ..)| *known == room);
    }

    fn remember(&mut self, key: PageKey, page: Arc<EncodedPage>) {
        self.bytes += page.len();
        self.order.push_back(key);
        self.known.insert(key, page); // A known page is never read again.
        while self.known.len() > CATCH_UPS_MAX || self.bytes > CATCH_UP_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.known.remove(&oldest).map_or(0, |page| page.len());
        }
    }

    fn forget(&mut self, gone: impl Fn(&PageKey) -> bool) {
        let bytes = &mut self.bytes;
        self.known.retain(|key, page| {
            let goes = gone(key);
            *bytes -= if goes { page.len() } else { 0 };
            !goes
        });
        self.order.retain(|key| !gone(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::deflate::Deflate;
    use crate::protocol::frame::{FrameEvent, What};
    use crate::protocol::ids::Hex64;
    use crate::protocol::page::Stretch;
    use crate::protocol::variant::Encoding;
    use std::collections::BTreeMap;

    const ROOM: RoomKey = RoomKey(1);

    fn key(after: Offset) -> PageKey {
        (ROOM, after, Variant::default())
    }

    fn conn(index: u32) -> ConnRef {
        ConnRef { shard: 0, index, generation: 1 }
    }

    fn page(after: Offset, events: usize) -> Arc<EncodedPage> {
        let events = vec![FrameEvent::new(after + 1, What::Unknown); events];
        let stretch = Stretch {
            prev: after,
            last: after + 1,
            at: 0,
            digest: Hex64(0),
            events,
            tallies: Vec::new(),
            merged: BTreeMap::new(),
            shed: BTreeMap::new(),
        };
        Arc::new(EncodedPage::new(&stretch, Variant::default(), &Deflate::new(0, || 0)))
    }

    /// Asks for a page and lets it be read.
    fn read(cache: &mut PageCache, after: Offset, events: usize) {
        assert!(cache.wait(key(after), conn(0)));
        assert_eq!(cache.next(), Some(key(after)));
        assert_eq!(cache.arrived(key(after), &Ok(Some(page(after, events)))), [conn(0)]);
    }

    #[test]
    fn a_storm_from_one_position_is_one_read() {
        let mut cache = PageCache::default();
        let firsts = (0..1_000).filter(|n| cache.wait(key(7), conn(*n))).count();
        assert_eq!(firsts, 1);
        assert_eq!((cache.next(), cache.next()), (Some(key(7)), None));
        assert!(!cache.wait(key(7), conn(1_000)), "it is being read");
        assert!(cache.wait((ROOM, 7, Encoding::Msgpack.into()), conn(5)), "another encoding is another page");
        assert!(cache.wait((ROOM, 7, Variant::new(Encoding::Json, true)), conn(6)), "so is a compressed one");
        assert_eq!(cache.arrived(key(7), &Ok(Some(page(7, 3)))).len(), 1_001);
        assert!(cache.find(key(7)).is_some() && cache.find(key(8)).is_none());
    }

    #[test]
    fn few_are_read_at_a_time_and_the_others_keep_their_place() {
        let mut cache = PageCache::default();
        (0..100).for_each(|n| assert!(cache.wait(key(n), conn(0))));
        let first: Vec<_> = std::iter::from_fn(|| cache.next()).collect();
        assert_eq!(first.len(), CATCH_UPS_IN_FLIGHT);
        cache.arrived(key(3), &Err(ResumeFailure::Unavailable));
        assert_eq!((cache.next(), cache.next()), (Some(key(CATCH_UPS_IN_FLIGHT as u64)), None));
        assert!(cache.find(key(3)).is_none(), "a failure is not remembered");
        assert!(cache.wait(key(3), conn(1)), "and can be asked again");
    }

    #[test]
    fn known_pages_are_bounded_by_number_and_bytes_and_the_oldest_goes() {
        let mut cache = PageCache::default();
        (0..CATCH_UPS_MAX as u64 + 10).for_each(|n| read(&mut cache, n, 1));
        assert_eq!((cache.known.len(), cache.order.len()), (CATCH_UPS_MAX, CATCH_UPS_MAX));
        assert!(cache.find(key(9)).is_none() && cache.find(key(10)).is_some());
        let large = CATCH_UP_BYTES_MAX / 3 / r#"{"offset":1000},"#.len();
        (1_000..1_005).for_each(|n| read(&mut cache, n, large));
        assert!(cache.bytes <= CATCH_UP_BYTES_MAX);
        assert_eq!(cache.bytes, cache.known.values().map(|page| page.len()).sum::<usize>());
        assert!(cache.find(key(1_004)).is_some() && cache.find(key(1_001)).is_none());
    }

    #[test]
    fn what_was_taken_back_is_forgotten_and_what_was_on_its_way_is_read_again() {
        let mut cache = PageCache::default();
        read(&mut cache, 0, 1);
        [5, 9].into_iter().for_each(|after| assert!(cache.wait(key(after), conn(1))));
        assert_eq!(cache.next(), Some(key(5)));
        cache.redact(ROOM);
        assert!(cache.find(key(0)).is_none() && cache.bytes == 0);
        assert!(cache.arrived(key(5), &Ok(Some(page(5, 1)))).is_empty(), "it may say too much");
        assert!(cache.find(key(5)).is_none());
        assert_eq!([cache.next(), cache.next(), cache.next()], [Some(key(9)), Some(key(5)), None]);
        assert_eq!(cache.arrived(key(5), &Ok(Some(page(5, 1)))), [conn(1)], "who waited is not forgotten");
    }

    #[test]
    fn what_retention_has_overtaken_is_forgotten_with_what_leads_to_it() {
        let mut cache = PageCache::default();
        [0, 5, 9].into_iter().for_each(|after| read(&mut cache, after, 1));
        cache.wait(key(7), conn(1));
        assert_eq!(cache.next(), Some(key(7)));
        assert_eq!(cache.arrived(key(7), &Err(ResumeFailure::TooOld)), [conn(1)]);
        assert_eq!([0, 5, 9].map(|after| cache.find(key(after)).is_some()), [false, false, true]);
        cache.end(ROOM);
        assert!(cache.known.is_empty() && cache.order.is_empty() && cache.bytes == 0);
    }
}
