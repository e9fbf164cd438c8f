//! Faults of the disk: power losses, failing and slow syncs, SIGKILL between write and sync, a full disk, damaged
//! files.

use super::{ChaosScenario, LIKES_PER_S, LOAD, examples, must_be_good, note, under_load};
use crate::chaos::ground::{Ground, Longest, Trouble, broken, fail};
use crate::chaos::posts;
use crate::chaos::shim::Shim;
use crate::check::Rule;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// The display budget of the rooms in the scenario with clock jumps.
const BUDGET_PER_S: f64 = 60.0;

pub(super) const ALL: &[ChaosScenario] = &[
    ChaosScenario {
        name: "kill-before-sync",
        inject: "SIGKILL three times between a write and its sync",
        shows: "a comment that is appended but not synced is stored once or not at all",
        is_short: false,
        run: kill_before_sync,
    },
    ChaosScenario {
        name: "power-loss",
        inject: "five power losses: only synced data remains; durability fsync",
        shows: "no acknowledged comment is lost",
        is_short: true,
        run: |ground| power_loss(ground, false),
    },
    ChaosScenario {
        name: "power-loss-torn",
        inject: "five power losses: each sector that was not synced remains or not, at random; durability fsync",
        shows: "no acknowledged comment is lost, no part of a batch appears",
        is_short: false,
        run: |ground| power_loss(ground, true),
    },
    ChaosScenario {
        name: "power-loss-write",
        inject: "five power losses with durability write",
        shows: "the checker finds the losses that this setting allows",
        is_short: true,
        run: power_loss_write,
    },
    ChaosScenario {
        name: "fsync-fails",
        inject: "three times one sync fails, and soon after the process is killed and power is lost",
        shows: "comments of the failed sync are not acknowledged; the server recovers without help",
        is_short: true,
        run: fsync_fails,
    },
    ChaosScenario {
        name: "fsync-200ms",
        inject: "every sync takes 200 ms",
        shows: "acks take longer, all clients stay live, nothing is refused",
        is_short: false,
        run: |ground| fsync_slow(ground, 200),
    },
    ChaosScenario {
        name: "fsync-2s",
        inject: "every sync takes 2 s",
        shows: "comments are answered `overloaded`, no client is disconnected, the server recovers within 5 s",
        is_short: false,
        run: |ground| fsync_slow(ground, 2_000),
    },
    ChaosScenario {
        name: "clock-jumps",
        inject: "the wall clock jumps +1 h, -1 h, +1 d and back, in rooms that show 60/s and get half of it",
        shows: "offsets, frames, timers and the display budget do not change",
        is_short: true,
        run: clock_jumps,
    },
];

/// Installs the shim between server and libc for the server's next starts.
fn shim(ground: &mut Ground) -> Result<Shim, Trouble> {
    let shim = Shim::build(&ground.folder, Path::new(&ground.recipe.data))?;
    for (name, value) in shim.environment() {
        ground.env(name, &value);
    }
    Ok(shim)
}

/// Starts the load on a server with the shim.
fn with_shim(ground: &mut Ground) -> Result<Shim, Trouble> {
    let shim = shim(ground)?;
    under_load(ground)?;
    if shim.syncs()?.0 == 0 {
        return fail("the server syncs nothing, so the shim is not active");
    }
    Ok(shim)
}

fn kill_before_sync(ground: &mut Ground) -> Result<(), Trouble> {
    let shim = with_shim(ground)?;
    for _ in 0..3 {
        ground.a_moment(300, 800);
        ground.recorder.fault("kill", Some("before sync"), true, None);
        shim.kill_before_sync(1)?;
        if !ground.server()?.was_killed(Duration::from_secs(5)) {
            return fail("the server does not sync");
        }
        ground.start()?;
        ground.recorder.fault("kill", Some("before sync"), false, None);
    }
    must_be_good(ground)
}

/// Kills the server, reduces the directory to what a power loss leaves, and starts the server again.
fn lose_power(ground: &mut Ground, shim: &Shim, torn: bool, durability: &str) -> Result<u64, Trouble> {
    ground.recorder.fault("power_loss", None, true, Some(durability));
    ground.server()?.kill();
    let lost = shim.lose_power(torn.then_some(&mut ground.dice))?;
    ground.start()?;
    ground.recorder.fault("power_loss", None, false, Some(durability));
    Ok(lost)
}

fn power_losses(ground: &mut Ground, torn: bool, durability: &str) -> Result<(), Trouble> {
    let shim = with_shim(ground)?;
    let mut lost = 0;
    for _ in 0..5 {
        ground.a_moment(1_000, 2_500);
        lost += lose_power(ground, &shim, torn, durability)?;
    }
    ground.everybody_live()?;
    ground.figure("syncs", shim.syncs()?.0);
    ground.figure("bytes lost", lost);
    Ok(())
}

fn power_loss(ground: &mut Ground, torn: bool) -> Result<(), Trouble> {
    power_losses(ground, torn, "fsync")?;
    must_be_good(ground)
}

