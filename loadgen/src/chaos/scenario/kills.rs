//! SIGKILL at random moments, and a run without faults.

use super::{ChaosScenario, must_be_good, under_load};
use crate::chaos::ground::{Ground, Longest, Trouble, fail};

pub(super) const ALL: &[ChaosScenario] = &[
    ChaosScenario {
        name: "calm",
        inject: "no fault; clients cut their own connections, 10 s",
        shows: "clients, history and checker find no fault in a healthy server",
        is_short: true,
        run: calm,
    },
    ChaosScenario {
        name: "sigkill-10",
        inject: "SIGKILL 10 times at random moments, 300 clients, 2,000 comments/s",
        shows: "acknowledged comments are kept, once, in one order; every client continues where it stopped",
        is_short: true,
        run: |ground| sigkill(ground, 10),
    },
    ChaosScenario {
        name: "sigkill-200",
        inject: "SIGKILL 200 times at random moments, 300 clients, 2,000 comments/s",
        shows: "the same, 200 times",
        is_short: false,
        run: |ground| sigkill(ground, 200),
    },
];

fn calm(ground: &mut Ground) -> Result<(), Trouble> {
    under_load(ground)?;
    ground.a_moment(10_000, 10_001);
    must_be_good(ground)
}

fn sigkill(ground: &mut Ground, kills: u32) -> Result<(), Trouble> {
    under_load(ground)?;
    let mut longest = Longest::default();
    for _ in 0..kills {
        ground.a_moment(300, 1_500);
        longest.add(ground.kill_and_start()?);
    }
    ground.figure("kills", kills);
    ground.figure("longest start", format!("{} ms", longest.0.as_millis()));
    let counts = ground.counts();
    if counts.acked < u64::from(kills) {
        return fail(format!("only {} comments were acknowledged: the run shows nothing", counts.acked));
    }
    must_be_good(ground)
}
