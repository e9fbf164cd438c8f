//! Valid upgrades: the agreed parameters, the hand-over, and the release of places.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use support::gateway::{Server, config, upgrade, wait_until};
use volley::config::cli::{self, Command};
use volley::gateway::{Purpose, Upgraded};
use volley::origin::Origins;
use volley::policy::auth::{AuthError, Authenticator, Credentials, Guests, Identity};
use volley::protocol::ids::{Epoch, Offset};
use volley::protocol::variant::Encoding;

const WS: &str = "/v1/rooms/demo/ws";

fn resume(upgraded: &Upgraded) -> Option<(Epoch, Offset)> {
    match &upgraded.purpose {
        Purpose::Watch { resume, .. } => *resume,
        #[cfg(feature = "echo")]
        Purpose::Echo => None,
    }
}

/// The next socket that the gateway handed over.
fn handed_over(server: &Server) -> Upgraded {
    wait_until("a hand-over", || !server.shard.kept.lock().unwrap().is_empty());
    server.shard.kept.lock().unwrap().remove(0)
}

#[test]
fn a_bare_request_gets_json_and_nothing_it_did_not_ask_for() {
    let server = Server::start(&config());
    let mut client = server.connect();
    client.send(upgrade(WS, ""));
    let answer = client.answer();
    assert_eq!(answer.status, 101, "{answer:?}");
    // The example of RFC 6455, 1.3 (the helper shows heads in lower case).
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pplmbitxaq9kygzzhzrbk+xoo="));
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("connection"), Some("upgrade"));
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    assert_eq!(answer.header("content-length").or(answer.header("transfer-encoding")), None, "a 101 has no body");
    let upgraded = handed_over(&server);
    assert_eq!((upgraded.encoding, upgraded.compressed), (Encoding::Json, false));
    assert_eq!(resume(&upgraded), None);
    assert_eq!(upgraded.peer, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert!(upgraded.leftover.is_empty());
}

