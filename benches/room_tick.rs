//! The cost of one tick of a room to its home shard: gather, append to the memory log, apply, digest, select, frame,
//! encode, acknowledge.
//!
//! The workload is one tick of 100 ms: `20` comments are 200/s (the canonical show), `500` are 5,000/s (the busiest
//! room: its tick has to stay well under 10 ms, a tenth of the interval), with 30 characters each, ids, and likes.
//! `both` encodes JSON and MessagePack. In these rooms nothing is merged or chosen, but at most 200 comments are shown.
//! `crowd` is a room with the defaults: 60 comments shown per second, near-equal ones merged. A third of its comments
//! are variations of twenty texts, the rest are all different. `crowd_renditions` encodes the light and the full
//! rendition too. `show` is a room that shows every comment individually, without a bound. `idle` is an actor with
//! nothing to do being run.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use volley::log::Retention;
use volley::log::memory::MemoryLog;
use volley::policy::said::Said;
use volley::protocol::deflate::Deflate;
use volley::protocol::event::{Comment, Style};
use volley::protocol::ids::{ClientId, RoomId};
use volley::protocol::local::{ConnRef, RoomKey};
use volley::protocol::settings::RoomSettings;
use volley::protocol::user::User;
use volley::protocol::variant::Variant;
use volley::room::actor::{Actor, ActorSettings};
use volley::room::registry::RoomHandle;

const TICK_US: u64 = 100_000;

/// How many comments a room shows, and the most at one log time.
#[derive(Clone, Copy)]
enum Shows {
    TwoHundred,
    Crowd,
    All,
}

fn actor(variants: &[Variant], shows: Shows) -> Actor {
    let handle = Arc::new(RoomHandle::new(RoomKey(1), RoomId::new("bench").unwrap(), 0, 1));
    for variant in variants {
        handle.arrive(0, *variant);
    }
    let settings = ActorSettings {
        tick_us: TICK_US,
        room: match shows {
            Shows::Crowd => RoomSettings::new(Some(60), 100),
            Shows::TwoHundred | Shows::All => RoomSettings::unlimited(100),
        },
        tick_groups: 1,
        batch_events_max: 2_000,
        frame_events_max: if matches!(shows, Shows::All) { usize::MAX } else { 200 },
        snapshot_events: 20,
        counters_us: 1_000_000,
        heartbeat_us: 15_000_000,
        idle_us: 300_000_000,
        retention: Retention { age_ms: 86_400_000, events: 100_000, bytes: 16 << 20 },
        comment_rate: None,
        like_rate: None,
        deflate: Arc::new(Deflate::new(1_024, || 0)),
    };
    Actor::open(handle, Arc::new(MemoryLog::new(1, 1)), settings, Arc::new(|_| {}), 0).unwrap()
}

fn comments(count: u32) -> Vec<(ConnRef, Comment)> {
    (0..count)
        .map(|n| {
            let user =
                User { id: format!("g-{n:08x}").into(), name: format!("游客{n}").into(), role: Default::default() };
            let text = "这个多少钱 还有吗 主播好 666 哈哈哈哈哈 想要一件".into();
            let id = ClientId::new(&format!("c-{n}"));
            let comment = Comment {
                user,
                id,
                text,
                style: Style::default(),
                media_ms: Some(81_234),
                ext: None,
                first: false,
                deleted: false,
                posted: None,
                left: None,
            };
            (ConnRef { shard: 0, index: n, generation: 1 }, comment)
        })
        .collect()
}

/// The same comments under new ids: with the old ones they would be retries, and would not reach the log.
fn said_anew(batch: &[(ConnRef, Comment)], tick: u32) -> Vec<(ConnRef, Comment)> {
    let mut batch = batch.to_vec();
    for (n, (_, comment)) in batch.iter_mut().enumerate() {
        comment.id = ClientId::new(&format!("c-{tick}-{n}"));
    }
    batch
}

/// The same people with the texts of a crowd, different in each tick.
fn crowd(count: u32, tick: u32) -> Vec<(ConnRef, Comment)> {
    const PHRASES: [&str; 20] = [
        "还有吗",
        "多少钱",
        "666",
        "主播好",
        "来了",
        "怎么买",
        "想要",
        "好看",
        "加油",
        "哈哈哈",
        "第一",
        "求链接",
        "什么时候发货",
        "有优惠吗",
        "支持",
        "太贵了",
        "买了",
        "有黑色吗",
        "xswl",
        "awsl",
    ];
    const ENDS: [&str; 6] = ["", "？", "！！！", "~", "😭😭", "。。"];
    let mut all = comments(count);
    for (n, (_, comment)) in (0_u32..).zip(&mut all) {
        let pick = n.wrapping_mul(2_654_435_761).wrapping_add(tick.wrapping_mul(40_503)) >> 8;
        comment.id = ClientId::new(&format!("c-{tick}-{n}"));
        comment.text = if pick % 3 == 0 {
            let (phrase, end) = (PHRASES[pick as usize / 3 % PHRASES.len()], ENDS[pick as usize / 61 % ENDS.len()]);
            format!("{phrase}{end}").into()
        } else {
            format!("这个{pick}号多少钱 还有吗 主播好 想要一件 {tick}").into()
        };
    }
    all
}

fn ticks(c: &mut Criterion) {
    let mut group = c.benchmark_group("room_tick");
    let renditions = [0, 1, 4, 8].map(|index| Variant::ALL[index]);
    for (name, count, variants, shows) in [
        ("20_json", 20, &Variant::ALL[..1], Shows::TwoHundred),
        ("500_json", 500, &Variant::ALL[..1], Shows::TwoHundred),
        ("500_both", 500, &Variant::ALL[..2], Shows::TwoHundred),
        ("2000_both", 2_000, &Variant::ALL[..2], Shows::TwoHundred),
        ("1000_show", 1_000, &Variant::ALL[..1], Shows::All),
        ("500_crowd", 500, &Variant::ALL[..2], Shows::Crowd),
        ("500_crowd_renditions", 500, &renditions[..], Shows::Crowd),
    ] {
        let mut actor = actor(variants, shows);
        let (batch, mut tick) = (comments(count), 0);
        let (mut now_us, mut out) = (0, Vec::new());
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(name, |b| {
            b.iter_batched(
                || {
                    tick += 1;
                    let batch =
                        if matches!(shows, Shows::Crowd) { crowd(count, tick) } else { said_anew(&batch, tick) };
                    let admitted = batch.into_iter().map(|(from, comment)| (from, Said::Comment(Box::new(comment))));
                    admitted.collect::<Vec<_>>()
                },
                |batch| {
                    for (from, said) in batch {
                        actor.take(from, said, now_us, &mut out);
                    }
                    actor.take(ConnRef { shard: 0, index: 0, generation: 1 }, Said::Like(17), now_us, &mut out);
                    now_us += TICK_US;
                    actor.run(now_us, now_us / 1_000, &mut out);
                    // Acks and one frame: the tick is complete, and nothing is deferred.
                    assert_eq!(out.len(), count as usize + 1);
                    out.clear();
                },
                BatchSize::SmallInput,
            );
        });
    }
    let mut idle = actor(&[], Shows::TwoHundred);
    let mut out = Vec::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("idle", |b| {
        b.iter(|| {
            idle.run(black_box(TICK_US), 0, &mut out);
            black_box(idle.due_us())
        });
    });
    group.finish();
}

criterion_group!(benches, ticks);
criterion_main!(benches);
