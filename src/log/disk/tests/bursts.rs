//! Batches that arrive together are stored together.

use super::faulty::{Faults, VFS};
use super::*;
use crate::log::suite::rig::{Collector, numbered, room};
use std::sync::Barrier;
use std::time::Duration;

/// Two shards end a tick: each appends the batches of its half of the rooms. One more room is silent, so the log cannot
/// know that the burst is complete.
#[test]
fn rooms_that_end_a_tick_together_share_one_sync() {
    const ROOMS: usize = 300;
    const TICKS: usize = 10;
    // Long enough for two threads on a busy machine. A log that did not wait for them would make a second commit in
    // this time.
    const PACE_US: u64 = 100_000;
    let scratch = Scratch::new();
    let mut options = scratch.options();
    DiskLog::start(&options).unwrap().stop();
    let faults = Faults::watch(&options.directory);
    options.vfs = Some(VFS.into());
    (options.open_max, options.quiet_us, options.pace_us) = (ROOMS + 1, PACE_US, PACE_US);
    let made = |n| (room(&format!("r{n}")), Collector::new(usize::MAX));
    let rooms: Vec<_> = (0..=ROOMS).map(made).collect();
    let log = DiskLog::start(&options).unwrap();
    std::thread::scope(|scope| {
        for part in rooms.chunks(8) {
            let log = &log;
            scope.spawn(move || part.iter().for_each(|(name, sink)| drop(log.open(name, sink.clone()).unwrap())));
        }
    });
    let before = faults.syncs.load(Ordering::SeqCst);
    let instant = Barrier::new(2);
    std::thread::scope(|scope| {
        for half in rooms[..ROOMS].chunks(ROOMS / 2) {
            let (log, instant) = (&log, &instant);
            scope.spawn(move || {
                for tick in 0..TICKS as u64 {
                    // Let the pace of the last commit pass, so that it delays no batch.
                    std::thread::sleep(Duration::from_micros(PACE_US));
                    instant.wait();
                    for (name, _) in half {
                        log.append(name, tick, numbered(tick * 7..tick * 7 + 7), 1).unwrap();
                    }
                    for (_, sink) in half {
                        assert_eq!(sink.outcome().1.unwrap().len(), 7);
                    }
                }
            });
        }
    });
    let syncs = faults.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs >= TICKS, "{syncs} syncs: each tick was waited for");
    // One sync per tick, and a few more if the machine interrupted a thread in the middle of a tick.
    assert!(syncs < TICKS + TICKS / 3, "{syncs} syncs for {TICKS} ticks");
}
