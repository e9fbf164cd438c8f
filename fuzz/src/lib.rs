//! Volley's promises about bytes from outside, as functions of bytes: each target panics if a promise is broken.
//!
//! The fuzzer (`fuzz/fuzz_targets/`) and the replay of the kept inputs (`tests/fuzz_corpus.rs`) run exactly this code.
//! The replay includes this file by its path.
//!
//! A new target is a module here, a row in [`TARGETS`], a file in `fuzz/fuzz_targets/` with its `[[bin]]` in
//! `fuzz/Cargo.toml`, and a folder of seeds in `fuzz/corpus/`. The replay fails if one of them is missing.

mod admission;
mod config;
mod cut;
mod log;
mod messages;
mod posts;
mod reference;
mod text;
mod websocket;

/// One reader of bytes from outside.
pub struct Target {
    /// The name of the target's binary and of its corpus.
    pub name: &'static str,
    /// Panics if the input breaks a promise.
    pub run: fn(&[u8]),
}

pub const TARGETS: &[Target] = &[
    Target { name: "message_json", run: messages::json },
    Target { name: "message_msgpack", run: messages::msgpack },
    Target { name: "admission", run: admission::admit },
    Target { name: "posts", run: posts::read },
    Target { name: "text", run: text::normalise },
    Target { name: "config_file", run: config::file },
    Target { name: "config_sources", run: config::sources },
    Target { name: "log_recovery", run: log::recover },
    Target { name: "websocket", run: websocket::receive },
];

/// Runs the target called `name`.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of the table");
    (target.run)(data);
}
