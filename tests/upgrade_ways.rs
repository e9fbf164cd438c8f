//! Any request head, by both ways to an upgrade: the short one and hyper's. Unknown headers change no answer.

mod support;

use proptest::prelude::*;
use proptest::sample::select;
use std::sync::OnceLock;
use support::gateway::{Answer, Server, config, wait_until};

/// An answer without the parts that vary: hyper adds the date.
fn meaning(answer: Answer) -> (u16, Vec<String>, String) {
    let mut lines: Vec<String> =
        answer.head.lines().skip(1).filter(|line| !line.starts_with("date:")).map(str::to_owned).collect();
    lines.sort();
    (answer.status, lines, answer.body)
}

/// The answer, and whether a socket was handed over.
fn asked(server: &Server, before: &str, head: &[u8]) -> ((u16, Vec<String>, String), bool) {
    let mut client = server.connect();
    if !before.is_empty() {
        client.send(before);
        assert_eq!(client.answer().status, 200);
    }
    client.send(head);
    let answer = client.answer();
    let is_upgrade = answer.status == 101;
    if is_upgrade {
        wait_until("a hand-over", || server.shard.kept.lock().unwrap().pop().is_some());
    }
    (meaning(answer), is_upgrade)
}

/// One for all cases.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&config()))
}

const PLAIN: &str = "GET /v1/rooms HTTP/1.1\r\nHost: good.test\r\n\r\n";

/// Bytes that a field's value may have (RFC 9110, 5.5).
fn field_byte() -> impl Strategy<Value = u8> {
    prop_oneof![8 => 0x20_u8..=0x7e, 3 => 0x80_u8..=0xff, 1 => Just(b'\t')]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let name = select(vec![
        "Host",
        "Origin",
        "Connection",
        "Upgrade",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "TE",
        "Cookie",
        "cf-ipcity",
        "X-Forwarded-For",
        "Via",
        "sec-websocket-protocol",
        "Accept",
        "Authorization",
        "Keep-Alive",
    ]);
    let value = prop_oneof![
        6 => select(vec![
            "", " ", ",", "\t", "good.test", "GOOD.test:80", "evil.test", "http://good.test", "https://evil.test", "null",
            "Upgrade", "close", "keep-alive", "websocket", "h2c, websocket", "websocket/13", "13", "13, 13", "8", "0",
            "volley.v1.json", "mqtt, volley.v1.msgpack,", "mqtt", "volley.guest.0123456789abcdef", "chunked", "identity",
            "dGhlIHNhbXBsZSBub25jZQ==", "permessage-deflate", "permessage-deflate; client_max_window_bits", ";",
            "100-continue", "trailers", "Bearer a.b.c", "Basic dTpw",
        ]).prop_map(|value| value.as_bytes().to_vec()),
        2 => prop::collection::vec(field_byte(), 0..24),
    ];
    (name, select(vec![":", ": ", ":\t ", " :"]), value, select(vec!["\r\n", "\n", "\r\n "])).prop_map(
        |(name, colon, value, end)| {
            // A folded line and a space before the colon are rare, because each of them ends the request.
            let end = if end == "\r\n " && value.len() != 3 { "\r\n" } else { end };
            let colon = if colon == " :" && value.len() != 3 { ": " } else { colon };
            [name.as_bytes(), colon.as_bytes(), &value, end.as_bytes()].concat()
        },
    )
}

const TARGETS: [&str; 9] = [
    "/v1/rooms/demo/ws",
    "/v1/rooms/demo/ws?history=5&x=%ff",
    "http://good.test/v1/rooms/demo/ws",
    "http://evil.test/v1/rooms/demo/ws",
    "http://good.test:80/v1/rooms/%64emo/ws",
    "/v1/rooms/a.b/ws",
    "/v1/rooms/demo/ws?check=1",
    "/v1/rooms/demo/ws?name=\u{e3}",
    "/v1/rooms/demo",
];

/// A valid head, except for the randomly drawn parts.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let proper = ["Host: good.test\r\n", "Connection: Upgrade\r\n", "Upgrade: websocket\r\n"];
    let proper =
        proper.into_iter().chain(["Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"]);
    let proper: Vec<Vec<u8>> = proper.map(|line| line.as_bytes().to_vec()).collect();
    let lacks = prop_oneof![6 => Just(usize::MAX), 1 => 0..proper.len()];
    let start = (
        select(vec!["GET", "GET", "GET", "GET", "POST"]),
        select(TARGETS.to_vec()),
        select(vec!["1.1", "1.1", "1.1", "1.0"]),
    );
    (start, lacks, prop::collection::vec((any::<prop::sample::Index>(), line()), 0..4)).prop_map(
        move |((method, target, version), lacks, drawn)| {
            let mut lines: Vec<Vec<u8>> = proper.clone();
            if lacks < lines.len() {
                lines.remove(lacks);
            }
            for (at, line) in drawn {
                lines.insert(at.index(lines.len() + 1), line);
            }
            [format!("{method} {target} HTTP/{version}\r\n").into_bytes(), lines.concat(), b"\r\n".to_vec()].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_ways_to_an_upgrade_answer_any_head_alike(heads in prop::collection::vec(head(), 1..4)) {
        let server = server();
        for head in heads {
            let (first, later) = (asked(server, "", &head), asked(server, PLAIN, &head));
            prop_assert_eq!(first, later, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn an_unknown_header_changes_nothing(
        name in "x-[!#$%&'*+.^_`|~0-9a-z-]{0,12}",
        value in prop::collection::vec(field_byte(), 0..200),
        times in 1_usize..4,
    ) {
        let line = [name.as_bytes(), b": ", &value, b"\r\n"].concat().repeat(times);
        let proper = support::gateway::upgrade("/v1/rooms/demo/ws", "");
        let head = [&proper.as_bytes()[..proper.len() - 2], &line, b"\r\n"].concat();
        for before in ["", PLAIN] {
            let (_, is_upgrade) = asked(server(), before, &head);
            prop_assert!(is_upgrade, "{}", head.escape_ascii());
        }
    }
}
