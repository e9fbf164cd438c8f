//! Rooms without a shard: the test takes the shard's place, and sets the time.

use super::*;
use crate::app::log_pool::LogQueues;
use crate::log::Retention;
use crate::log::memory::MemoryLog;
use crate::policy::said::Said;
use crate::protocol::event::Comment;
use crate::protocol::ids::RoomId;
use crate::protocol::user::User;
use crate::protocol::variant::Variant;
use crate::room::actor::ActorSettings;
use std::collections::HashSet;

const TICK_US: u64 = 100_000;
const COUNTERS_US: u64 = 1_000_000;
const HEARTBEAT_US: u64 = 15_000_000;
const IDLE_US: u64 = 300_000_000;

struct Bench {
    homes: ShardRooms,
    rooms: Vec<Arc<RoomHandle>>,
    now_us: u64,
    commands: Vec<ShardCommand<Mail>>,
    /// Keeps the pool's queues open.
    _queues: LogQueues,
}

impl Bench {
    /// `count` rooms that are open, with `viewers` each.
    fn new(count: usize, viewers: usize) -> Self {
        let registry = Arc::new(Registry::new(1, count));
        let (log_pool, queues) = LogPool::new();
        let log = Arc::new(MemoryLog::new(count, 1));
        let homes = ShardRooms::new(registry.clone(), log_pool, Arc::new(|_| {}));
        let mut bench = Self { homes, rooms: Vec::new(), now_us: 1_000_000, commands: Vec::new(), _queues: queues };
        let settings = ActorSettings {
            tick_us: TICK_US,
            room: crate::protocol::settings::RoomSettings::unlimited(100),
            tick_groups: 1,
            batch_events_max: 100,
            frame_events_max: 10,
            snapshot_events: 5,
            counters_us: COUNTERS_US,
            heartbeat_us: HEARTBEAT_US,
            idle_us: IDLE_US,
            retention: Retention { age_ms: u64::MAX, events: 1_000, bytes: usize::MAX },
            comment_rate: None,
            like_rate: None,
            deflate: Arc::new(crate::protocol::deflate::Deflate::new(1_024, || 0)),
        };
        for n in 0..count {
            let room = registry.claim(&RoomId::new(&format!("room-{n}")).unwrap()).unwrap();
            (0..viewers).for_each(|_| room.arrive(0, Variant::ALL[0]));
            if viewers == 0 {
                registry.release(&room);
            }
            let waker = Arc::new(|_| {});
            let actor = Actor::open(room.clone(), log.clone(), settings.clone(), waker, bench.now_us);
            bench.with(|homes, cx| homes.opened(cx, RoomOpened { room: room.clone(), actor }));
            bench.rooms.push(room);
        }
        bench
    }

