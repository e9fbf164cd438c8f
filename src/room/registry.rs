//! The node's rooms by name, and the handle that a room shares with all threads.
//!
//! A room is claimed before a connection enters it and released after the connection has left. It can expire only
//! without claims. Both happen under the map's entry lock, so a claimed room is never removed.

use crate::log::digest::fnv1a;
use crate::protocol::ids::RoomId;
use crate::protocol::local::RoomKey;
use crate::protocol::variant::{Rendition, VARIANTS, Variant};
use crate::room::core::Core;
use crossbeam::utils::CachePadded;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The node's rooms by name, at most `rooms_max` of them.
#[derive(Debug)]
pub struct Registry {
    rooms: DashMap<RoomId, Arc<RoomHandle>>,
    /// The number of rooms in the map or about to be. Counted here because the map's own count locks all of it.
    count: AtomicUsize,
    keys: AtomicU64,
    shards: u16,
    rooms_max: usize,
}

/// The limit of open rooms is reached; one has to expire first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {rooms_max} open rooms is reached; try again when a room has expired")]
pub struct RegistryFull {
    pub rooms_max: usize,
}

impl Registry {
    /// An empty registry whose rooms are spread over `shards` shards.
    ///
    /// # Panics
    /// If `shards` is 0.
    pub fn new(shards: u16, rooms_max: usize) -> Self {
        assert!(shards > 0, "rooms need a shard to live on");
        Self { rooms: DashMap::new(), count: AtomicUsize::new(0), keys: AtomicU64::new(1), shards, rooms_max }
    }

    /// The room with this name, created if it does not exist. It does not expire before [`Registry::release`].
    ///
    /// # Errors
    /// [`RegistryFull`] if it does not exist and the limit is reached.
    pub fn claim(&self, id: &RoomId) -> Result<Arc<RoomHandle>, RegistryFull> {
        let handle = match self.rooms.entry(id.clone()) {
            Entry::Occupied(entry) => entry.into_ref(),
            Entry::Vacant(entry) => {
                let one_more = |count| (count < self.rooms_max).then_some(count + 1);
                self.count
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
                    .map_err(|_| RegistryFull { rooms_max: self.rooms_max })?;
                let key = RoomKey(self.keys.fetch_add(1, Ordering::Relaxed));
                let home = self.home(id);
                entry.insert(Arc::new(RoomHandle::new(key, id.clone(), home, usize::from(self.shards))))
            }
        };
        handle.claims.fetch_add(1, Ordering::AcqRel);
        Ok(Arc::clone(&handle))
    }

    /// Whether [`Registry::claim`] would succeed now.
    pub fn has_place(&self, id: &RoomId) -> bool {
        self.len() < self.rooms_max || self.rooms.contains_key(id)
    }

    /// Claims this incarnation of the room. Returns `false` if it has expired.
    pub fn hold(&self, handle: &RoomHandle) -> bool {
        // The entry's lock is held until the claim is counted.
        let Some(found) = self.rooms.get(&handle.id).filter(|found| found.key == handle.key) else { return false };
        found.claims.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Gives back one claim, of [`Registry::claim`] or [`Registry::hold`].
    pub fn release(&self, handle: &RoomHandle) {
        let before = handle.claims.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "more releases than claims");
    }

    /// Removes the room if it has no claims. Returns whether it did. Only this incarnation is removed, never a later
    /// room of the same name.
    pub fn expire(&self, handle: &RoomHandle) -> bool {
        let remove = |_: &RoomId, found: &Arc<RoomHandle>| {
            let unclaimed = found.key == handle.key && found.claims.load(Ordering::Acquire) == 0;
            // Still under the entry lock, so a thread that finds the name free also finds space for it.
            self.count.fetch_sub(usize::from(unclaimed), Ordering::AcqRel);
            unclaimed
        };
        self.rooms.remove_if(&handle.id, remove).is_some()
    }

