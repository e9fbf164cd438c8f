//! Malformed HTTP and malformed upgrades: a clear answer, no effect on other connections, everything freed.

mod support;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::gateway::{Client, Server, config, upgrade, wait_until};

const WS: &str = "/v1/rooms/demo/ws";

fn get(path: &str, lines: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: good.test\r\n{lines}\r\n").into_bytes()
}

#[test]
fn bytes_that_are_not_http_are_answered_or_closed_and_harm_no_other_client() {
    let server = Server::start(&config());
    let headers = |n: usize| (0..n).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    // Status 0: closed without an answer.
    let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("2,000 headers", get("/", &headers(2_000)), &[431]),
        ("one header of 100 kB", get("/", &format!("X: {}\r\n", "y".repeat(100_000))), &[431]),
        ("a path of 100 kB", get(&format!("/{}", "y".repeat(100_000)), ""), &[414, 431]),
        ("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0".to_vec(), &[400, 0]),
        ("a TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400, 0]),
        ("noise", (0u16..4_096).map(|n| (n * 7 % 251) as u8).chain(*b"\r\n\r\n").collect(), &[400, 0]),
        ("a PROXY v1 header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n".to_vec(), &[400, 0]),
        ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), &[400, 0]),
        ("HTTP/3.7", b"GET / HTTP/3.7\r\nHost: a\r\n\r\n".to_vec(), &[400, 0]),
        ("a NUL in a header", get("/", "X: a\0b\r\n"), &[400]),
        ("a space before the colon", get("/", "X : a\r\n"), &[400]),
        ("a folded header", get("/", "X: a\r\n b\r\n"), &[400]),
        ("byte 0xFF in Host", b"GET /v1/rooms HTTP/1.1\r\nHost: a\xff\r\n\r\n".to_vec(), &[400]),
        ("a Host with a path", b"GET /v1/rooms HTTP/1.1\r\nHost: a/b\r\n\r\n".to_vec(), &[400]),
        ("another host in the target", b"GET http://b/v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), &[400]),
        ("two Hosts in HTTP/1.0", b"GET /v1/rooms HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".to_vec(), &[400]),
        ("no Host", b"GET /v1/rooms HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        ("two Hosts", get("/v1/rooms", "Host: other.test\r\n"), &[400]),
        ("CL and TE", get("/v1/rooms", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), &[400]),
        ("TE and CL", get("/v1/rooms", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n"), &[400]),
        ("an unknown transfer encoding", get("/v1/rooms", "Transfer-Encoding: gzip\r\n"), &[400]),
        ("a signed length", get("/v1/rooms", "Content-Length: +5\r\n\r\nhello"), &[400]),
        ("a negative length", get("/v1/rooms", "Content-Length: -5\r\n\r\nhello"), &[400]),
        ("a huge length", get("/v1/rooms", "Content-Length: 99999999999999999999\r\n"), &[400]),
        ("two lengths", get("/v1/rooms", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), &[400]),
        ("one length twice", get("/v1/rooms", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), &[400]),
        ("a list of lengths", get("/v1/rooms", "Content-Length: 5, 5\r\n\r\nhello"), &[400]),
        ("a body", get("/v1/rooms", "Content-Length: 5\r\n\r\nhello"), &[413]),
        ("100 MB announced", get("/v1/rooms", "Content-Length: 100000000\r\n\r\n"), &[413]),
        (
            "chunks without end",
            get("/v1/rooms", &format!("Transfer-Encoding: chunked\r\n\r\n{}", "1\r\na\r\n".repeat(9_999))),
            &[413],
        ),
    ];
    for (name, bytes, expected) in rows {
        let mut client = server.connect();
        client.send(bytes);
        let status = client.answer_to("GET").map_or(0, |answer| answer.status);
        assert!(expected.contains(&status), "{name}: {status}, expected one of {expected:?}");
        // The connection is closed, because the bytes after a malformed request are not a request.
        client.rest();
        server.assert_well(name);
    }
    assert!(server.shard.kept.lock().unwrap().is_empty());
    wait_until("everything is freed", || server.permits.held() == 0);
}

#[test]
fn paths_lead_nowhere_they_should_not() {
    let server = Server::start(&config());
    for (path, expected) in [
        ("/ws/../admin".to_owned(), [404, 404]),
        ("/%2e%2e/%2e%2e/etc/passwd".into(), [404, 404]),
        ("/assets/../index.html".into(), [404, 404]),
        ("/assets/%2e%2e/index.html".into(), [404, 404]),
        ("/assets/..%2findex.html".into(), [404, 404]),
        ("/assets/%2Fetc%2Fpasswd".into(), [404, 404]),
        ("/assets/".into(), [404, 404]),
        ("/%00".into(), [404, 400]),
        ("/rooms/%00".into(), [404, 400]),
        ("/rooms/%ff".into(), [404, 400]),
        ("/rooms/%zz".into(), [404, 400]),
        ("/rooms/a%20b".into(), [404, 404]),
        (format!("/rooms/{}", "y".repeat(65)), [404, 404]),
        (format!("/{}", "y".repeat(10_000)), [404, 400]),
        (format!("/v1/rooms/{}/ws", "y".repeat(10_000)), [404, 400]),
        ("/v1/rooms/../../admin/ws".into(), [404, 404]),
        ("/v1/rooms/demo/ws/".into(), [404, 404]),
        ("//".into(), [404, 404]),
        // The operators' paths exist on the admin address only.
        ("/metrics".into(), [404, 404]),
        ("/healthz".into(), [404, 404]),
        ("/readyz".into(), [404, 404]),
        ("/v1/echo".into(), if cfg!(feature = "echo") { [426, 426] } else { [404, 404] }),
    ] {
        let answer = server.ask(get(&path, "Connection: close\r\n"));
        assert!(expected.contains(&answer.status), "{path:.60}: {answer:?}");
        assert!(!answer.code().is_empty(), "{path:.60} has no code: {answer:?}");
    }
    server.assert_well("strange paths");
}

#[test]
fn methods_that_mean_nothing_here_are_refused() {
    let server = Server::start(&config());
    let ask =
        |line: &str, more: &str| server.ask(format!("{line} HTTP/1.1\r\nHost: a\r\n{more}Connection: close\r\n\r\n"));
    for line in [
        "TRACE /",
        "TRACE /nowhere",
        "POST /v1/rooms",
        "DELETE /v1/rooms",
        "OPTIONS /v1/rooms",
        "BREW /",
        "CONNECT a:80",
    ] {
        let answer = ask(line, "");
        assert_eq!(answer.status, 405, "{line}: {answer:?}");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("get")), "{line}: {answer:?}");
        assert_eq!(answer.code(), "method_not_allowed");
    }
    // No header changes the method or the target of a request.
    assert_eq!(ask("GET /v1/rooms", "X-HTTP-Method-Override: DELETE\r\n").status, 200);
    assert_eq!(ask("POST /v1/rooms", "X-HTTP-Method-Override: GET\r\n").status, 405);
}

