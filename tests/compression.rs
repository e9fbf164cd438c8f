//! `permessage-deflate` over real sockets, by a client that knows only the RFC: compressed messages have the same
//! content in both directions, and malformed ones get their close code.

mod support;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use support::{Client, PATIENCE, Server, frame};
use volley::config::Config;

const JSON: &str = "volley.v1.json";
const MSGPACK: &str = "volley.v1.msgpack";

/// A client that accepts compressed messages.
struct Packed {
    stream: TcpStream,
    subprotocol: &'static str,
    welcome: Value,
    welcome_was_packed: bool,
}

/// A message of the server: its bytes on the wire, whether they were compressed, and its content.
struct Heard {
    bytes: usize,
    was_packed: bool,
    says: Value,
}

impl Packed {
    /// A client in `room` whose welcome is read. The query begins with `?` or is empty.
    fn enter(server: &Server, room: &str, query: &str, subprotocol: &'static str) -> Self {
        let mut stream = TcpStream::connect(server.public).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET /v1/rooms/{room}/ws{query} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {subprotocol}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let agreed = "\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(agreed), "{head}");
        let mut client = Self { stream, subprotocol, welcome: Value::Null, welcome_was_packed: false };
        let welcome = client.next("welcome");
        (client.welcome, client.welcome_was_packed) = (welcome.says, welcome.was_packed);
        client
    }

    fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let mut start = [0; 2];
        self.stream.read_exact(&mut start).expect("a frame");
        let length = match start[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.stream.read_exact(&mut length).unwrap();
                u64::from_be_bytes(length) as usize
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).unwrap();
        (start[0], payload)
    }

    /// The next message; `Err` is the code that the server closes with.
    fn read(&mut self) -> Result<Heard, u16> {
        loop {
            let (first, payload) = self.read_frame();
            let bytes =
                payload.len() + [2, 4, 10][usize::from(payload.len() > 125) + usize::from(payload.len() > 65_535)];
            let was_packed = first & 0x40 != 0;
            match first & 0x3f | 0x40 {
                0x48 => return Err(u16::from_be_bytes([payload[0], payload[1]])),
                0x49 | 0x4a => continue,
                opcode => assert_eq!(opcode, if self.subprotocol == JSON { 0x41 } else { 0x42 }),
            }
            let payload = if was_packed { unpack(&payload) } else { payload };
            let says = if self.subprotocol == JSON {
                serde_json::from_slice(&payload).expect("JSON")
            } else {
                rmp_serde::from_slice(&payload).expect("MessagePack")
            };
            return Ok(Heard { bytes, was_packed, says });
        }
    }

    /// The next message of `kind`, its body; others are skipped.
    fn next(&mut self, kind: &str) -> Heard {
        loop {
            let heard = self.read().unwrap_or_else(|code| panic!("closed ({code}) while waiting for {kind}"));
            if let Some(body) = heard.says.get(kind) {
                return Heard { says: body.clone(), ..heard };
            }
        }
    }

    fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.read() {
                return code;
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        // The server may close in the middle of it.
        let _ = self.stream.write_all(bytes);
    }
}

/// Inflates a message by the RFC (7.2.2), as an independent stream.
fn unpack(payload: &[u8]) -> Vec<u8> {
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut out = Vec::with_capacity(1 << 20);
    let mut inflater = Decompress::new(false);
    inflater.decompress_vec(&whole, &mut out, FlushDecompress::Sync).expect("DEFLATE");
    assert_eq!(inflater.total_in() as usize, whole.len(), "something stands behind the message");
    out
}

/// Compresses by the RFC (7.2.1), with the compressor's context.
fn pack_with(compressor: &mut Compress, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1_024);
    compressor.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

fn pack(text: &[u8]) -> Vec<u8> {
    pack_with(&mut Compress::new(Compression::best(), false), text)
}

fn comment(id: &str, text: &str) -> Vec<u8> {
    json!({"comment": {"id": id, "text": text}}).to_string().into_bytes()
}