fn power_loss_write(ground: &mut Ground) -> Result<(), Trouble> {
    ground.recipe.arguments.extend(["--durability".to_owned(), "write".to_owned()]);
    power_losses(ground, false, "write")?;
    ground.settle_if_possible();
    let verdict = ground.verdict_as_it_stands()?;
    note(ground, &verdict);
    let found: Vec<&str> = broken(&verdict).iter().map(|rule| rule.number()).collect();
    ground.figure("found by", found.join(" "));
    if verdict.of(Rule::S5).violations == 0 {
        return fail(format!("no loss was found, so the check cannot detect one: {}", examples(&verdict)));
    }
    ground.figure("losses found", verdict.of(Rule::S5).violations);
    Ok(())
}

fn fsync_fails(ground: &mut Ground) -> Result<(), Trouble> {
    let shim = with_shim(ground)?;
    for _ in 0..3 {
        ground.a_moment(500, 1_500);
        ground.recorder.fault("fsync_fails", None, true, None);
        let failed = shim.syncs()?.1;
        shim.fail_syncs(1)?;
        ground.wait(
            Duration::from_secs(5),
            || shim.syncs().is_ok_and(|now| now.1 > failed),
            || "no sync failed".into(),
        )?;
        // All comments acknowledged since must be on the disk now, and no refused ones.
        ground.a_moment(100, 1_000);
        lose_power(ground, &shim, false, "fsync")?;
        ground.recorder.fault("fsync_fails", None, false, None);
        ground.everybody_live()?;
    }
    // Once without a power loss: the log recovers.
    ground.recorder.fault("fsync_fails", None, true, None);
    shim.fail_syncs(1)?;
    ground.a_moment(1_000, 1_001);
    ground.recorder.fault("fsync_fails", None, false, None);
    let healed = heals(ground)?;
    ground.figure("healed in", format!("{} ms", healed.as_millis()));
    must_be_good(ground)
}

/// Waits until comments are acknowledged again; returns how long that took.
fn heals(ground: &mut Ground) -> Result<Duration, Trouble> {
    const WITHIN: Duration = Duration::from_secs(5);
    let (before, crowd) = (ground.counts().acked, ground.crowd()?);
    ground.wait(WITHIN, || crowd.counts().acked > before + 100, || "comments are not acknowledged again".into())
}

fn fsync_slow(ground: &mut Ground, ms: u64) -> Result<(), Trouble> {
    let shim = with_shim(ground)?;
    ground.a_moment(2_000, 2_001);
    ground.recorder.fault("fsync_slow", None, true, None);
    shim.sync_delay_ms(ms)?;
    let before = ground.counts();
    ground.a_moment(10_000, 10_001);
    let during = ground.counts();
    shim.sync_delay_ms(0)?;
    ground.recorder.fault("fsync_slow", None, false, None);
    let healed = heals(ground)?;
    ground.figure("acknowledged while slow", during.acked - before.acked);
    ground.figure("refused while slow", during.refused - before.refused);
    ground.figure("healed in", format!("{} ms", healed.as_millis()));
    if during.acked == before.acked {
        return fail("nothing was acknowledged while syncs were slow");
    }
    if ms > 1_000 && during.refused == before.refused {
        return fail("no comment was answered `overloaded`");
    }
    if ms < 1_000 && during.refused > before.refused {
        return fail(format!("{} comments were refused", during.refused - before.refused));
    }
    must_be_good(ground)
}

fn clock_jumps(ground: &mut Ground) -> Result<(), Trouble> {
    let (_, clients, rooms) = LOAD;
    let shim = shim(ground)?;
    ground.start()?;
    let settings = json!({ "settings": { "budget": BUDGET_PER_S as u32 } });
    for room in 0..rooms {
        let room = format!("room-{room}");
        posts::post(ground.recipe.addresses[1], &room, "begin", &settings).map_err(Trouble::Fail)?;
    }
    ground.invite(clients, rooms)?;
    ground.pace(rooms as f64 * BUDGET_PER_S / 2.0, LIKES_PER_S, 2.0)?;
    let mut longest = Longest::default();
    for seconds in [3_600, -3_600, 0, 86_400, 0] {
        ground.a_moment(1_000, 1_500);
        shim.wall_offset_s(seconds)?;
        // One restart with a wrong clock: the stored events are older, or younger, than now.
        if seconds == -3_600 {
            longest.add(ground.kill_and_start()?);
        }
    }
    // A log whose time stands still until the clock has caught up would show almost none of these comments.
    ground.a_moment(5_000, 5_500);
    let counts = ground.counts();
    ground.figure("jumps", 5);
    must_be_good(ground)?;
    // Comments that waited during the restart arrive all at once.
    if counts.shed * 50 > counts.acked {
        return fail(format!(
            "{} of {} comments were not shown: the clock affected the budget",
            counts.shed, counts.acked
        ));
    }
    Ok(())
}