/// The bytes of every message depend on it: the shard must be told the answered parameters.
#[test]
fn compression_is_agreed_to_as_far_as_shared_frames_can_satisfy_it() {
    const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
    const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let mut on = config();
    on.compression.enabled = true;
    let server = Server::start(&on);
    for (offer, answer) in [
        ("permessage-deflate; client_max_window_bits", Some(AGREED.to_owned())),
        ("permessage-deflate; server_max_window_bits=15", Some(format!("{AGREED}; server_max_window_bits=15"))),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", Some(AGREED.to_owned())),
        ("permessage-deflate; server_max_window_bits=10", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("x-another", None),
    ] {
        let answered = server.ask(upgrade(WS, &format!("{EXTENSIONS}: {offer}\r\n")));
        assert_eq!(answered.status, 101, "{offer}");
        assert_eq!(answered.header("sec-websocket-extensions"), answer.as_deref(), "{offer}");
        assert_eq!(handed_over(&server).compressed, answer.is_some(), "{offer}");
    }
    assert_eq!(server.ask(upgrade(WS, &format!("{EXTENSIONS}: permessage-deflate; =\r\n"))).status, 400);
    drop(server);
    // Off is the default.
    let server = Server::start(&config());
    let answered = server.ask(upgrade(WS, &format!("{EXTENSIONS}: permessage-deflate\r\n")));
    assert_eq!((answered.status, answered.header("sec-websocket-extensions")), (101, None));
    assert!(!handed_over(&server).compressed);
}

/// A list of origins, as the configuration reads it.
fn listed(origins: &[&str]) -> Origins {
    Origins::read(origins.iter().copied()).expect("origins")
}

/// An answer without the parts that vary: hyper adds the date.
fn meaning(answer: &support::gateway::Answer) -> (u16, Vec<String>, String) {
    let mut lines: Vec<String> =
        answer.head.lines().skip(1).filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
    lines.sort();
    (answer.status, lines, answer.body.clone())
}

/// The first request of a connection takes the short way if it is a valid upgrade; later ones always take hyper's.
#[test]
fn both_ways_to_an_upgrade_say_the_same() {
    let mut config = config();
    config.admission.origins = listed(&["https://shop.test"]);
    let server = Server::start(&config);
    let proper = upgrade(WS, "");
    let with = |lines: &str| upgrade(WS, lines);
    let rows: Vec<(String, u16)> = vec![
        (proper.clone(), 101),
        (with("Sec-WebSocket-Protocol: volley.v1.msgpack\r\n"), 101),
        (with("Sec-WebSocket-Protocol: mqtt\r\nsec-websocket-protocol:volley.v1.json\r\n"), 101),
        (with("Origin: https://shop.test\r\nCookie: a=\u{e4}\r\n"), 101),
        (with("X-Empty:\r\nX-Tab: a\tb \r\nExpect: 100-continue\r\n"), 101),
        // Unknown headers are ignored.
        (with("X: \u{e4}\r\nCF-IPCity: S\u{e3}o Paulo\r\nReferer: http://a.test/\u{5f39}?\u{e4}\r\n"), 101),
        (with("X-Forwarded-For: \u{e4}\r\nForwarded:\r\nVia: \u{e4}\r\nUser-Agent:\r\nUser-Agent: x\r\n"), 101),
        (with("!#$%&'*+-.^_`|~: odd\r\nTE: trailers\r\nContent-Type: \u{e4}\r\nAuthorization: \u{e4}\r\n"), 101),
        // Harmless oddities of deployed clients and proxies.
        // Another scheme than Bearer is a proxy's.
        (with("Authorization: Basic dTpw\r\n"), 101),
        (with("Authorization: Bearer CANARY\r\n"), 401),
        (
            with(
                "authorization:bearer CANARY\r\nSec-WebSocket-Protocol: volley.guest.0123456789abcdef, volley.v1.json\r\n",
            ),
            401,
        ),
        (with("Authorization: Bearer\r\n"), 400),
        (with("Authorization: Bearer CANARY\r\nAuthorization: Basic dTpw\r\n"), 400),
        (with("Authorization: Bearer \u{e4}\r\n"), 400),
        (with("Sec-WebSocket-Protocol:\r\n"), 101),
        (with("Sec-WebSocket-Protocol: ,\t, \r\n"), 101),
        (with("Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: ,volley.v1.msgpack,,\r\n"), 101),
        (with("Sec-WebSocket-Extensions:\r\n"), 101),
        (with("Sec-WebSocket-Extensions: ,\r\nSec-WebSocket-Extensions:\r\n"), 101),
        (with("Sec-WebSocket-Version: 13\r\n"), 101),
        (proper.replace("Version: 13", "Version:  13 , 13,"), 101),
        (proper.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"), 101),
        (proper.replace("Upgrade: websocket", "UPGRADE:WEBSOCKET\r\nUpgrade:"), 101),
        (proper.replace("keep-alive, Upgrade", "Upgrade,, HTTP2-Settings\r\nConnection: keep-alive"), 101),
        (proper.replace("ub25jZQ==", "ub25jZQ== \t"), 101),
        (with("Origin:\r\n"), 101),
        (with("Content-Length: 0\r\n"), 101),
        (proper.replace("Host: good.test", "Host:  good.test\t"), 101),
        (proper.replace("Host: good.test", "Host:"), 101),
        (proper.replace("Host: good.test", "Host: GOOD.test:80").replace("GET ", "GET http://good.TEST"), 101),
        // Heads that two readers could understand differently, and values that are read but invalid.
        (proper.replace("Host: good.test", "Host: evil.test").replace("GET ", "GET http://good.test"), 400),
        (proper.replace("Host: good.test", "Host: good.test:81").replace("GET ", "GET http://good.test"), 400),
        (proper.replace("GET ", "GET http://x@good.test"), 400),
        (proper.replace("Host: good.test", "Host: x@good.test"), 400),
        (proper.replace("Host: good.test", "Host: good.test, good.test"), 400),
        (proper.replace("Host: good.test", "Host: g\u{f6}\u{f6}d.test"), 400),
        (proper.replace("Host: good.test", "Host: good.test/x"), 400),
        (with("Origin: https://shop.test\u{e4}\r\n"), 403),
        (with("Origin:\r\nOrigin: https://evil.test\r\n"), 403),
        (with("Origin: https://shop.test\r\nOrigin:\r\n"), 403),
        (with("Sec-WebSocket-Protocol: volley.v1.json, \u{e4}\r\n"), 400),
        (with("Sec-WebSocket-Extensions: \u{e4}\r\n"), 400),
        (with("Sec-WebSocket-Version: \u{e4}\r\n"), 400),
        (with("Upgrade: \u{e4}\r\n"), 400),
        (with("Connection: \u{e4}\r\n"), 400),
        (with("Sec-WebSocket-Version: 8\r\n"), 426),
        (proper.replace("Version: 13", "Version: 13, 8"), 426),
        (proper.replace("Version: 13", "Version:"), 426),
        (with("Sec-WebSocket-Key:\r\n"), 400),
        (with("Content-Length:\r\n"), 400),
        (with("Content-Length: 00\r\n"), 400),
        (with("Content-Length: 0, 0\r\n"), 400),
        (with("Transfer-Encoding:\r\n"), 400),
        (with(&"X: y\r\n".repeat(60)), 101),
        (with("Sec-WebSocket-Protocol: volley.v1.json, volley.guest.0123456789abcdef\r\n"), 101),
        (with("Sec-WebSocket-Protocol: volley.v1.json, volley.guest.short\r\n"), 400),
        (with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"), 101),
        (with("Sec-WebSocket-Extensions: x; y=z\r\nsec-websocket-extensions:permessage-deflate\r\n"), 101),
        (with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n"), 101),
        (with("Sec-WebSocket-Extensions: permessage-deflate;\r\n"), 400),
        (upgrade("http://good.test/v1/rooms/demo/ws?epoch=9f3a&after=812&token=x", ""), 101),
        (upgrade("/v1/rooms/%64emo/ws?rendition=viewer", ""), 101),
        (format!("\r\n{proper}"), 101),
        (proper.replace("\r\n", "\n"), 101),
        (format!("{proper}first frames"), 101),
        (with(&format!("X: {}\r\n", "y".repeat(8_000))), 101),
        (with("Origin: https://evil.test\r\n"), 403),
        (with("Host: other.test\r\n"), 400),
        (with("X : y\r\n"), 400),
        (with("X: a\r\n b\r\n"), 400),
        (with(&"X: y\r\n".repeat(200)), 431),
        (with("Content-Length: 0\r\nContent-Length: 0\r\n"), 400),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        (with("Sec-WebSocket-Protocol: mqtt\r\n"), 400),
        (proper.replace("GET ", "get "), 405),
        (proper.replace("GET ", "POST "), 405),
        (proper.replace("HTTP/1.1", "HTTP/1.0"), 400),
        (proper.replace("Version: 13", "Version: 8"), 426),
        (proper.replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        (upgrade("/v1/rooms/a.b/ws", ""), 400),
        (upgrade("/v1/rooms/demo/ws?after=1", ""), 400),
        (upgrade("/v1/rooms/demo/ws#here", ""), 101),
        (upgrade("/v1/rooms/demo", ""), 404),
        (upgrade("v1/rooms/demo/ws", ""), 400),
    ];
    for (request, status) in rows {
        let first = server.ask(&request);
        let first_way = (first.status == 101).then(|| handed_over(&server));
        let mut client = server.connect();
        client.send("GET /v1/rooms HTTP/1.1\r\nHost: good.test\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        client.send(&request);
        let later = client.answer();
        let later_way = (later.status == 101).then(|| handed_over(&server));

        assert_eq!(first.status, status, "{request:?}: {first:?}");
        assert_eq!(meaning(&first), meaning(&later), "{request:?}");
        let agreed = |way: &Option<Upgraded>| {
            way.as_ref().map(|u| (u.encoding, u.compressed, resume(u), u.leftover.clone(), u.peer))
        };
        assert_eq!(agreed(&first_way), agreed(&later_way), "{request:?}");
        assert!(later.status != 101 || later.header("date").is_some(), "the later one did not go hyper's way");
    }
    assert!(server.ask(&proper).header("date").is_none(), "a proper upgrade did not take the short way");
    assert!(server.ask(with(&"X: y\r\n".repeat(60))).header("date").is_some(), "too many lines for the short way");
}

/// A page's socket may be opened before it is used.
#[test]
fn late_and_split_requests_are_served_like_others() {
    let server = Server::start(&config());
    let request = upgrade(WS, "");
    let mut late: Vec<_> = (0..20).map(|_| server.connect()).collect();
    wait_until("all are accepted", || server.permits.held() == 20);
    for client in &mut late {
        client.send(&request);
        assert_eq!(client.answer().status, 101);
    }
    for _ in &late {
        drop(handed_over(&server));
    }
    let mut pieces = server.connect();
    pieces.stream.set_nodelay(true).unwrap();
    for byte in request.as_bytes() {
        pieces.send([*byte]);
    }
    assert_eq!(pieces.answer().status, 101);
    assert!(handed_over(&server).leftover.is_empty());
}

#[test]
fn the_first_known_subprotocol_of_the_client_wins() {
    let server = Server::start(&config());
    for (lines, encoding) in [
        ("Sec-WebSocket-Protocol: volley.v1.msgpack\r\n", Encoding::Msgpack),
        ("Sec-WebSocket-Protocol: mqtt, volley.v1.json ,volley.v1.msgpack\r\n", Encoding::Json),
        ("Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: volley.v1.msgpack\r\n", Encoding::Msgpack),
    ] {
        let answer = server.ask(upgrade(WS, lines));
        assert_eq!(answer.header("sec-websocket-protocol"), Some(encoding.subprotocol()), "{lines}");
        assert_eq!(handed_over(&server).encoding, encoding, "{lines}");
    }
}

#[test]
fn a_position_in_the_address_arrives_and_strange_parameters_do_not_matter() {
    let server = Server::start(&config());
    let target = format!("{WS}?token=CANARY&rendition=viewer&epoch=9f3a&x&after=812&=&history=5");
    assert_eq!(server.ask(upgrade(&target, "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n")).status, 101);
    let upgraded = handed_over(&server);
    assert_eq!(resume(&upgraded), Some((Epoch::parse("9f3a").unwrap(), 812)));
    assert_eq!(upgraded.peer, IpAddr::V4(Ipv4Addr::LOCALHOST), "a header has no say in who the peer is");
}

#[test]
fn pages_of_this_server_and_of_the_list_may_connect() {
    let mut config = config();
    config.admission.origins = listed(&["https://shop.test"]);
    let server = Server::start(&config);
    for origin in ["http://good.test", "https://good.test:443", "https://shop.test"] {
        assert_eq!(server.ask(upgrade(WS, &format!("Origin: {origin}\r\n"))).status, 101, "{origin}");
    }
    for origin in ["http://shop.test", "https://shop.test:444", "https://shop.test.evil.test"] {
        assert_eq!(server.ask(upgrade(WS, &format!("Origin: {origin}\r\n"))).status, 403, "{origin}");
    }
}

#[test]
fn pages_of_apps_and_extensions_may_connect_as_the_operator_lists_them() {
    let arguments =
        ["volley", "--set", "admission.origins=capacitor://localhost,tauri://localhost/,HTTPS://Shop.test:443/"];
    let Ok(Command::Serve(args)) = cli::parse(arguments.map(Into::into)) else { panic!("a command line to serve") };
    let loaded =
        volley::config::load(&args, std::iter::empty(), |_| unreachable!("no file is named")).expect("is right");
    let mut config = config();
    config.admission.origins = loaded.config.admission.origins;
    let server = Server::start(&config);
    for (origin, status) in [
        ("capacitor://localhost", 101),
        ("tauri://localhost", 101),
        ("https://shop.test", 101),
        ("http://shop.test", 403),
        ("ionic://localhost", 403),
        ("tauri://localhost/", 403),
        ("null", 403),
    ] {
        assert_eq!(server.ask(upgrade(WS, &format!("Origin: {origin}\r\n"))).status, status, "{origin}");
    }
}

/// Browsers hide the answer to a refused upgrade; a plain request to the same address shows it.
#[test]
fn a_page_can_ask_why_its_upgrade_is_refused() {
    let mut config = config();
    config.admission.origins = listed(&["https://shop.test"]);
    config.room.rooms_max = 1;
    let server = Server::start(&config);
    let ask = |method: &str, target: &str, lines: &str| {
        server.ask(format!("{method} {target} HTTP/1.1\r\nHost: good.test\r\n{lines}Connection: close\r\n\r\n"))
    };
    for (target, lines, status, code) in [
        ("/v1/rooms/demo/ws?check=1", "", 200, ""),
        ("/v1/rooms/demo/ws?check", "Connection: upgrade\r\n", 200, ""),
        ("/v1/rooms/demo/ws?check=1", "Origin: https://shop.test\u{ff}\r\n", 403, "forbidden_origin"),
        ("/v1/rooms/demo/ws?check=1&origin=https%3A%2F%2Fgood.test", "", 200, ""),
        ("/v1/rooms/demo/ws?history=5&check=1&origin=https://shop.test&epoch=9f3a&after=812", "", 200, ""),
        ("/v1/rooms/demo/ws?check=1", "Origin: https://shop.test\r\n", 200, ""),
        ("/v1/rooms/demo/ws?check=1", "Origin: https://evil.test\r\n", 403, "forbidden_origin"),
        ("/v1/rooms/demo/ws?check=1&origin=https%3A%2F%2Fevil.test", "", 403, "forbidden_origin"),
        ("/v1/rooms/demo/ws?check=1&origin=", "", 403, "forbidden_origin"),
        ("/v1/rooms/demo/ws?check=1&origin=%ff", "", 400, "bad_payload"),
        ("/v1/rooms/demo/ws?check=1&origin=a&origin=a", "", 400, "bad_payload"),
        ("/v1/rooms/a.b/ws?check=1", "", 400, "bad_room"),
        ("/v1/rooms/demo/ws?check=1&after=1", "", 400, "bad_payload"),
        ("/v1/rooms/demo/ws?check=1&rendition=x", "", 400, "not_available"),
        ("/v1/rooms/demo/ws?check=1", "Authorization: Bearer CANARY\r\n", 401, "not_available"),
        ("/v1/rooms/demo/ws?check=1", "Authorization: Basic dTpw\r\n", 200, ""),
        ("/v1/rooms/demo/ws?unchecked=1", "", 426, "upgrade_required"),
        ("/v1/rooms/demo/ws?check=1", "Content-Length: 1\r\n", 400, "bad_request"),
    ] {
        let answer = ask("GET", target, lines);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{target} {lines}: {answer:?}");
        let is_readable = answer.header("access-control-allow-origin") == Some("*");
        assert_eq!(is_readable, !["upgrade_required", "bad_request"].contains(&code), "{target} {lines}: {answer:?}");
        if status == 200 {
            assert_eq!((answer.body.as_str(), answer.header("cache-control")), ("{\"ok\":true}\n", Some("no-store")));
        }
    }
    assert_eq!(server.rooms.open.lock().unwrap().len(), 0, "a question opens no room");
    assert_eq!(ask("POST", "/v1/rooms/demo/ws?check=1", "").status, 405);
    assert_eq!(server.ask(upgrade("/v1/rooms/demo/ws?check=1&origin=x", "")).status, 101, "an upgrade is one");
    assert_eq!(ask("GET", "/v1/rooms/second/ws?check=1", "").code(), "rooms_full");
    assert_eq!(ask("GET", "/v1/rooms/demo/ws?check=1", "").status, 200, "this one is open");
    assert_eq!(server.rooms.open.lock().unwrap()[0].claims.load(Ordering::SeqCst), 1);
}

#[test]
fn the_socket_arrives_ready_for_a_shard_with_the_bytes_behind_the_request() {
    let server = Server::start(&config());
    let mut client = server.connect();
    client.send([upgrade(WS, "").as_bytes(), b"first frames"].concat());
    assert_eq!(client.answer().status, 101);
    let mut upgraded = handed_over(&server);
    assert_eq!(upgraded.leftover, "first frames");
    let would_block = upgraded.stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(would_block.kind(), std::io::ErrorKind::WouldBlock, "the socket does not block");

    let socket = socket2::SockRef::from(&upgraded.stream);
    let wanted = config().connection;
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.send_buffer_size().unwrap(), 2 * wanted.sndbuf_bytes);
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), wanted.notsent_lowat_bytes);
    assert_eq!(socket.tcp_user_timeout().unwrap().unwrap().as_millis(), u128::from(wanted.user_timeout_ms));

    upgraded.stream.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    client.stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

#[test]
fn a_room_is_held_from_the_upgrade_to_the_end_of_the_viewer() {
    let server = Server::start(&config());
    assert_eq!(server.ask(upgrade(WS, "")).status, 101);
    assert_eq!(server.ask(upgrade(WS, "")).status, 101);
    let claims = || server.rooms.open.lock().unwrap()[0].claims.load(Ordering::SeqCst);
    let (first, second) = (handed_over(&server), handed_over(&server));
    assert_eq!((claims(), server.permits.held()), (2, 2));
    drop(first);
    assert_eq!((claims(), server.permits.held()), (1, 1));
    drop(second);
    assert_eq!((claims(), server.permits.held()), (0, 0));
}

/// Knows one token; another one names the error with which it is refused.
struct OneToken;

impl Authenticator for OneToken {
    fn identify(&self, credentials: &Credentials) -> Result<Identity, AuthError> {
        let Some(token) = &credentials.token else { return Guests.identify(credentials) };
        if token.secret() != "right" {
            let wrong = AuthError::ALL.iter().find(|error| format!("{error:?}") == token.secret());
            return Err(*wrong.expect("an error's name"));
        }
        let mut identity = Guests.guest(credentials.guest.as_ref());
        identity.user.name = "Li".into();
        Ok(identity)
    }
}

const PLAIN: &str = "GET /v1/rooms HTTP/1.1\r\nHost: good.test\r\n\r\n";

#[test]
fn who_a_client_is_travels_with_its_socket_by_both_ways() {
    let server = Server::start_with(&config(), Arc::new(OneToken));
    let key = "Sec-WebSocket-Protocol: volley.v1.json, volley.guest.0123456789abcdef\r\n";
    for (lines, id, name) in [
        ("Authorization: Bearer right\r\n".to_owned(), "", "Li"),
        (format!("{key}Authorization: bearer  right\r\n"), "g-bop3bmnwek2xv", "Li"),
        (key.to_owned(), "g-bop3bmnwek2xv", "guest"),
        (format!("{key}Authorization: Basic right\r\n"), "g-bop3bmnwek2xv", "guest"),
    ] {
        for before in ["", PLAIN] {
            let mut client = server.connect();
            if !before.is_empty() {
                client.send(before);
                assert_eq!(client.answer().status, 200);
            }
            client.send(upgrade(WS, &lines));
            assert_eq!(client.answer().status, 101, "{lines}");
            #[cfg_attr(not(feature = "echo"), allow(irrefutable_let_patterns))]
            let Purpose::Watch { identity, .. } = handed_over(&server).purpose else { panic!("a viewer's socket") };
            assert!(identity.user.id.starts_with(id) && identity.user.name.starts_with(name), "{lines}: {identity:?}");
        }
    }
}

/// The page says what the server does.
#[test]
fn who_is_not_identified_is_refused_as_documented_and_opens_no_room() {
    let server = Server::start_with(&config(), Arc::new(OneToken));
    let documented = include_str!("../docs/protocol.md");
    for error in AuthError::ALL {
        let expected = error.answer();
        let answer = server.ask(upgrade(WS, &format!("Authorization: Bearer {error:?}\r\n")));
        assert_eq!((answer.status, answer.code().as_str()), (expected.status, expected.code), "{answer:?}");
        let challenge = (expected.status == 401).then_some("bearer error=\"invalid_token\"");
        assert_eq!(answer.header("www-authenticate"), challenge, "{answer:?}");
        let row = format!("| {} | `{}` | {} |", expected.status, expected.code, expected.close.code());
        assert!(documented.contains(&row), "docs/protocol.md lacks {row}");
    }
    assert!(server.rooms.open.lock().unwrap().is_empty());
}

#[test]
fn a_token_is_not_repeated_where_none_is_taken() {
    let server = Server::start(&config());
    for lines in ["Authorization: Bearer CANARY\r\n", "Authorization: Bearer CANARY\r\nAuthorization: Basic CANARY\r\n"]
    {
        let answer = server.ask(upgrade(WS, lines));
        assert!(!answer.head.contains("canary") && !answer.body.contains("CANARY"), "{answer:?}");
    }
    assert!(server.rooms.open.lock().unwrap().is_empty());
}
