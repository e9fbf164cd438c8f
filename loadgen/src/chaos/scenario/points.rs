//! SIGKILL at each step of the path of a comment.

use super::{ChaosScenario, must_be_good, under_load};
use crate::chaos::ground::{Ground, Longest, Trouble, fail};
use crate::chaos::server::Server;
use std::path::Path;
use std::time::Duration;

/// The number of kills at one point.
const DEATHS: u32 = 3;
/// A point that is not reached under load within this time does not exist.
const REACHED_WITHIN: Duration = Duration::from_secs(20);

macro_rules! at {
    ($name:literal, $point:literal, $hits:expr, $shows:literal) => {
        ChaosScenario {
            name: concat!("kill-", $name),
            inject: concat!("SIGKILL three times: ", $name),
            shows: $shows,
            is_short: false,
            run: |ground| die_at(ground, $point, $hits),
        }
    };
}

pub(super) const ALL: &[ChaosScenario] = &[
    at!("received", "received", 2_000, "a comment without an ack is stored once or not at all"),
    at!("admitted", "admitted", 2_000, "a comment without an ack is stored once or not at all"),
    at!("batched", "batched", 2_000, "a comment without an ack is stored once or not at all"),
    at!("before-append", "before_append", 200, "a comment without an ack is stored once or not at all"),
    // One commit per tick, ten a second; the first some thirty open the rooms.
    at!("in-append", "in_append", 120, "a batch is stored completely or not at all"),
    at!("synced-not-acked", "synced_not_acked", 120, "the comment is stored; its retry gets the same offset"),
    at!("acked-not-broadcast", "acked_not_broadcast", 200, "acknowledged comments reach all viewers after a restart"),
    at!("in-broadcast", "in_broadcast", 2_000, "viewers with and without the frame have the same comments afterwards"),
    ChaosScenario {
        name: "kill-in-retention",
        inject: "SIGKILL three times: in retention, with logs of 100 events a room",
        shows: "retained events are complete, deleted events stay deleted",
        is_short: false,
        run: |ground| {
            ground.set("room.batch_events_max", "100");
            ground.set("room.log_events_max", "100");
            die_at(ground, "in_retention", 100)
        },
    },
    ChaosScenario {
        name: "kill-in-recovery",
        inject: "SIGKILL during recovery, three times in a row, each time a step later",
        shows: "recovery can be restarted repeatedly",
        is_short: true,
        run: die_in_recovery,
    },
];

/// Fills a log, kills the server, and kills it again at each step of its recovery.
fn die_in_recovery(ground: &mut Ground) -> Result<(), Trouble> {
    under_load(ground)?;
    ground.a_moment(5_000, 5_001);
    ground.recorder.fault("kill", Some("in_recovery"), true, None);
    ground.server()?.kill();
    for step in 1..=3 {
        ground.env("FAULT_KILL", &format!("in_recovery:{step}"));
        let mut server = Server::spawn(&ground.recipe)?;
        if !server.was_killed(REACHED_WITHIN) {
            return fail(format!("recovery has no step {step}"));
        }
    }
    ground.env("FAULT_KILL", "");
    let bytes = folder_bytes(Path::new(&ground.recipe.data));
    let took = ground.start()?;
    ground.recorder.fault("kill", Some("in_recovery"), false, None);
    ground.figure("log", format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)));
    ground.figure("start", format!("{} ms", took.as_millis()));
    ground.everybody_live()?;
    // A start without a log takes time too, which is not the log's.
    let bound = Duration::from_millis(500) + Duration::from_secs(2).mul_f64(bytes as f64 / f64::from(100 << 20));
    if took > bound {
        return fail(format!("the start took {} ms, the bound is {} ms", took.as_millis(), bound.as_millis()));
    }
    must_be_good(ground)
}

/// Bytes of the files in a flat folder.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Kills the server at `point` several times, each time after a random number of hits below `hits`.
fn die_at(ground: &mut Ground, point: &str, hits: u64) -> Result<(), Trouble> {
    let arm = |ground: &mut Ground| {
        let n = ground.dice.between(hits / 4, hits);
        ground.env("FAULT_KILL", &format!("{point}:{n}"));
    };
    arm(ground);
    under_load(ground)?;
    let mut longest = Longest::default();
    for death in 1..=DEATHS {
        if !ground.server()?.was_killed(REACHED_WITHIN) {
            return fail(format!("the server did not reach `{point}`"));
        }
        // The fault is recorded from the process's end on, because its exact moment is not visible from outside.
        ground.recorder.fault("kill", Some(point), true, None);
        if death == DEATHS {
            ground.env("FAULT_KILL", "");
        } else {
            arm(ground);
        }
        longest.add(ground.start()?);
        ground.recorder.fault("kill", Some(point), false, None);
        if death < DEATHS {
            // The server may already be about to die again, so the scenario does not wait for all clients.
            continue;
        }
        ground.everybody_live()?;
        ground.a_moment(1_000, 1_001);
    }
    ground.figure("kills", DEATHS);
    ground.figure("longest start", format!("{} ms", longest.0.as_millis()));
    must_be_good(ground)
}