/// A server without rate limits that compresses frames of three comments.
fn eager(config: &mut Config) {
    config.no_rate_limits = true;
    config.compression.enabled = true;
    config.compression.threshold_bytes = 400;
}

/// Sends `count` comments at once, and waits until all are in the log.
fn say(author: &mut Client, name: &str, count: usize) {
    for n in 0..count {
        author.send_value(
            &json!({"comment": {"id": format!("{name}-{n}"), "text": format!("还有吗 主播好 {name} {n}")}}),
        );
    }
    (0..count).for_each(|_| drop(author.next("ack")));
}

/// The frames up to the comment `id`, by where they end.
fn frames_until(id: &str, mut next: impl FnMut() -> Value) -> BTreeMap<u64, Value> {
    let mut frames = BTreeMap::new();
    loop {
        let frame = next();
        let is_last = frame["events"].as_array().unwrap().iter().any(|event| event["comment"]["id"] == *id);
        // Frames with only counters do not move the position, and come at any time.
        if frame["last"] != frame["prev"] {
            frames.insert(frame["last"].as_u64().unwrap(), frame);
        }
        if is_last {
            return frames;
        }
    }
}

#[test]
fn a_frame_says_the_same_compressed_or_not_in_both_encodings() {
    let server = Server::start(eager);
    let mut author = server.join("both");
    let mut plain = server.join("both");
    let mut packed = [JSON, MSGPACK].map(|subprotocol| Packed::enter(&server, "both", "", subprotocol));
    for round in 0..5 {
        say(&mut author, &format!("r{round}"), 40);
    }
    let expected = frames_until("r4-39", || plain.next("frame"));
    for client in &mut packed {
        let (mut large, mut bytes, mut plain_bytes) = (0, 0, 0);
        let seen = frames_until("r4-39", || {
            let heard = client.next("frame");
            let plain = heard.says.to_string().len();
            if plain > 2_000 {
                assert!(heard.was_packed, "{plain} bytes came as they are");
                (large, bytes, plain_bytes) = (large + 1, bytes + heard.bytes, plain_bytes + plain);
            }
            heard.says
        });
        assert_eq!(seen, expected, "{}", client.subprotocol);
        assert!(large > 0 && bytes * 2 < plain_bytes, "{bytes} of {plain_bytes} in {large} frames");
    }
}

#[test]
fn a_frame_is_compressed_once_however_many_take_it() {
    let server = Server::start(eager);
    let mut author = server.join("once");
    let mut viewers: Vec<_> = (0..50).map(|_| Packed::enter(&server, "once", "", JSON)).collect();
    say(&mut author, "a", 60);
    let packed = viewers.iter_mut().map(|viewer| {
        let mut packed = 0;
        frames_until("a-59", || {
            let heard = viewer.next("frame");
            packed += u32::from(heard.was_packed);
            heard.says
        });
        packed
    });
    let packed: Vec<_> = packed.collect();
    assert!(packed[0] > 0 && packed.iter().all(|n| *n == packed[0]), "{packed:?}");
    let counted = |server: &Server| server.metric("volley_deflated_messages_total", "");
    assert_eq!(counted(&server), f64::from(packed[0]), "each frame once, and nothing else was large enough");
    let (before, after) = ("volley_deflate_in_bytes_total", "volley_deflate_out_bytes_total");
    assert!(server.metric(after, "") * 2.0 < server.metric(before, ""));
    drop(viewers);
    server.eventually("they are gone", |server| server.metric("volley_connections", "") == 1.0);
    let before = counted(&server);
    say(&mut author, "b", 60);
    assert_eq!(counted(&server), before, "nobody is left who takes it");
}

#[test]
fn small_messages_are_sent_uncompressed() {
    let server = Server::start(|config| {
        config.compression.enabled = true;
        config.room.heartbeat_ms = 300;
    });
    let mut client = Packed::enter(&server, "small", "", JSON);
    assert!(!client.welcome_was_packed, "nothing was said yet");
    client.send(&frame(0x81, &comment("c", "还有吗")));
    let mut seen = [false; 3];
    while seen != [true; 3] {
        let heard = client.read().unwrap();
        assert!(!heard.was_packed, "{}", heard.says);
        for (kind, seen) in ["ack", "frame", "heartbeat"].iter().zip(&mut seen) {
            *seen |= heard.says.get(kind).is_some();
        }
    }
    assert_eq!(server.metric("volley_deflated_messages_total", ""), 0.0);
}

