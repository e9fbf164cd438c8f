//! Runs the contestants in turn.

use super::pair::{Outcome, Pair};
use super::plan::{Cell, JOINED, Load, Plan};
use super::table;

/// One row's rounds: the floor's and Volley's.
pub struct Row {
    pub cell: Cell,
    pub floor: Vec<Outcome>,
    pub volley: Vec<Outcome>,
}

pub fn main(plan: &Plan) {
    println!("{}", table::title(plan));
    let mut rows = Vec::new();
    for (n, &viewers) in plan.viewers.iter().enumerate() {
        let (mut floor, mut volley) = (Pair::start("floor", viewers), Pair::start("volley", viewers));
        if n == 0 {
            calibrate(&mut floor, plan, viewers);
        }
        let first = rows.len();
        rows.extend(plan.cells(viewers).into_iter().map(|cell| Row { cell, floor: Vec::new(), volley: Vec::new() }));
        for round in 0..plan.rounds {
            for row in &mut rows[first..] {
                // The second contestant finds the machine as the first one left it, so the order alternates.
                if round % 2 == 0 {
                    row.floor.push(floor.measure(row.cell, plan.burst));
                }
                row.volley.push(volley.measure(row.cell, plan.burst));
                if round % 2 == 1 {
                    row.floor.push(floor.measure(row.cell, plan.burst));
                }
            }
        }
    }
    println!("{}", table::rows(&rows));
    println!("{}", table::verdict(&rows));
    let wrong: u64 = rows.iter().flat_map(|row| row.floor.iter().chain(&row.volley)).map(|o| o.wrong).sum();
    assert!(!plan.is_test || wrong == 0, "{wrong} bytes or sockets were not as sent");
}

/// The reader's throughput when the floor floods it, with single and joined frames.
fn calibrate(floor: &mut Pair, plan: &Plan, viewers: usize) {
    let (least, most) = (plan.sizes.iter().min(), plan.sizes.iter().max());
    let mut floods = vec![(*least.expect("a size"), 1), (*least.expect("a size"), JOINED)];
    if most > least {
        floods.push((*most.expect("a size"), JOINED));
    }
    for (bytes, join) in floods {
        let cell = Cell { viewers, bytes, load: Load::Unbounded };
        println!("{}", table::capacity(cell, join, &floor.burst(cell, join, plan.burst, 0)));
    }
}