    /// The rooms at this moment, unordered.
    pub fn list(&self) -> Vec<Arc<RoomHandle>> {
        self.rooms.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shard of a room with this name: the same in every process with the same number of shards.
    fn home(&self, id: &RoomId) -> u16 {
        // The low bits of FNV spread short names badly, so the high half is folded in.
        let hash = fnv1a(id.as_str().as_bytes());
        let folded = hash ^ (hash >> 32);
        (folded % u64::from(self.shards)) as u16
    }
}

/// The state that a room shares across threads: its subscribers per shard, and figures for the metrics.
#[derive(Debug)]
pub struct RoomHandle {
    /// Identifies this incarnation of the room.
    pub key: RoomKey,
    pub id: RoomId,
    /// The shard that runs its actor.
    pub home: u16,
    /// Connections that hold the room, from upgrade to close. Raised only under the registry's entry lock, so that an
    /// expiring room is never handed out.
    pub claims: AtomicUsize,
    /// Set when presence has changed, until the home has taken note of it.
    pub presence_dirty: AtomicBool,
    presence: Box<[CachePadded<[AtomicU32; VARIANTS]>]>,
    /// Subscribers that may soon change to this variant. They are still counted once, under their present variant in
    /// `presence`, and frames are made for both variants.
    wanted: [AtomicU32; VARIANTS],
    /// Figures for the metrics page.
    pub figures: RoomFigures,
}

/// Figures of one room, written by its actor and read for the metrics page.
#[derive(Debug, Default)]
pub struct RoomFigures {
    /// Comments in the log since the room opened.
    pub comments: AtomicU64,
    /// Likes in the log, in total.
    pub likes: AtomicU64,
    /// Events left out of frames.
    pub shed: AtomicU64,
    /// Comments folded into others.
    pub merged: AtomicU64,
    /// Events left out since this process opened the room, by class ([`crate::protocol::frame::ShedClass`]).
    pub shed_by_class: [AtomicU64; 5],
    /// Comments folded into others since this process opened the room, by class.
    pub merged_by_class: [AtomicU64; 5],
    /// Frames made by this process.
    pub frames: AtomicU64,
    /// Encodings of these frames, by rendition ([`Rendition::index`]).
    pub encodes: [AtomicU64; 3],
    /// The newest offset in the log.
    pub last: AtomicU64,
}

impl RoomFigures {
    /// Publishes the counts of `core`.
    pub(super) fn show(&self, core: &Core) {
        self.comments.store(core.comments(), Ordering::Relaxed);
        self.likes.store(core.likes(), Ordering::Relaxed);
        self.shed.store(core.shed(), Ordering::Relaxed);
        self.merged.store(core.merged(), Ordering::Relaxed);
        let by_class = core.by_class();
        self.shed_by_class.iter().zip(by_class.shed).for_each(|(to, n)| to.store(n, Ordering::Relaxed));
        self.merged_by_class.iter().zip(by_class.merged).for_each(|(to, n)| to.store(n, Ordering::Relaxed));
        self.last.store(core.last(), Ordering::Relaxed);
    }
}

impl RoomHandle {
    /// A handle for a room without subscribers.
    pub fn new(key: RoomKey, id: RoomId, home: u16, shards: usize) -> Self {
        Self {
            key,
            id,
            home,
            claims: AtomicUsize::new(0),
            presence_dirty: AtomicBool::new(false),
            presence: (0..shards).map(|_| CachePadded::default()).collect(),
            wanted: Default::default(),
            figures: RoomFigures::default(),
        }
    }

    /// A subscriber of `variant` arrived on `shard`. Call before the home is told of the join.
    pub fn arrive(&self, shard: u16, variant: Variant) {
        self.presence[usize::from(shard)][variant.index()].fetch_add(1, Ordering::AcqRel);
    }

    /// A subscriber of `variant` left `shard`.
    pub fn leave(&self, shard: u16, variant: Variant) {
        self.presence[usize::from(shard)][variant.index()].fetch_sub(1, Ordering::AcqRel);
    }

    /// A subscriber may soon change to `variant`: from now on frames are made in it.
    pub fn want(&self, variant: Variant) {
        self.wanted[variant.index()].fetch_add(1, Ordering::AcqRel);
    }

    /// Ends [`RoomHandle::want`]: the subscriber has changed, or will not.
    pub fn unwant(&self, variant: Variant) {
        self.wanted[variant.index()].fetch_sub(1, Ordering::AcqRel);
    }

    /// A subscriber on `shard` has changed from `from` to `to`.
    pub fn move_to(&self, shard: u16, from: Variant, to: Variant) {
        // In this order, a shard with one subscriber never looks empty.
        self.arrive(shard, to);
        self.leave(shard, from);
    }

    /// Whether the room has subscribers on `shard`.
    pub fn is_present(&self, shard: u16) -> bool {
        self.presence[usize::from(shard)].iter().any(|n| n.load(Ordering::Acquire) > 0)
    }

    /// Whether a subscriber on this node uses `variant`, or may soon.
    pub fn uses(&self, variant: Variant) -> bool {
        self.wanted[variant.index()].load(Ordering::Acquire) > 0
            || self.presence.iter().any(|shard| shard[variant.index()].load(Ordering::Acquire) > 0)
    }

    /// Whether a subscriber on this node uses `rendition`, in any encoding.
    pub fn uses_rendition(&self, rendition: Rendition) -> bool {
        Variant::ALL.into_iter().any(|variant| variant.rendition == rendition && self.uses(variant))
    }