#[test]
fn upgrades_that_are_not_proper_are_refused_with_the_reason() {
    let server = Server::start(&config());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let proper = upgrade(WS, "");
    let swap = |from: &str, to: &str| {
        assert!(proper.contains(from));
        proper.replace(from, to).into_bytes()
    };
    let with = |lines: &str| upgrade(WS, lines).into_bytes();
    let query = |query: &str| upgrade(&format!("{WS}?{query}"), "").into_bytes();
    let room = |room: &str| upgrade(&format!("/v1/rooms/{room}/ws"), "").into_bytes();
    let rows: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("no Upgrade", get(WS, ""), 426, "upgrade_required"),
        ("Upgrade: h2c", swap("Upgrade: websocket", "Upgrade: h2c"), 426, "upgrade_required"),
        ("Connection: close", swap("keep-alive, Upgrade", "close"), 426, "upgrade_required"),
        ("version 8", swap("Version: 13", "Version: 8"), 426, "bad_version"),
        ("version 130", swap("Version: 13", "Version: 130"), 426, "bad_version"),
        ("no version", swap("Sec-WebSocket-Version: 13\r\n", ""), 426, "bad_version"),
        ("no key", swap(key, ""), 400, "bad_key"),
        ("two keys", swap(key, &key.repeat(2)), 400, "bad_key"),
        ("an empty key", swap(key, "Sec-WebSocket-Key:\r\n"), 400, "bad_key"),
        ("a key of 15 bytes", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400, "bad_key"),
        ("a key that is not base64", swap("dGhlIHNh", "dGhl!HNh"), 400, "bad_key"),
        ("POST", swap("GET ", "POST "), 405, "method_not_allowed"),
        ("PUT", swap("GET ", "PUT "), 405, "method_not_allowed"),
        ("HTTP/1.0", swap("HTTP/1.1", "HTTP/1.0"), 400, "bad_request"),
        ("a body", [with("Content-Length: 5\r\n"), b"hello".to_vec()].concat(), 400, "bad_request"),
        (
            "a chunked body",
            [with("Transfer-Encoding: chunked\r\n"), b"0\r\n\r\n".to_vec()].concat(),
            400,
            "bad_request",
        ),
        ("an evil origin", with("Origin: https://evil.test\r\n"), 403, "forbidden_origin"),
        ("a longer origin", with("Origin: https://good.test.evil.test\r\n"), 403, "forbidden_origin"),
        ("another port", with("Origin: https://good.test:444\r\n"), 403, "forbidden_origin"),
        ("no origin to speak of", with("Origin: null\r\n"), 403, "forbidden_origin"),
        ("two origins", with("Origin: http://good.test\r\nOrigin: http://good.test\r\n"), 403, "forbidden_origin"),
        (
            "byte 0xFF in the origin",
            [&proper.as_bytes()[..proper.len() - 2], b"Origin: http://good.test\xff\r\n\r\n"].concat(),
            403,
            "forbidden_origin",
        ),
        (
            "byte 0xFF in the key",
            [&swap(key, "")[..proper.len() - key.len() - 2], b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ\xff==\r\n\r\n"]
                .concat(),
            400,
            "bad_request",
        ),
        (
            "an unknown subprotocol",
            with("Sec-WebSocket-Protocol: mqtt, volley.v9.json\r\n"),
            400,
            "unknown_subprotocol",
        ),
        ("no subprotocol but null", with("Sec-WebSocket-Protocol: null\r\n"), 400, "unknown_subprotocol"),
        ("a room with a dot", room("a.b"), 400, "bad_room"),
        ("a room without a name", room(""), 400, "bad_room"),
        ("a room of 65", room(&"y".repeat(65)), 400, "bad_room"),
        ("a room with a NUL", room("%00"), 400, "bad_room"),
        ("a room that climbs", room("%2e%2e"), 400, "bad_room"),
        ("rendition=audio", query("rendition=audio"), 400, "not_available"),
        ("rendition=FULL", query("rendition=FULL"), 400, "not_available"),
        ("epoch alone", query("epoch=1"), 400, "bad_payload"),
        ("after alone", query("after=1"), 400, "bad_payload"),
        ("after 2^64", query("epoch=1&after=18446744073709551616"), 400, "bad_payload"),
        ("after 2^53", query("epoch=1&after=9007199254740992"), 400, "bad_payload"),
        ("after -1", query("epoch=1&after=-1"), 400, "bad_payload"),
        ("after as text", query("epoch=1&after=%22x%22"), 400, "bad_payload"),
        ("an epoch of 17 digits", query("epoch=00000000000000000&after=1"), 400, "bad_payload"),
    ];
    for (name, bytes, status, code) in rows {
        let answer = server.ask(bytes);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}: {answer:?}");
        assert!(answer.message().len() > 10, "{name} says nothing: {answer:?}");
        match code {
            "upgrade_required" => assert_eq!(answer.header("upgrade"), Some("websocket"), "{name}"),
            "bad_version" => assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{name}"),
            "method_not_allowed" => assert_eq!(answer.header("allow"), Some("get"), "{name}"),
            "unknown_subprotocol" => assert!(answer.message().contains("volley.v1.json, volley.v1.msgpack"), "{name}"),
            _ => {}
        }
    }
    server.assert_well("bad upgrades");
    assert!(server.shard.kept.lock().unwrap().is_empty());
    assert_eq!(server.rooms.open.lock().unwrap().len(), 0, "a refused upgrade opens no room");
    wait_until("everything is freed", || server.permits.held() == 0);
}

