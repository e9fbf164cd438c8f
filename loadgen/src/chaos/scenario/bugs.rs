//! Builds with a planted bug, each of which the checker must find.

use super::crowds::in_a_crowd;
use super::{ChaosScenario, LIKES_PER_S, LOAD, examples, note, under_load};
use crate::chaos::ground::{Ground, Trouble, fail};
use crate::check::Rule;
use std::time::{Duration, Instant};

/// The time limit for finding a planted bug, from the server's start to the verdict.
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);

macro_rules! bug {
    ($name:literal, $plant:literal, $rules:expr, $load:expr) => {
        ChaosScenario {
            name: concat!("bug-", $name),
            inject: concat!("a build with a planted bug: ", $name),
            shows: "the checker catches it within 60 s",
            is_short: true,
            run: |ground| catch(ground, $plant, $rules, $load),
        }
    };
}

pub(super) const ALL: &[ChaosScenario] = &[
    bug!("ack-before-append", "ack_before_append", &[Rule::S5], under_load),
    bug!("retry-stored-twice", "retry_stored_twice", &[Rule::S7], under_load),
    bug!("silent-skip", "silent_skip", &[Rule::S13], under_load),
    bug!("epoch-reset", "epoch_reset", &[Rule::S10], under_load),
    bug!("swapped-frames", "swapped_frames", &[Rule::S2, Rule::S4], under_load),
    bug!("lost-tail", "lost_tail", &[Rule::S5], under_load),
    bug!("lost-digest", "lost_digest", &[Rule::S11], in_a_crowd),
    bug!("shed-uncounted", "shed_uncounted", &[Rule::S13], in_a_crowd),
];

/// Runs a server with the bug `plant`: at least one of `rules` must be violated.
fn catch(
    ground: &mut Ground,
    plant: &str,
    rules: &[Rule],
    load: fn(&mut Ground) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let began = Instant::now();
    ground.env("FAULT_PLANT", plant);
    load(ground)?;
    // Many lost answers make many retries.
    ground.pace(LOAD.0, LIKES_PER_S, 60.0)?;
    for _ in 0..4 {
        ground.a_moment(800, 1_500);
        ground.kill_and_start()?;
    }
    ground.a_moment(1_000, 1_001);
    ground.settle_if_possible();
    let verdict = ground.verdict_as_it_stands()?;
    note(ground, &verdict);
    let took = began.elapsed();
    let caught: Vec<&str> = verdict.violated().iter().map(|rule| rule.number()).collect();
    ground.figure("caught by", caught.join(" "));
    ground.figure("caught in", format!("{:.0} s", took.as_secs_f64()));
    if !verdict.violated().iter().any(|rule| rules.contains(rule)) {
        let said = examples(&verdict);
        return fail(format!("`{plant}` was not caught by {}: {said}", rules[0].number()));
    }
    if took > CAUGHT_WITHIN {
        return fail(format!("it took {} s", took.as_secs()));
    }
    Ok(())
}
