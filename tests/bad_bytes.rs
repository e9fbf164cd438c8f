//! Broken WebSocket bytes over a real socket: each gets its close code, and no other connection is affected.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};
use support::{Client, Server, frame};
use tokio_tungstenite::tungstenite::Message;

/// Connects, sends `bytes` raw, and returns the close code.
fn code_for(server: &Server, bytes: &[u8]) -> Option<u16> {
    let mut client = server.join("bad");
    // The server may close in the middle of it.
    let _ = client.raw(bytes);
    client.close_code()
}

#[test]
fn every_kind_of_broken_frame_gets_its_close_code_and_affects_no_other_client() {
    let server = Server::start(|config| config.connection.stalled_ms = 5_000);
    let mut bystander = server.join("bad");
    let close = |code: u16| frame(0x88, &code.to_be_bytes());
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked client frame", vec![0x81, 0x01, b'x'], 1002),
        ("RSV1 without extension", frame(0xc1, b"x"), 1002),
        ("RSV2", frame(0xa1, b"x"), 1002),
        ("RSV3", frame(0x91, b"x"), 1002),
        ("opcode 3", frame(0x83, b"x"), 1002),
        ("opcode 7", frame(0x87, b"x"), 1002),
        ("opcode B", frame(0x8b, b""), 1002),
        ("opcode F", frame(0x8f, b""), 1002),
        ("64-bit length with top bit", [&[0x81, 0xff][..], &(1_u64 << 63).to_be_bytes(), &[0; 4]].concat(), 1002),
        ("5 bytes with a length of two bytes", [&[0x81, 0xfe, 0, 5, 0, 0, 0, 0], &b"hello"[..]].concat(), 1002),
        ("300 bytes with a length of eight", [&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 44], &[0; 304][..]].concat(), 1002),
        ("its header alone", vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 1, 44, 0, 0, 0, 0], 1002),
        ("a ping with a length of two bytes", vec![0x89, 0xfe, 0, 1, 0, 0, 0, 0, b'x'], 1002),
        ("a close with a length of eight", vec![0x88, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("a long length in a continuation", [frame(0x01, b"x"), vec![0x80, 0xfe, 0, 0, 0, 0, 0, 0]].concat(), 1002),
        ("ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
        ("fragmented ping", frame(0x09, b"x"), 1002),
        ("fragmented close", frame(0x08, &1000_u16.to_be_bytes()), 1002),
        ("continuation without start", frame(0x80, b"x"), 1002),
        ("new text inside an open fragment run", [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("a 17th fragment", [frame(0x01, b"x"), frame(0x00, b"x").repeat(16)].concat(), 1008),
        ("1-byte fragments that never end", [frame(0x01, b"x"), frame(0x00, b"x").repeat(100_000)].concat(), 1008),
        ("4,097-byte message", frame(0x81, &[b'x'; 4_097]), 1009),
        ("only its header", frame(0x81, &[b'x'; 4_097])[..8].to_vec(), 1009),
        ("fragments summing over 4 KiB", [frame(0x01, &[b'x'; 4_000]), frame(0x80, &[b'x'; 97])].concat(), 1009),
        ("binary in a text session", frame(0x82, b"{}"), 1003),
        ("UTF-8: C0 AF", frame(0x81, b"\xc0\xaf"), 1007),
        ("UTF-8: surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("UTF-8: above U+10FFFF", frame(0x81, b"\xf4\x90\x80\x80"), 1007),
        ("UTF-8: cut sequence", frame(0x81, b"\xe4\xbd"), 1007),
        ("UTF-8: broken first fragment fails fast", frame(0x01, b"\xc0\xaf"), 1007),
        ("close payload of 1 byte", frame(0x88, b"x"), 1002),
        ("close code 0", close(0), 1002),
        ("close code 999", close(999), 1002),
        ("close code 1004", close(1004), 1002),
        ("close code 1005", close(1005), 1002),
        ("close code 1006", close(1006), 1002),
        ("close code 1015", close(1015), 1002),
        ("close code 1016", close(1016), 1002),
        ("close code 2999", close(2999), 1002),
        ("close code 5000", close(5000), 1002),
        ("close reason that is not UTF-8", frame(0x88, b"\x03\xe8\xff\xfe"), 1007),
        ("a flood of pings", frame(0x89, b"x").repeat(10_000), 1008),
        ("a flood of unsolicited pongs", frame(0x8a, b"x").repeat(10_000), 1008),
    ];
    for (what, bytes, code) in &table {
        assert_eq!(code_for(&server, bytes), Some(*code), "{what}");
    }
    let ack = bystander.comment("still", "我还在");
    assert_eq!(ack["outcome"], "shown");
    server.eventually("only the bystander is left", |server| {
        server.get(server.public, "/v1/rooms").1.contains(r#""online":1"#)
            && server.metric("volley_connections", "") == 1.0
    });
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
    for code in [1002, 1003, 1007, 1008, 1009] {
        let expected = table.iter().filter(|(_, _, c)| *c == code).count();
        let label = format!("code=\"{code}\"");
        // The server answers a close with a bad code, so the close counts as the peer's.
        assert!(server.metric("volley_closes_total", &label) <= expected as f64, "{code}");
    }
}

#[test]
fn text_in_a_binary_session_is_refused() {
    let server = Server::start(|_| ());
    let mut client = Client::connect(server.public, "/v1/rooms/bad/ws", Some("volley.v1.msgpack")).unwrap();
    client.next("welcome");
    client.send("{}");
    assert_eq!(client.close_code(), Some(1003));
}

#[test]
fn pings_within_the_budget_are_answered_in_order() {
    let server = Server::start(|_| ());
    let mut client = server.join("ping");
    for n in 0..10_u8 {
        client.raw(&frame(0x89, &[n; 5])).unwrap();
    }
    let mut pongs = Vec::new();
    while pongs.len() < 10 {
        if let Ok(Message::Pong(payload)) = client.socket.read() {
            pongs.push(payload[0]);
        }
    }
    assert_eq!(pongs, (0..10).collect::<Vec<_>>());
}

/// Sends a piece per second until the server closes or 13 s have passed, and then `last`; returns how and when the
/// server closed.
fn paced(server: &Server, pieces: &[Vec<u8>], last: &[u8]) -> Option<(u16, Duration)> {
    let mut client = server.join("paced");
    let began = Instant::now();
    for (n, piece) in pieces.iter().take(13).enumerate() {
        std::thread::sleep(Duration::from_secs(n as u64).saturating_sub(began.elapsed()));
        if client.raw(piece).is_err() {
            break;
        }
    }
    // A client that is still served receives an answer to this ping.
    let _ = client.raw(&[last, &frame(0x89, b"there?")].concat());
    loop {
        match client.socket.read() {
            Ok(Message::Pong(payload)) if &payload[..] == b"there?" => return None,
            Ok(Message::Close(Some(close))) => return Some((close.code.into(), began.elapsed())),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The pieces to send per second, and the last bytes: `frame` repeated, cut so that each piece ends one frame and
/// begins the next.
fn always_open(frame: &[u8], cut: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
    let next = [&frame[cut..], &frame[..cut]].concat();
    ([vec![frame[..cut].to_vec()], vec![next; 12]].concat(), frame[cut..].to_vec())
}

#[test]
fn a_started_message_has_ten_seconds_of_its_own() {
    let server = Server::start(|_| ());
    let text = frame(0x81, br#"{"like":{"count":1}}"#);
    let halves = [frame(0x01, br#"{"like":"#), frame(0x80, br#"{"count":1}}"#)].concat();
    let drops = |bytes: &[u8]| (bytes.iter().map(|byte| vec![*byte]).collect::<Vec<_>>(), Vec::new());
    let begun = |more: &[u8]| ([vec![frame(0x01, b"x")], vec![more.to_vec(); 12]].concat(), Vec::new());
    for_each_at_once(
        &[
            ("each piece ends a message and begins one", always_open(&text, 9), None),
            ("each piece ends within a header", always_open(&text, 1), None),
            ("each piece ends a message of fragments", always_open(&halves, 20), None),
            ("each piece ends a ping and begins one", always_open(&frame(0x89, b"0123"), 7), None),
            ("a message in drops", drops(&frame(0x81, &[b'x'; 100])), Some(1008)),
            ("a ping in drops", drops(&frame(0x89, &[b'x'; 100])), Some(1008)),
            ("a close in drops", drops(&frame(0x88, &[3; 100])), Some(1008)),
            ("a fragment that waits among pings", begun(&frame(0x89, b"x")), Some(1008)),
            ("fragments a second apart", begun(&frame(0x00, b"x")), Some(1008)),
            ("half a message", (vec![frame(0x81, &[b'x'; 100])[..20].to_vec()], Vec::new()), Some(1008)),
        ],
        |pieces, last| paced(&server, pieces, last),
    );
}

type Row<'a> = (&'a str, (Vec<Vec<u8>>, Vec<u8>), Option<u16>);

/// All rows run at the same time, because each takes ten seconds.
fn for_each_at_once(rows: &[Row<'_>], ended: impl Fn(&[Vec<u8>], &[u8]) -> Option<(u16, Duration)> + Sync) {
    std::thread::scope(|scope| {
        for (what, (pieces, last), expected) in rows {
            let ended = &ended;
            scope.spawn(move || match (ended(pieces, last), expected) {
                (None, None) => {}
                (Some((code, took)), Some(expected)) => {
                    assert_eq!(code, *expected, "{what}");
                    assert!((9..15).contains(&took.as_secs()), "{what}: {took:?}");
                }
                (ended, expected) => panic!("{what}: {ended:?}, expected {expected:?}"),
            });
        }
    });
}

#[test]
fn data_after_close_is_ignored_and_the_socket_is_gone_soon() {
    let server = Server::start(|_| ());
    let mut client = server.join("close");
    let said = r#"{"comment":{"text":"after the close"}}"#.as_bytes();
    client.raw(&[frame(0x88, &1000_u16.to_be_bytes()), frame(0x81, said)].concat()).unwrap();
    assert_eq!(client.close_code(), Some(1000));
    let began = Instant::now();
    let mut rest = Vec::new();
    // The client keeps its side open: the server must not wait for it.
    let _ = client.socket.get_mut().read_to_end(&mut rest);
    assert!(began.elapsed() < Duration::from_secs(2));
    let (_, rooms) = server.get(server.public, "/v1/rooms");
    assert!(rooms.contains(r#""comments":0"#), "{rooms}");
    server.eventually("its socket is gone", |server| server.metric("volley_connections", "") == 0.0);
}

#[test]
fn a_peer_that_vanishes_inside_a_frame_leaves_nothing_behind() {
    let server = Server::start(|_| ());
    for reset in [false, true] {
        let mut client = server.join("vanish");
        client.raw(&frame(0x81, &[b'x'; 100])[..20]).unwrap();
        let stream = client.socket.get_mut();
        if reset {
            socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(client);
    }
    server.eventually("both are gone", |server| server.metric("volley_connections", "") == 0.0);
}

#[test]
fn a_peer_that_closes_and_resets_at_once_harms_no_other_client() {
    let server = Server::start(|config| config.shards = 1);
    let mut bystander = server.join("reset");
    for _ in 0..300 {
        let mut client = server.join("reset");
        // The answer to the close frame goes to a closed socket.
        client.raw(&frame(0x88, &1000_u16.to_be_bytes())).unwrap();
        socket2::SockRef::from(client.socket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
    }
    assert_eq!(bystander.comment("c", "我还在")["outcome"], "shown");
    server.eventually("all of them are gone", |server| server.metric("volley_connections", "") == 1.0);
}