#[test]
fn a_silent_or_slow_connection_is_closed_at_the_deadline() {
    let server = Server::start(&config());
    let began = Instant::now();
    let silent = server.connect();
    let mut half = server.connect();
    half.send("GET /v1/rooms HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let mut dripping = server.connect();
    let drip = std::thread::spawn(move || {
        // One byte every 50 ms never completes a head, but each byte is a sign of life.
        while dripping.stream.write_all(b"G").is_ok() {
            assert!(began.elapsed() < support::gateway::PATIENCE, "a dripping connection lives for ever");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(silent.rest(), b"");
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(390), "closed before the deadline, after {waited:?}");
    assert!(waited < Duration::from_secs(3), "closed long after the deadline, after {waited:?}");
    assert_eq!(half.rest(), b"");
    drip.join().unwrap();
    wait_until("everything is freed", || server.permits.held() == 0);
    server.assert_well("slow connections");
}

#[test]
fn a_kept_alive_connection_answers_again_and_outlives_the_handshake_deadline() {
    let server = Server::start(&config());
    let mut client = server.connect();
    for _ in 0..3 {
        client.send("GET /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        std::thread::sleep(Duration::from_millis(300)); // Three such pauses are twice the deadline.
    }
    client.send(upgrade(WS, ""));
    assert_eq!(client.answer().status, 101, "a browser may upgrade a connection that it used before");
}

#[test]
fn the_connection_beyond_the_address_cap_gets_429_and_others_are_served() {
    let mut config = config();
    config.admission.connections_per_address_max = 20;
    let server = Server::start(&config);
    let mut viewers: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.send(upgrade(WS, "X-Forwarded-For: 192.0.2.7\r\n"));
            assert_eq!(client.answer().status, 101);
            client
        })
        .collect();
    let answer = server.ask(upgrade(WS, "X-Forwarded-For: 192.0.2.8\r\n"));
    assert_eq!((answer.status, answer.code().as_str()), (429, "too_many_connections"), "{answer:?}");
    assert!(answer.header("retry-after").is_some());

    // A different address is not affected. Nor do 300 more connections of this one affect others.
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&server.public.into()).unwrap();
    let storm: Vec<Client> = (0..300).map(|_| server.connect()).collect();
    let mut other = Client::from_stream(other.into());
    other.send(upgrade(WS, ""));
    assert_eq!(other.answer().status, 101);
    for client in storm {
        let said = client.rest();
        assert!(said.starts_with(b"HTTP/1.1 429 "), "a refusal is an answer: {}", String::from_utf8_lossy(&said));
    }

    // A place is freed when a viewer's connection ends, which only the shard sees.
    viewers.pop();
    drop(server.shard.kept.lock().unwrap().remove(0)); // The oldest is one of these twenty.
    wait_until("a place is free", || server.ask(upgrade(WS, "")).status == 101);
}

#[test]
fn the_connection_beyond_the_total_gets_503() {
    let mut config = config();
    config.admission.connections_max = 3;
    let server = Server::start(&config);
    let _held: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            client.send(upgrade(WS, ""));
            assert_eq!(client.answer().status, 101);
            client
        })
        .collect();
    let answer = server.ask(get("/v1/rooms", ""));
    assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"), "{answer:?}");
    assert!(answer.header("retry-after").is_some() && answer.header("connection") == Some("close"));
    assert_eq!(server.ask_admin("/healthz").status, 200, "the operator still gets in");
}

