//! Fairness in a crowded room: how many comments each person sent, and how many of them were shown, without and with
//! the choice.
//!
//! The workload is a minute of 1,000 comments per second in a room that shows 60 of them: one person sends half of
//! them, a hundred others the rest, all different. `first come` is a room that shows the first comments of each tick;
//! `fair` is the room with its defaults. The Gini coefficient is 0 if all are shown equally often, and near 1 if one
//! person has everything. Nothing is timed: the same run prints the same numbers everywhere.

#![allow(clippy::print_stdout)] // The table is the result.

use std::sync::Arc;
use volley::protocol::event::Comment;
use volley::protocol::ids::Offset;
use volley::protocol::settings::{Merge, RoomSettings};
use volley::protocol::user::User;
use volley::room::core::select::{Fate, Selection};

const TICK_MS: u64 = 100;
const TICKS: u64 = 600;
const A_TICK: usize = 100;
const OTHERS: usize = 100;
const BUDGET_PER_S: u32 = 60;

/// The sender of comment `n` of a tick: person 0 sends every second one.
fn sender(tick: u64, n: usize) -> usize {
    if n.is_multiple_of(2) { 0 } else { 1 + (n / 2 + tick as usize * A_TICK / 2) % OTHERS }
}

fn comment(who: usize, text: String) -> Comment {
    let user = User { id: format!("u{who}").into(), name: format!("u{who}").into(), role: Default::default() };
    Comment::new(user, text)
}

/// How often each was shown.
fn shown(mut selection: Selection, settings: &Arc<RoomSettings>) -> Vec<u64> {
    let mut shown = vec![0; OTHERS + 1];
    let mut offset: Offset = 0;
    for tick in 0..TICKS {
        selection.open(tick * TICK_MS, settings);
        for n in 0..A_TICK {
            offset += 1;
            let text = format!("tick {tick} number {n}{}", if sender(tick, n) == 0 { "?" } else { "" });
            selection.comment(offset, &comment(sender(tick, n), text));
        }
        let count = selection.close();
        for (n, (_, note)) in selection.closed().rev().take(count).rev().enumerate() {
            shown[sender(tick, n)] += u64::from(note.fate == Fate::Shown);
        }
        selection.take(offset - A_TICK as Offset);
    }
    shown
}

/// The Gini coefficient of `values`.
fn gini(of: &[u64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    let (count, sum) = (sorted.len() as f64, sorted.iter().sum::<u64>() as f64);
    let weighted: f64 = (1..).zip(&sorted).map(|(rank, n)| f64::from(rank) * *n as f64).sum();
    2.0 * weighted / (count * sum) - (count + 1.0) / count
}

fn main() {
    let settings = |budget| Arc::new(RoomSettings { merge: Merge::Near, ..RoomSettings::new(budget, TICK_MS) });
    let sent: Vec<u64> = (0..=OTHERS)
        .map(|who| (0..TICKS).map(|tick| (0..A_TICK).filter(|n| sender(tick, *n) == who).count() as u64).sum())
        .collect();
    // First come: the budget allows the first six of each tick.
    let a_tick = u64::from(BUDGET_PER_S) * TICK_MS / 1_000;
    let mut first_come = vec![0; OTHERS + 1];
    (0..TICKS).for_each(|tick| (0..a_tick as usize).for_each(|n| first_come[sender(tick, n)] += 1));
    let fair = shown(Selection::new(usize::MAX), &settings(Some(BUDGET_PER_S)));

    println!("{:<12} {:>8} {:>22} {:>8}", "", "events", "the loudest's part", "Gini");
    let loudest = |of: &[u64]| 100.0 * of[0] as f64 / of.iter().sum::<u64>() as f64;
    for (name, of) in [("sent", &sent), ("first come", &first_come), ("fair", &fair)] {
        println!("{name:<12} {:>8} {:>20.1} % {:>8.3}", of.iter().sum::<u64>(), loudest(of), gini(of));
    }
    assert!(loudest(&fair) <= 5.0, "the promise of docs/selection.md");
}
