//! Many rooms on one device: the batches of all rooms of a tick are stored in one commit.

mod support;

use std::path::PathBuf;
use support::viewer::{ENCODINGS, enter, number};
use support::{Client, Server};
use volley::config::Data;

const ROOMS: usize = 300;
const ROUNDS: usize = 6;
const TICK_MS: u64 = 500;

/// A directory that is removed after the test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that cannot be removed stays in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads until the client's comment is acknowledged and shown; returns the time of its frame.
fn shown_at(client: &mut Client, text: &str) -> u64 {
    let (mut acked, mut at) = (false, None);
    loop {
        let message = client.read().unwrap_or_else(|close| panic!("closed: {close:?}"));
        acked |= message.get("ack").is_some();
        if let Some(frame) = message.get("frame")
            && frame["events"].as_array().expect("events").iter().any(|event| event["comment"]["text"] == text)
        {
            at = Some(number(frame, "at"));
        }
        if let (true, Some(at)) = (acked, at) {
            return at;
        }
    }
}

/// Rooms that ticked one after the other would cause a commit each, as far as the pace of commits allows: dozens in a
/// tick.
#[test]
fn the_batches_of_three_hundred_rooms_in_a_tick_share_one_commit() {
    let scratch = Scratch(std::env::temp_dir().join(format!("volley-group-commit-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0).expect("makes a directory");
    let server = Server::start(|config| {
        (config.tick_ms, config.no_rate_limits) = (TICK_MS, true);
        config.data = Data::Directory(scratch.0.join("data"));
    });
    let mut clients: Vec<_> = (0..ROOMS).map(|n| enter(&server, &format!("room-{n}"), "", ENCODINGS[n % 2])).collect();
    let before = server.metric("volley_log_commits_total", "");
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let text = format!("round {round}");
        for client in &mut clients {
            client.send_value(&serde_json::json!({"comment": {"id": text.replace(' ', "-"), "text": text}}));
        }
        times.extend(clients.iter_mut().map(|client| shown_at(client, &text)));
    }
    assert_eq!(server.metric("volley_comments_total", ""), (ROOMS * ROUNDS) as f64);
    let commits = server.metric("volley_log_commits_total", "") - before;
    // Counts ticks, not rounds, because a round may span two ticks. The frames of one tick are made at almost the same
    // time.
    times.sort_unstable();
    let mut ticks: Vec<u64> = Vec::new();
    for at in times {
        if ticks.last().is_none_or(|first| at - first >= TICK_MS / 2) {
            ticks.push(at);
        }
    }
    assert!(commits >= ticks.len().min(ROUNDS) as f64, "{commits} commits: something was said in {ticks:?}");
    // One commit per tick on an idle machine. On a busy one a shard may pause between two rooms.
    assert!(commits <= 4.0 * ticks.len() as f64, "{commits} commits in {} ticks: {ticks:?}", ticks.len());
    server.drain();
}