#[test]
fn a_full_registry_says_when_to_come_back() {
    let mut config = config();
    config.room.rooms_max = 1;
    let server = Server::start(&config);
    assert_eq!(server.ask(upgrade(WS, "")).status, 101);
    let answer = server.ask(upgrade("/v1/rooms/second/ws", ""));
    assert_eq!((answer.status, answer.code().as_str()), (503, "rooms_full"), "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.ask(upgrade(WS, "")).status, 101, "the room that is open stays open to all");
}

#[test]
fn a_full_inbox_closes_with_1013_and_frees_everything() {
    let server = Server::start(&config());
    server.shard.full.store(true, Ordering::SeqCst);
    let mut client = server.connect();
    client.send(upgrade(WS, ""));
    assert_eq!(client.answer().status, 101);
    let rest = client.rest();
    assert_eq!(
        rest[..4],
        [0x88, u8::try_from(rest.len() - 2).unwrap(), 0x03, 0xf5],
        "a Close frame with 1013: {rest:?}"
    );
    wait_until("everything is freed", || server.permits.held() == 0);
    let rooms = server.rooms.open.lock().unwrap();
    assert_eq!(rooms[0].claims.load(Ordering::SeqCst), 0, "the claim is given back");
}

#[test]
fn draining_closes_the_door_and_tells_connected_clients() {
    let server = Server::start(&config());
    server.listening.begin();
    assert_eq!(server.ask_admin("/readyz").status, 200);
    let mut inside = server.connect();
    inside.send("GET /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(inside.answer().status, 200);

    server.shutdown.begin();
    wait_until("the listener is closed", || server.ended.load(Ordering::SeqCst) == 1);
    assert!(std::net::TcpStream::connect(server.public).is_err(), "nobody listens any more");
    inside.send(upgrade(WS, ""));
    let answer = inside.answer();
    assert_eq!((answer.status, answer.code().as_str()), (503, "draining"), "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(inside.rest(), b"");
    assert_eq!(server.ask_admin("/readyz").status, 503);
    assert_eq!(server.ask_admin("/healthz").status, 200, "a drain is no illness");
}

/// Panics on the server's threads; a failing test panics on its own thread.
static SERVER_PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn no_change_of_a_proper_request_makes_the_server_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name().is_some_and(|name| name.starts_with("tokio")) {
            SERVER_PANICS.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
    let server = Server::start(&config());
    let proper =
        upgrade(&format!("{WS}?rendition=viewer&epoch=9f3a&after=812&token=x"), "Origin: http://good.test\r\n");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64; // xorshift64: the same requests in every run.
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    const SPECIAL: &[u8] = b"\0\r\n%:/?&=, \xff\x80[]@\"";
    for _ in 0..2_000 {
        let mut bytes = proper.clone().into_bytes();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            let byte = if random(2) == 0 { SPECIAL[random(SPECIAL.len())] } else { random(256) as u8 };
            match random(4) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at + 1),
            }
        }
        let mut client = server.connect();
        client.send(&bytes);
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        // Any answer is fine; an upgraded socket is dropped, as a shard does after its peer's end.
        let _ = client.answer_to("GET");
        server.shard.kept.lock().unwrap().clear();
    }
    assert_eq!(SERVER_PANICS.load(Ordering::SeqCst), 0);
    server.assert_well("mutated requests");
    wait_until("everything is freed", || {
        server.shard.kept.lock().unwrap().clear();
        server.permits.held() == 0
    });
}
