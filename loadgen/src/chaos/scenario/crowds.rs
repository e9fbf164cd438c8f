//! A crowded room: it merges, chooses and counts, while clients resume, lag and vote, and comments are deleted.

use super::{ChaosScenario, LIKES_PER_S, LOAD, must_be_good};
use crate::chaos::crowd::Habits;
use crate::chaos::ground::{Ground, Trouble, fail};
use crate::chaos::posts::{self, OwnerPlan, Posts};
use serde_json::json;

pub(super) const ALL: &[ChaosScenario] = &[ChaosScenario {
    name: "crowd",
    inject: "near-duplicates at 2,000/s into 3 rooms that show 60/s; slow readers; gifts, polls, deletions; two kills",
    shows: "merged, chosen and shed comments add up; no guaranteed event is left out; deleted comments are not shown",
    is_short: true,
    run: crowd,
}];

/// Few rooms, so that each is crowded.
const ROOMS: usize = 3;
/// Posts of the show's owner a second.
const POSTS_PER_S: f64 = 20.0;

/// Starts a server whose rooms choose and merge (which `--no-rate-limits` turned off), and lets the crowd send
/// comments.
pub(super) fn in_a_crowd(ground: &mut Ground) -> Result<(), Trouble> {
    let (comments, clients, _) = LOAD;
    ground.habits = Habits { near_duplicates: 0.6, votes_per_s: 50.0, slow: 6, asking: 10 };
    // A small send buffer, so that the server notices a slow reader soon.
    ground.set("connection.sndbuf_bytes", "8192");
    ground.start()?;
    let settings = json!({ "settings": { "budget": 60, "merge": "near" } });
    for room in rooms() {
        posts::post(ground.recipe.addresses[1], &room, "begin", &settings).map_err(Trouble::Fail)?;
    }
    ground.invite(clients, ROOMS)?;
    ground.pace(comments, LIKES_PER_S, 3.0)
}

fn rooms() -> Vec<String> {
    (0..ROOMS).map(|n| format!("room-{n}")).collect()
}

fn crowd(ground: &mut Ground) -> Result<(), Trouble> {
    in_a_crowd(ground)?;
    let plan =
        OwnerPlan { addresses: ground.recipe.addresses, rooms: rooms(), per_s: POSTS_PER_S, seed: ground.dice.next() };
    let owner = Posts::start(plan, &ground.recorder);
    // One lull of the slow readers and the time after it; then the same with kills.
    ground.a_moment(11_000, 12_000);
    ground.kill_and_start()?;
    ground.a_moment(5_000, 6_000);
    ground.kill_and_start()?;
    ground.a_moment(4_000, 5_000);
    let done = owner.end().map_err(Trouble::Fail)?;
    let counts = ground.counts();
    ground.figure("put back", counts.climbed);
    ground.figure("posts", done.stored);
    ground.figure("polls", done.polls);
    ground.figure("deletions", done.deleted);
    ground.figure("taken along", done.taken_along);
    must_be_good(ground)?;
    let nothing = [
        ("merged", counts.merged),
        ("shed", counts.shed),
        ("put on the lighter rendition", counts.slid),
        ("deleted", done.deleted),
        ("resumed", counts.recovered),
    ];
    match nothing.iter().find(|(_, count)| *count == 0) {
        Some((what, _)) => fail(format!("nothing was {what}: the run shows less than it says")),
        None => Ok(()),
    }
}
