//! Cost and benefit of compressing a frame: sizes at every level, which parts of a frame do not shrink, and what a
//! dictionary would save in small frames (tables, printed first; sizes have no noise), and times (criterion).
//!
//! A frame has 100 comments, as at 1,000 comments per second and a tick of 100 ms, by guests with server-given names,
//! and with loadgen's ids. Texts have 12 to 30 characters. They are either drawn evenly from 300 common ones, as
//! loadgen does (no word is repeated, which compresses worse than real text), or come from a recording of a real show
//! (`tests/data/comment.xml`).
#![allow(clippy::print_stdout)] // The tables are the result.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, FlushCompress};
use std::hint::black_box;
use volley::policy::auth::Guests;
use volley::protocol::deflate::{self, Deflate, LEVEL};
use volley::protocol::encode;
use volley::protocol::event::Comment;
use volley::protocol::frame::{Frame, FrameEvent};
use volley::protocol::ids::{ClientId, GuestKey, Hex64};
use volley::protocol::message::ServerMessage;
use volley::protocol::variant::Encoding;

const ENCODINGS: [(&str, Encoding); 2] = [("json", Encoding::Json), ("msgpack", Encoding::Msgpack)];
/// The characters of loadgen (`loadgen/src/run/worker/sender.rs`).
const CHARACTERS: &str = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间知世什两次使身者被高已亲其进此话常与活正感哈呜啊哦喜欢主播买下单链接抢到便宜好吃漂亮加油支持第一弹幕护体前方高能";
const RECORDING: &str = include_str!("../tests/data/comment.xml");
/// Of the show: each comment has an id, for its author.
const AT_NS: u64 = 5_678_901_234_567;

/// The source of texts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Texts {
    Drawn,
    Recorded,
}

/// Which of a frame's fields are kept.
#[derive(Clone, Copy)]
struct Fields {
    ids: bool,
    users: bool,
    texts: bool,
}

const ALL: Fields = Fields { ids: true, users: true, texts: true };

struct Show {
    texts: Vec<String>,
    seed: u64,
    number: u64,
}