    /// The room's subscribers on this node.
    pub fn online(&self) -> u64 {
        self.presence.iter().flat_map(|shard| shard.iter()).map(|n| u64::from(n.load(Ordering::Acquire))).sum()
    }

    pub fn shards(&self) -> usize {
        self.presence.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn id(name: &str) -> RoomId {
        RoomId::new(name).unwrap()
    }

    #[test]
    fn a_name_is_one_room_until_it_expires_and_a_new_key_after() {
        let registry = Registry::new(4, 10);
        let first = registry.claim(&id("a")).unwrap();
        let again = registry.claim(&id("a")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(first.claims.load(Ordering::Acquire), 2);
        registry.release(&first);
        assert!(!registry.expire(&first), "it still has a claim");
        registry.release(&again);
        assert!(registry.expire(&first));
        assert!(!registry.expire(&first), "only once");
        assert!(!registry.hold(&first), "it is over");
        let later = registry.claim(&id("a")).unwrap();
        assert_ne!(later.key, first.key);
        assert!(!registry.hold(&first) && registry.hold(&later), "this one and no other");
        registry.release(&later);
        assert_eq!(later.home, first.home);
        registry.release(&later);
        assert!(!registry.expire(&first), "an old handle never removes a later room");
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn rooms_are_bounded_and_a_known_room_can_always_be_claimed() {
        let registry = Registry::new(1, 2);
        let a = registry.claim(&id("a")).unwrap();
        registry.claim(&id("b")).unwrap();
        assert_eq!(registry.claim(&id("c")).unwrap_err(), RegistryFull { rooms_max: 2 });
        registry.claim(&id("b")).unwrap();
        registry.release(&a);
        assert!(registry.expire(&a));
        registry.claim(&id("c")).unwrap();
        let mut names: Vec<_> = registry.list().iter().map(|room| room.id.to_string()).collect();
        names.sort();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn a_subscriber_that_changes_variant_counts_once() {
        let room = RoomHandle::new(RoomKey(1), id("r"), 0, 2);
        let viewer = Variant::default();
        let lite = viewer.with(Rendition::Lite);
        room.arrive(1, viewer);
        room.want(lite);
        assert!(
            room.uses(lite) && room.uses_rendition(Rendition::Lite),
            "frames are made before a subscriber needs them"
        );
        assert_eq!((room.online(), room.is_present(0)), (1, false));
        room.move_to(1, viewer, lite);
        room.unwant(lite);
        assert_eq!((room.online(), room.uses(viewer), room.uses(lite)), (1, false, true));
        room.leave(1, lite);
        assert!(room.online() == 0 && Variant::ALL.into_iter().all(|variant| !room.uses(variant)));
    }

    #[test]
    fn homes_are_spread_over_the_shards() {
        let registry = Registry::new(8, 10_000);
        let mut homes = [0_u32; 8];
        for n in 0..4_000 {
            homes[usize::from(registry.claim(&id(&format!("room-{n}"))).unwrap().home)] += 1;
        }
        assert!(homes.iter().all(|n| (400..=600).contains(n)), "{homes:?}");
    }

    #[test]
    fn a_claimed_room_is_never_removed() {
        const EXPIRIES: usize = 200;
        let registry = Registry::new(2, 1);
        let start = Barrier::new(4);
        let expired = AtomicUsize::new(0);
        let (registry, start, expired) = (&registry, &start, &expired);
        let at_work = Arc::new(()); // Each claimer holds it until it ends, even by a panic; then the others stop.
        let someone_works = Arc::downgrade(&at_work);
        let claim_and_release = move || {
            start.wait();
            let mut rounds = 0;
            while rounds < 10_000 || expired.load(Ordering::Relaxed) < EXPIRIES {
                let mine = registry.claim(&id("contended")).unwrap();
                let listed = registry.claim(&id("contended")).unwrap();
                assert!(Arc::ptr_eq(&mine, &listed), "the claimed room was replaced");
                registry.release(&listed);
                registry.release(&mine);
                rounds += 1;
                if rounds % 16 == 0 {
                    std::thread::yield_now(); // With fewer cores than threads, the other threads get to run.
                }
            }
            drop(at_work);
        };
        let expire = move || {
            start.wait();
            while someone_works.strong_count() > 0 {
                for handle in registry.list() {
                    expired.fetch_add(usize::from(registry.expire(&handle)), Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(expire.clone());
            scope.spawn(expire);
            scope.spawn(claim_and_release.clone());
            scope.spawn(claim_and_release);
        });
        assert!(expired.load(Ordering::Relaxed) >= EXPIRIES);
        for handle in registry.list() {
            assert!(registry.expire(&handle));
        }
        assert!(registry.is_empty() && registry.list().is_empty(), "the count follows the map");
    }
}
