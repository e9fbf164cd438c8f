//! The cost of admission per comment: text normalisation by kind of text, and a whole comment from payload to admitted.
//! One iteration is one text or comment; nothing is deferred.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use volley::config::Config;
use volley::policy::admission::{Admission, Admitted, SessionMeter};
use volley::policy::said::Said;
use volley::policy::text::{TextLimits, normalise};
use volley::protocol::user::{Role, User};
use volley::protocol::variant::Encoding;

const LIMITS: TextLimits = TextLimits { chars_max: 512, bytes_max: 2_048 };

fn texts() -> Vec<(&'static str, String)> {
    vec![
        ("ascii, 20 chars", "hello from the show!".into()),
        ("chinese, 8 chars", "这个主播还有吗哈".into()),
        ("chinese, 512 chars", "还".repeat(512)),
        ("emoji family", "太好笑了👨‍👩‍👧‍👦👍🏽".into()),
        ("persian", "می‌خواهم دوباره ببینم".into()),
        ("hindi", "क्षत्रिय नमस्ते दुनिया".into()),
        ("vietnamese, decomposed", "Tie\u{302}\u{301}ng Vie\u{323}\u{302}t hay qua\u{301}".into()),
        ("double spaces", "a  b  c".into()),
        ("zalgo, 2 KiB", format!("Z{}", "\u{335}\u{34e}\u{30d}\u{311}".repeat(256))),
        ("hostile, 4 KiB", "👨\u{200D}\u{FE0F}\u{301}".repeat(340)),
    ]
}

fn normalising(c: &mut Criterion) {
    let mut group = c.benchmark_group("normalise");
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| normalise(black_box(&text), &LIMITS).map(|text| text.len()));
        });
    }
}

fn admitting(c: &mut Criterion) {
    let mut group = c.benchmark_group("admit");
    let me = User { id: "g-4xv2k5aq7mzce".into(), name: "guest 4821".into(), role: Role::Guest };
    let json = br#"{"comment":{"id":"c1","text":"\u8fd8\u6709\u5417","style":{"mode":"scroll","color":16777215}}}"#;
    let value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
    let msgpack = rmp_serde::to_vec_named(&value).expect("MessagePack");
    for (name, payload, encoding) in
        [("comment, json", &json[..], Encoding::Json), ("comment, msgpack", &msgpack, Encoding::Msgpack)]
    {
        let admission = Admission::new(&Config::default());
        let mut now_us = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                // One second apart: always within the rate, and both buckets are checked.
                now_us += 1_000_000;
                let verdict = admission.admit(payload, encoding, &me, &mut SessionMeter::default(), now_us);
                assert!(matches!(verdict, Admitted::Said(Said::Comment(_))));
            });
        });
        group.bench_function(format!("{name}, refused"), |b| {
            let broken = &payload[..payload.len() - 1];
            b.iter_batched_ref(
                SessionMeter::default,
                |meter| admission.admit(broken, encoding, &me, meter, 0),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, normalising, admitting);
criterion_main!(benches);