#[test]
fn a_newcomers_snapshot_comes_compressed_and_is_the_plain_one() {
    let server = Server::start(eager);
    let mut author = server.join("snap");
    say(&mut author, "s", 30);
    let mut plain = server.join("snap");
    for subprotocol in [JSON, MSGPACK] {
        let packed = Packed::enter(&server, "snap", "", subprotocol);
        assert!(packed.welcome_was_packed);
        assert_eq!(packed.welcome["snapshot"]["events"], plain.welcome["snapshot"]["events"]);
        assert_eq!(packed.welcome["snapshot"]["events"].as_array().unwrap().len(), 20);
        assert_eq!(packed.welcome["epoch"], plain.welcome["epoch"]);
        assert_ne!(packed.welcome["session"], plain.welcome["session"], "the head is its own");
    }
    say(&mut author, "t", 1);
    plain.next("frame");
}

#[test]
fn a_resuming_client_gets_compressed_pages_that_continue_exactly() {
    let server = Server::start(|config| {
        eager(config);
        config.connection.ring_frames = 2;
    });
    let mut author = server.join("back");
    let (epoch, after) =
        (author.welcome["epoch"].as_str().unwrap().to_owned(), author.welcome["last"].as_u64().unwrap());
    for round in 0..5 {
        say(&mut author, &format!("p{round}"), 60);
    }
    let query = format!("?epoch={epoch}&after={after}");
    for subprotocol in [JSON, MSGPACK] {
        let mut packed = Packed::enter(&server, "back", &query, subprotocol);
        assert_eq!(packed.welcome["recovered"], true);
        let (mut position, mut texts, mut pages) = (after, Vec::new(), 0);
        while texts.len() < 300 {
            let heard = packed.next("frame");
            assert_eq!(heard.says["prev"], position, "a hole");
            position = heard.says["last"].as_u64().unwrap();
            pages += u32::from(heard.was_packed);
            let events = heard.says["events"].as_array().unwrap();
            texts.extend(events.iter().map(|event| event["comment"]["id"].as_str().unwrap().to_owned()));
        }
        let expected: Vec<_> = (0..5).flat_map(|round| (0..60).map(move |n| format!("p{round}-{n}"))).collect();
        assert_eq!(texts, expected);
        assert!(pages > 0);
    }
    assert!(server.metric("volley_page_requests_total", "read") >= 2.0, "one read per variant");
}

#[test]
fn a_compressed_comment_is_understood_however_it_comes() {
    let server = Server::start(|config| config.compression.enabled = true);
    let mut client = Packed::enter(&server, "in", "", JSON);
    let mut acked = |bytes: &[Vec<u8>], id: &str| {
        bytes.iter().for_each(|bytes| client.send(bytes));
        let ack = client.next("ack").says;
        assert_eq!((&ack["id"], &ack["outcome"]), (&json!(id), &json!("shown")));
    };
    let text = comment("c1", "还有吗还有吗还有吗");
    acked(&[frame(0xc1, &pack(&text))], "c1");
    // In three fragments with a ping in between; only the first carries the bit.
    let packed = pack(&comment("c2", "主播好主播好"));
    let (one, rest) = packed.split_at(10);
    let (two, three) = rest.split_at(7);
    acked(&[[frame(0x41, one), frame(0x89, b"x"), frame(0x00, two), frame(0x80, three)].concat()], "c2");
    // Byte by byte.
    acked(&frame(0xc1, &pack(&comment("c3", "一件"))).chunks(1).map(<[u8]>::to_vec).collect::<Vec<_>>(), "c3");
    // Not compressed, which any message may be.
    acked(&[frame(0x81, &comment("c4", "666"))], "c4");
    // Stored, without any compression.
    let text = comment("c5", "哈哈哈");
    let length = (text.len() as u16).to_le_bytes();
    let stored = [&[0][..], &length, &length.map(|byte| !byte), &text, &[0]].concat();
    acked(&[frame(0xc1, &stored)], "c5");
    server.eventually("all are counted", |server| server.metric("volley_inflated_messages_total", "") == 4.0);
    assert_eq!(server.metric("volley_inflate_refused_total", ""), 0.0);
    assert!(server.metric("volley_inflate_out_bytes_total", "") > 100.0);

    // MessagePack the same.
    let mut client = Packed::enter(&server, "in", "", MSGPACK);
    let value = json!({"comment": {"id": "m1", "text": "还有吗"}});
    client.send(&frame(0xc2, &pack(&rmp_serde::to_vec_named(&value).unwrap())));
    assert_eq!(client.next("ack").says["id"], "m1");
}

