//! Limits on connections, and the release of everything that a connection held.

mod support;

use serde_json::json;
use std::net::TcpStream;
use support::viewer::{ENCODINGS, Seen, enter, refused};
use support::{Client, Server};

/// This process's open descriptors.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("on Linux").count()
}

/// Raises this process's limit of descriptors to the maximum.
fn raise_descriptors() {
    rlimit::increase_nofile_limit(3_000).expect("raises the soft limit");
}

/// One more connection, which is refused.
fn one_more(server: &Server) -> support::viewer::Answer {
    let mut stream = TcpStream::connect(server.public).expect("accepted, to be told");
    refused(&mut stream, "/v1/rooms/one-more/ws")
}

#[test]
fn one_address_has_its_share_and_gets_it_back() {
    let server = Server::start(|config| config.admission.connections_per_address_max = 5);
    let mut held: Vec<Client> = (0..5).map(|n| enter(&server, "share", "", ENCODINGS[n % 2])).collect();
    for _ in 0..3 {
        let answer = one_more(&server);
        assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_connections"));
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
    assert_eq!(server.metric("volley_refusals_total", "per_address"), 3.0);
    assert_eq!(server.metric("volley_connections", ""), 5.0);
    assert_eq!(held[0].comment("c", "nobody else is concerned")["outcome"], "shown");
    drop(held.pop());
    server.eventually("the place is free again", |server| {
        Client::connect(server.public, "/v1/rooms/share/ws", None).is_ok()
    });
    held.clear();
    server.eventually("all are gone", |server| server.metric("volley_connections", "") == 0.0);
    held.extend((0..5).map(|_| server.join("share")));
    assert_eq!(one_more(&server).status, 429, "the share is as large as before, not larger");
}

#[test]
fn all_clients_together_have_a_bound_and_are_told_so() {
    let server = Server::start(|config| config.admission.connections_max = 8);
    let mut held: Vec<Client> = (0..8).map(|n| enter(&server, "bound", "", ENCODINGS[n % 2])).collect();
    let answer = one_more(&server);
    assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(server.metric("volley_refusals_total", "reason=\"connections\""), 1.0);
    assert_eq!(held[7].comment("c", "still served")["outcome"], "shown");
    held.clear();
    server.eventually("there is place again", |server| {
        Client::connect(server.public, "/v1/rooms/bound/ws", None).is_ok()
    });
}

#[test]
fn a_viewer_that_says_nothing_is_a_viewer() {
    let server = Server::start(|config| {
        config.connection.ping_ms = 100;
        config.connection.idle_ms = 60_000;
        config.room.counters_ms = 50;
    });
    let mut silent = enter(&server, "silent", "", ENCODINGS[1]);
    let mut seen = Seen::after(&silent.welcome, None);
    for n in 0..5 {
        let mut talker = server.join("silent");
        talker.comment("c", &format!("{n}"));
        seen.until(&mut silent, &n.to_string());
    }
    seen.follow(&mut silent, |seen| seen.online == 1);
    assert_eq!(seen.texts(), ["0", "1", "2", "3", "4"]);
    assert_eq!(server.metric("volley_closes_total", "code=\"4"), 0.0);
}

#[test]
fn three_thousand_short_connections_leave_nothing_behind() {
    const ROUNDS: usize = 20;
    const AT_ONCE: usize = 150;
    raise_descriptors();
    let server = Server::start(|config| {
        config.room.idle_s = 1;
        config.admission.connections_per_address_max = 4_000;
    });
    // Everything that is opened once (the scrape's own sockets, thread pools) is open from here on.
    drop(server.join("first"));
    server.eventually("the first is gone", |server| server.metric("volley_connections", "") == 0.0);
    let before = descriptors();
    for round in 0..ROUNDS {
        let clients: Vec<Client> = (0..AT_ONCE)
            .map(|n| {
                let room = format!("churn-{}-{}", round % 4, n % 40);
                let mut client =
                    Client::connect(server.public, &format!("/v1/rooms/{room}/ws"), Some(ENCODINGS[n % 2])).unwrap();
                match n % 3 {
                    // Closes before its welcome is read,
                    0 => {}
                    // with a comment just before the close,
                    1 => client.send_value(&json!({"comment": {"text": "bye"}})),
                    // or by the closing handshake.
                    _ => {
                        client.next("welcome");
                        let _ = client.socket.close(None);
                    }
                }
                client
            })
            .collect();
        if round % 2 == 0 {
            for client in &clients {
                // By a reset instead of a close frame.
                socket2::SockRef::from(client.socket.get_ref()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            }
        }
    }
    server.eventually("no connection is left", |server| server.metric("volley_connections", "") == 0.0);
    server.eventually("no room is left", |server| {
        server.metric("volley_rooms", "") == 0.0
            && server.get(server.admin, "/v1/rooms").1 == r#"{"rooms":[],"total":0}"#
    });
    server.eventually("no descriptor is left", |_| descriptors() <= before);
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
    assert_eq!(server.metric("volley_laggards", ""), 0.0);
    // The server continues as before.
    assert_eq!(server.join("churn-0-0").comment("c", "after the storm")["outcome"], "shown");
}
