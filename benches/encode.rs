//! The cost of encoding messages: frames of 0, 20 and 200 comments, per encoding, as whole WebSocket frames; a welcome
//! with its shared tail already encoded, as in a storm of joins; and the parsing of a client's comment.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use volley::protocol::encode;
use volley::protocol::event::Comment;
use volley::protocol::frame::{Frame, FrameEvent};
use volley::protocol::ids::{Hex64, RoomId};
use volley::protocol::message::{ServerMessage, Snapshot};
use volley::protocol::parse::parse;
use volley::protocol::user::User;
use volley::protocol::variant::Encoding;
use volley::room::welcome::WelcomeTail;

const ENCODINGS: [(&str, Encoding); 2] = [("json", Encoding::Json), ("msgpack", Encoding::Msgpack)];

fn user(n: u64) -> User {
    User { id: format!("g-{n:08x}").into(), name: format!("游客{n}").into(), role: Default::default() }
}

fn events(count: u64) -> Vec<FrameEvent> {
    let text = "这个多少钱 还有吗 主播好 666 哈哈哈哈哈 想要一件";
    (1..=count)
        .map(|offset| {
            let (user, text) = (user(offset), text);
            let comment = Comment { media_ms: Some(81_234), ..Comment::new(user, text) };
            FrameEvent::comment(offset, comment)
        })
        .collect()
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode_frame");
    for count in [0, 20, 200] {
        let at = 1_732_146_000_123;
        let frame = Frame { last: count, at, likes: 99_123, online: 20_311, events: events(count), ..Frame::default() };
        let message = ServerMessage::Frame(frame);
        for (name, encoding) in ENCODINGS {
            let bytes = encode::message(&message, encoding).len();
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("{count}_{name}"), |b| {
                b.iter(|| encode::message(black_box(&message), encoding));
            });
        }
    }
    group.finish();
}

fn welcomes(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode_welcome");
    let tail = WelcomeTail::new(
        Hex64(1),
        812,
        100,
        Snapshot { likes: 1, online: 2, events: events(20), ..Snapshot::default() },
    );
    let (room, you) = (RoomId::new("demo").unwrap(), user(1));
    for (name, encoding) in ENCODINGS {
        group.bench_function(name, |b| {
            b.iter(|| tail.compose(encoding, &room, Hex64(black_box(7)), &you, false, None));
        });
    }
    group.finish();
    assert!(tail.encodes() <= 2, "the tail was encoded more than once per encoding");
}

fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse_comment");
    let json =
        br#"{"comment":{"id":"c-1","text":"\u8fd8\u6709\u5417 \ud83d\ude00","style":{"mode":"top"},"media_ms":81234}}"#;
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    for (name, encoding) in ENCODINGS {
        let payload = encode::value(&value, encoding);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse(black_box(&payload), encoding).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, frames, welcomes, parsing);
criterion_main!(benches);