    fn with<T>(&mut self, call: impl FnOnce(&mut ShardRooms, &mut Cx<'_, Mail>) -> T) -> T {
        let mut cx = Cx { now_us: self.now_us, shard: 0, commands: &mut self.commands, congested: &[false] };
        call(&mut self.homes, &mut cx)
    }

    /// Passes `us` microseconds as a shard does: it sleeps until work is due. Returns how often a room was woken.
    fn pass(&mut self, us: u64) -> u64 {
        let (until_us, before) = (self.now_us + us, self.homes.wakes);
        while let Some(due_us) = self.homes.due_us().filter(|due_us| *due_us <= until_us) {
            self.now_us = self.now_us.max(due_us);
            self.with(ShardRooms::run_due);
        }
        self.now_us = until_us;
        self.homes.wakes - before
    }

    /// A viewer of the room at this place comments.
    fn say(&mut self, room: usize) {
        let (from, key) = (ConnRef { shard: 0, index: 0, generation: 0 }, self.rooms[room].key);
        let user = User { id: "u".into(), name: "u".into(), role: Default::default() };
        let comment = Comment::new(user, "x");
        self.with(|homes, cx| homes.say(cx, from, key, Said::Comment(Box::new(comment))));
    }

    /// The frames that went out since the last call.
    fn frames(&mut self) -> usize {
        self.commands.drain(..).filter(|command| matches!(command, ShardCommand::Frame { .. })).count()
    }
}

#[test]
fn a_quiet_room_is_woken_for_its_heartbeat_and_for_nothing_else() {
    const ROOMS: usize = 1_000;
    let mut bench = Bench::new(ROOMS, 2);
    // Each viewer gets the viewer count.
    bench.pass(2 * COUNTERS_US);
    assert_eq!(bench.frames(), ROOMS);
    let quiet_us = HEARTBEAT_US - 3 * COUNTERS_US;
    assert_eq!(bench.pass(quiet_us), 0, "nothing happened, and somebody was woken");
    assert_eq!((bench.pass(HEARTBEAT_US), bench.frames()), (ROOMS as u64, ROOMS));
    // 150 ticks in a row, and each is one wake.
    assert_eq!((bench.pass(10 * HEARTBEAT_US - 2 * COUNTERS_US), bench.frames()), (10 * ROOMS as u64, 10 * ROOMS));
}

#[test]
fn rooms_end_their_ticks_at_one_moment_and_none_is_always_the_first() {
    const ROOMS: usize = 10;
    let mut bench = Bench::new(ROOMS, 1);
    bench.pass(2 * COUNTERS_US);
    bench.frames();
    let mut first = HashMap::new();
    for n in 0..200_u64 {
        // At different moments of the tick.
        for room in 0..ROOMS {
            bench.now_us += TICK_US / 20;
            bench.say(room);
        }
        assert_eq!(bench.homes.due.iter().map(|(due_us, ..)| due_us).collect::<HashSet<_>>().len(), 1, "tick {n}");
        let due_us = bench.homes.due_us().unwrap();
        bench.pass(due_us - bench.now_us);
        let frames = bench.commands.drain(..).filter_map(|command| match command {
            ShardCommand::Frame { frame, .. } => Some(frame.room),
            _ => None,
        });
        let rooms: Vec<_> = frames.collect();
        assert_eq!(rooms.len(), ROOMS);
        *first.entry(rooms[0]).or_insert(0) += 1;
        bench.now_us += TICK_US / 10;
    }
    // A tenth of the rooms is 20.
    assert!(first.len() == ROOMS && first.values().all(|times| *times < 40), "{first:?}");
}

#[test]
fn rooms_that_fell_silent_together_send_heartbeats_apart() {
    const ROOMS: usize = 1_000;
    let mut bench = Bench::new(ROOMS, 1);
    bench.pass(2 * COUNTERS_US);
    (0..ROOMS).for_each(|room| bench.say(room));
    bench.pass(TICK_US);
    bench.frames();
    let mut most = 0;
    for _ in 0..HEARTBEAT_US / 1_000 {
        most = most.max(bench.pass(1_000));
    }
    assert_eq!(bench.frames(), ROOMS, "each has had its heartbeat");
    assert!(most <= 20, "{most} within a millisecond: an even share of a tick is 10");
}

#[test]
fn a_comment_wakes_its_own_room_once_and_no_other() {
    let mut bench = Bench::new(1_000, 1);
    bench.pass(2 * COUNTERS_US);
    bench.frames();
    bench.say(7);
    assert_eq!((bench.pass(COUNTERS_US), bench.frames()), (1, 1));
}

#[test]
fn a_room_without_viewers_is_woken_to_end() {
    const ROOMS: usize = 100;
    let mut bench = Bench::new(ROOMS, 0);
    assert_eq!(bench.pass(IDLE_US - 1), 0);
    assert_eq!((bench.pass(1), bench.frames()), (ROOMS as u64, 0));
    assert_eq!((bench.homes.due_us(), bench.homes.homes.len(), bench.homes.registry.len()), (None, 0, 0));
}