#[test]
fn an_invalid_compressed_message_gets_its_close_code_and_affects_no_other_client() {
    let server = Server::start(|config| config.compression.enabled = true);
    let mut bystander = Packed::enter(&server, "bad", "", JSON);
    let good = pack(&comment("x", "还有吗还有吗"));
    let mut remembers = Compress::new(Compression::best(), false);
    let first = pack_with(&mut remembers, &comment("r1", "主播好主播好主播好"));
    let leans = pack_with(&mut remembers, &comment("r2", "主播好主播好主播好"));
    let bomb = pack(&vec![b' '; 4 << 20]);
    assert!(bomb.len() < 4_200, "{} bytes: it passes the check of the header", bomb.len());
    for (what, bytes, code) in [
        ("RSV1 on a ping", frame(0xc9, b"x"), 1002),
        ("RSV1 on a close", frame(0xc8, &1000_u16.to_be_bytes()), 1002),
        ("RSV1 on a continuation", [frame(0x41, &good[..5]), frame(0xc0, &good[5..])].concat(), 1002),
        ("RSV1 on a continuation alone", [frame(0x01, b"{"), frame(0xc0, &good)].concat(), 1002),
        ("RSV1 and RSV2", frame(0xe1, &good), 1002),
        ("4 KiB that become 4 MiB", frame(0xc1, &bomb), 1009),
        ("4,097 bytes inflated", frame(0xc1, &pack(&[b' '; 4_097])), 1009),
        ("a header of more than any message", frame(0xc1, &[0; 8_000])[..8].to_vec(), 1009),
        ("a block that contradicts itself", frame(0xc1, b"\x00\x05\x00\xfa\xfeHello\x00"), 1007),
        ("no DEFLATE at all", frame(0xc1, b"\xff\xff\xff\xff"), 1007),
        ("nothing", frame(0xc1, b""), 1007),
        ("cut", frame(0xc1, &good[..good.len() - 3]), 1007),
        ("text that is not UTF-8", frame(0xc1, &pack(b"\"\xc0\xaf\"")), 1007),
        ("leaning on the message before", [frame(0xc1, &first), frame(0xc1, &leans)].concat(), 1007),
        ("compressed binary in a text session", frame(0xc2, &good), 1003),
        ("a 17th fragment", [frame(0x41, &good[..1]), frame(0x00, b"").repeat(16)].concat(), 1008),
    ] {
        let mut client = Packed::enter(&server, "bad", "", JSON);
        client.send(&bytes);
        assert_eq!(client.close_code(), code, "{what}");
    }
    bystander.send(&frame(0xc1, &pack(&comment("still", "我还在"))));
    assert_eq!(bystander.next("ack").says["id"], "still");
    server.eventually("the refusals are counted", |server| server.metric("volley_inflate_refused_total", "") == 7.0);
    assert_eq!(server.metric("volley_panics_total", ""), 0.0);
}

#[test]
fn without_compression_configured_it_is_never_agreed_and_rsv1_is_an_error() {
    let server = Server::start(|_| {});
    let mut client = server.join("off");
    client.raw(&frame(0xc1, &pack(&comment("x", "y")))).unwrap();
    assert_eq!(client.close_code(), Some(1002));
    assert_eq!(server.metric("volley_inflated_messages_total", ""), 0.0);
}
