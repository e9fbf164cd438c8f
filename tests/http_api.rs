//! Pages, the room list, and the operators' figures.

mod support;

use std::sync::atomic::Ordering;
use support::gateway::{Client, Server, config, upgrade, wait_until};
use volley::api::File;

fn get(server: &Server, path: &str) -> support::gateway::Answer {
    server.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
}

#[test]
fn the_room_list_has_only_public_facts() {
    let server = Server::start(&config());
    assert_eq!(get(&server, "/v1/rooms").body, r#"{"rooms":[],"total":0}"#);
    assert_eq!(server.ask(upgrade("/v1/rooms/demo/ws", "")).status, 101);
    // The public list may be half a second old; the operators' is not.
    let detail = server.ask_admin("/v1/rooms");
    assert_eq!(detail.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_str(&detail.body).unwrap();
    assert_eq!(json["rooms"][0]["room"], "demo");
    assert_eq!(json["rooms"][0]["claims"], 1);
    wait_until("the room is listed", || {
        get(&server, "/v1/rooms").body
            == r#"{"rooms":[{"room":"demo","online":0,"likes":0,"comments":0,"last":0}],"total":1}"#
    });
}

#[test]
fn head_says_what_get_would_and_every_answer_is_safe() {
    let server = Server::start(&config());
    let mut client = server.connect();
    client.send("HEAD /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.answer_to("HEAD").unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("22")), "{head:?}");
    let missing = client.answer();
    assert_eq!((missing.status, missing.code().as_str()), (404, "not_found"));
    for answer in [head, missing] {
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("referrer-policy").is_some());
    }
}

#[test]
fn health_and_readiness_are_different_questions() {
    let server = Server::start(&config());
    assert_eq!(server.ask_admin("/readyz").status, 503, "not before it accepts");
    server.listening.begin();
    assert_eq!(server.ask_admin("/readyz").status, 200);
    assert_eq!(server.ask_admin("/healthz").status, 200);
    server.stuck.store(true, Ordering::SeqCst);
    let sick = server.ask_admin("/healthz");
    assert_eq!(sick.status, 503);
    assert!(sick.body.contains("shard 0 has not moved"), "{sick:?}");
}

#[test]
fn a_scrape_has_every_part_and_the_right_counts() {
    let server = Server::start(&config());
    assert_eq!(server.ask(upgrade("/v1/rooms/demo/ws", "")).status, 101);
    assert_eq!(server.ask(upgrade("/v1/rooms/demo/ws", "Origin: null\r\n")).status, 403);
    wait_until("the hand-over is counted", || {
        let scrape = server.ask_admin("/metrics");
        assert_eq!(scrape.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        ["volley_handshake_seconds_count", "volley_accepts_total", "volley_refusals_total{reason=\"origin\"}"]
            .iter()
            .all(|name| {
                let line = scrape.body.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
                line[name.len() + 1..].parse::<u64>().unwrap() > 0
            })
    });
    let text = server.ask_admin("/metrics").body;
    for line in [
        "volley_admission_total{kind=\"like\",verdict=\"rate_limited\"} 2",
        "volley_room_online{room=\"demo\"} 0",
        "volley_build_info{version=",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "volley_handshake_seconds_bucket{le=\"0.0001\"} ",
    ] {
        assert!(text.lines().any(|candidate| candidate.starts_with(line)), "{line} is missing");
    }
    // Each series must occur once; otherwise Prometheus refuses the whole scrape.
    let mut series: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
}

#[test]
fn the_operators_address_has_no_pages_and_no_websockets() {
    let server = Server::start(&config());
    for path in ["/", "/rooms/demo", "/v1/rooms/demo/ws"] {
        assert_eq!(server.ask_admin(path).status, 404, "{path}");
    }
    let mut client = Client::connect(server.admin);
    client.send(upgrade("/v1/rooms/demo/ws", "").replace("good.test", "localhost"));
    assert_eq!(client.answer().status, 404);
}

#[test]
fn every_embedded_file_is_served_typed_and_revalidated() {
    let server = Server::start(&config());
    for name in ["index.html", "watch.html"] {
        assert!(File::find(name).is_some(), "{name} is not in the binary");
    }
    for file in File::ALL {
        let path = match file.name {
            "index.html" => "/".to_owned(),
            "watch.html" => "/rooms/demo".to_owned(),
            name if name.starts_with("assets/") => format!("/{name}"),
            name => panic!("{name} is in the binary and has no address"),
        };
        let answer = get(&server, &path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.body.as_bytes(), file.bytes, "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_ne!(answer.header("content-type"), Some("application/octet-stream"), "{path} has no type");
        let again = server.ask(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/{}\r\nConnection: close\r\n\r\n",
            file.etag
        ));
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        assert_eq!(again.header("etag"), Some(file.etag));
    }
}