impl Show {
    fn new(texts: Texts) -> Self {
        let mut show = Self { texts: Vec::new(), seed: 0x9e37_79b9_7f4a_7c15, number: 0 };
        show.texts = match texts {
            Texts::Drawn => {
                let characters: Vec<char> = CHARACTERS.chars().collect();
                let mut draw = |n: u64| (show.random() % n) as usize;
                let mut text = || (0..12 + draw(19)).map(|_| characters[draw(characters.len() as u64)]).collect();
                (0..4_096).map(|_| text()).collect()
            }
            Texts::Recorded => {
                let lines = RECORDING.lines().filter_map(|line| line.split_once("\">")?.1.strip_suffix("</d>"));
                lines.filter(|text| (12..=30).contains(&text.chars().count())).map(str::to_owned).collect()
            }
        };
        show
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn frame(&mut self, count: u64, fields: Fields) -> ServerMessage {
        let prev = 81_300 + self.number;
        let events: Vec<_> = (1..=count).map(|n| self.event(prev + n, fields)).collect();
        let digest = Hex64(self.random() << 16 ^ self.random());
        let (at, likes, online) = (1_732_146_000_123, 99_123, 5_000);
        ServerMessage::Frame(Frame { prev, last: prev + count, at, digest, likes, online, events, ..Frame::default() })
    }

    fn event(&mut self, offset: u64, fields: Fields) -> FrameEvent {
        self.number += 1;
        // The sender is one of 5,000 viewers.
        let author = if fields.users { self.random() % 5_000 } else { 7 };
        let user = Guests.guest(GuestKey::new(&format!("viewer-{author:016}")).as_ref()).user;
        let id = base36(AT_NS + self.number * 1_000_000) + "-" + &base36((0xbeef << 48) + self.number);
        let id = if fields.ids { ClientId::new(&id) } else { None };
        let text = &self.texts[self.number as usize % self.texts.len()];
        let text = if fields.texts { text.as_str() } else { "" };
        let comment = Comment { id, ..Comment::new(user, text) };
        FrameEvent::comment(offset, comment)
    }
}

fn base36(mut value: u64) -> String {
    let mut digits = Vec::new();
    while value > 0 {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(value % 36) as usize]);
        value /= 36;
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

/// Bytes of `payload` as a compressed message, perhaps with a dictionary that both sides know.
fn packed(payload: &[u8], level: u32, dictionary: &[u8]) -> usize {
    let mut compressor = Compress::new(Compression::new(level), false);
    if !dictionary.is_empty() {
        compressor.set_dictionary(dictionary).expect("before the first byte");
    }
    let mut out = Vec::with_capacity(payload.len() + 1_024);
    compressor.compress_vec(payload, &mut out, FlushCompress::Sync).expect("it fits");
    out.len() - 4
}

fn tables(_: &mut Criterion) {
    println!("\nA frame of 100 comments, bytes (share of the uncompressed JSON), by level of compression:\n");
    println!(
        "| texts | encoding | as it is | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for texts in [Texts::Drawn, Texts::Recorded] {
        let message = Show::new(texts).frame(100, ALL);
        let json = encode::payload(&message, Encoding::Json).len() as f64;
        for (name, encoding) in ENCODINGS {
            let payload = encode::payload(&message, encoding);
            let show = |bytes: usize| format!("{bytes} ({:.3})", bytes as f64 / json);
            let levels: Vec<_> = (1..=9).map(|level| show(packed(&payload, level, &[]))).collect();
            println!("| {texts:?} | {name} | {} | {} |", show(payload.len()), levels.join(" | "));
        }
    }

    println!("\nWhat of a compressed comment is what (level {LEVEL}, bytes per comment of a frame of 100):\n");
    println!(
        "| texts | encoding | all | without its id | without id, by one user | without id, user and text |\n|---|---|---|---|---|---|"
    );
    for texts in [Texts::Drawn, Texts::Recorded] {
        for (name, encoding) in ENCODINGS {
            let size = |ids, users, with_text| {
                let message = Show::new(texts).frame(100, Fields { ids, users, texts: with_text });
                packed(&encode::payload(&message, encoding), LEVEL, &[]) as f64 / 100.0
            };
            let (all, no_id) = (size(true, true, true), size(false, true, true));
            let (one_user, bare) = (size(false, false, true), size(false, false, false));
            println!("| {texts:?} | {name} | {all:.1} | {no_id:.1} | {one_user:.1} | {bare:.1} |");
        }
    }

    println!(
        "\nSmall frames, bytes (level {LEVEL}): as they are, compressed, and compressed with a dictionary that both sides know:"
    );
    println!("*form* is one empty frame and one comment, *show* 32 KiB of earlier frames.\n");
    println!("| texts | encoding | comments | as it is | compressed | form | show |\n|---|---|---|---|---|---|---|");
    for texts in [Texts::Drawn, Texts::Recorded] {
        for (name, encoding) in ENCODINGS {
            let mut show = Show::new(texts);
            let form = encode::payload(&show.frame(1, Fields { ids: true, users: true, texts: false }), encoding);
            let mut earlier = Vec::new();
            while earlier.len() < 32 << 10 {
                earlier.extend(encode::payload(&show.frame(5, ALL), encoding));
            }
            let earlier = &earlier[earlier.len() - (32 << 10)..];
            for count in [0, 1, 2, 3, 5, 10, 20] {
                let payload = encode::payload(&show.frame(count, ALL), encoding);
                let [plain, form, earlier] = [&[][..], &form, earlier].map(|known| packed(&payload, LEVEL, known));
                println!("| {texts:?} | {name} | {count} | {} | {plain} | {form} | {earlier} |", payload.len());
            }
        }
    }
    println!();
}

fn compressing(c: &mut Criterion) {
    let mut group = c.benchmark_group("deflate_frame_of_100");
    for (name, encoding) in ENCODINGS {
        let payload = encode::payload(&Show::new(Texts::Drawn).frame(100, ALL), encoding);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        for level in 1..=9 {
            let mut compressor = Compress::new(Compression::new(level), false);
            let mut out = Vec::with_capacity(2 * payload.len());
            group.bench_function(format!("{name}_level_{level}"), |b| {
                b.iter(|| {
                    compressor.reset();
                    out.clear();
                    compressor.compress_vec(black_box(&payload), &mut out, FlushCompress::Sync).expect("it fits")
                });
            });
        }
    }
    group.finish();
    let mut group = c.benchmark_group("deflate_json_as_the_server_does");
    for count in [3, 10, 30, 100, 200] {
        let payload = encode::payload(&Show::new(Texts::Drawn).frame(count, ALL), Encoding::Json);
        let deflate = Deflate::new(0, || 0);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(format!("{count}_comments"), |b| {
            b.iter(|| encode::deflated(black_box(&payload), Encoding::Json, &deflate));
        });
    }
    // The worst that clients can do to a room's shard: 200 comments of 2 KiB in which everything resembles something
    // before it.
    let mut seed = 1_u64;
    let slow: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'a' + (seed >> 63) as u8
    })
    .take(400_000)
    .collect();
    let deflate = Deflate::new(0, || 0);
    group.throughput(Throughput::Bytes(slow.len() as u64));
    group.sample_size(10);
    group.bench_function("400_KB_made_to_be_slow", |b| {
        b.iter(|| encode::deflated(black_box(&slow), Encoding::Json, &deflate));
    });
    group.finish();
}

fn inflating(c: &mut Criterion) {
    let text = "这个多少钱 还有吗 主播好 666 哈哈哈哈哈 想要一件";
    let comment = format!(r#"{{"comment":{{"id":"c-1","text":"{text}"}}}}"#).into_bytes();
    let bomb = vec![b' '; 4 << 20];
    let mut group = c.benchmark_group("inflate");
    for (name, payload) in [("comment", comment), ("bomb_of_4_MiB_to_its_bound", bomb)] {
        let blocks = Deflate::new(0, || 0).blocks(&payload).unwrap_or_default();
        group.bench_function(name, |b| b.iter(|| deflate::inflate(black_box(&blocks), 4_096)));
    }
    group.finish();
}

criterion_group!(benches, tables, compressing, inflating);
criterion_main!(benches);
