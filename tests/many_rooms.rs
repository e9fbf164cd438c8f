//! Many rooms on several shards: comments stay in their room, and all viewers of a room see the same, on whichever
//! shard they are.

mod support;

use serde_json::json;
use std::collections::BTreeMap;
use support::Server;
use support::viewer::{ENCODINGS, Seen, enter, number};

const ROOMS: usize = 48;
const COMMENTS: usize = 10;

/// Three viewers per room over four shards: almost no room has all of them and its actor on one shard.
#[test]
fn every_room_of_many_shows_one_order_to_all_its_viewers_on_four_shards() {
    let server = Server::start(|config| {
        (config.shards, config.tick_ms) = (4, 20);
        config.no_rate_limits = true;
    });
    let mut rooms: Vec<Vec<_>> = (0..ROOMS).map(|_| Vec::new()).collect();
    for n in 0..3 * ROOMS {
        let client = enter(&server, &format!("room-{}", n % ROOMS), "", ENCODINGS[n % 2]);
        let seen = Seen::after(&client.welcome, None);
        rooms[n % ROOMS].push((client, seen));
    }
    for shard in 0..4 {
        server.eventually("every shard has its share", |server| {
            server.metric("volley_connections", &format!("shard=\"{shard}\"")) >= 24.0
        });
    }
    for n in 0..COMMENTS {
        for (room, viewers) in rooms.iter_mut().enumerate() {
            let speaker = n % viewers.len();
            let said = serde_json::json!({"comment": {"text": format!("{room}: {n}")}});
            viewers[speaker].0.send_value(&said);
        }
    }
    for (room, viewers) in rooms.iter_mut().enumerate() {
        let mut orders: Vec<_> = Vec::new();
        let mut digests: BTreeMap<u64, String> = BTreeMap::new();
        for (client, seen) in viewers {
            seen.follow(client, |seen| seen.comments.len() >= COMMENTS);
            let mut texts = seen.texts();
            texts.sort_unstable();
            let mut wanted: Vec<_> = (0..COMMENTS).map(|n| format!("{room}: {n}")).collect();
            wanted.sort_unstable();
            assert_eq!(texts, wanted, "room {room}: every comment once, and no other room's");
            for (last, digest) in &seen.digests {
                assert_eq!(digests.entry(*last).or_insert_with(|| digest.clone()), digest, "room {room} at {last}");
            }
            orders.push(seen.comments.clone());
        }
        assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "room {room}: one order for all");
    }
    assert_eq!(server.metric("volley_gaps_total", ""), 0.0);
    assert_eq!(server.metric("volley_inbox_full_total", ""), 0.0);
}

#[test]
fn a_ping_is_answered_at_once_in_a_quiet_room() {
    let server = Server::start(|config| config.room.heartbeat_ms = 3_600_000);
    for encoding in ENCODINGS {
        let mut client = enter(&server, "quiet", "", encoding);
        client.send_value(&json!({"ping": {}}));
        let (told, now) = (number(&client.next("pong"), "at"), volley::clock::wall_ms());
        assert!(told.abs_diff(now) < 10_000, "the server's wall clock: {told} at {now}");
    }
    assert_eq!(server.metric("volley_admission_total", "kind=\"ping\",verdict=\"accepted\""), 2.0);
}
