//! The rules of this repository (ARCHITECTURE.md), checked on the text of its files: layers, names, sizes, dead
//! references.
//!
//! Most rules read one file at a time, line by line. The last test plants a violation of every rule. Some rules read
//! all files together: circles of imports, and counts that must not grow.

mod circles;
mod names;
mod pages;
mod shape;
mod whole;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A file as the rules see it: its path from the root, with `/`, and its text.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
}

/// Folders and files of `src/` by layer; those of one layer must not import each other.
const LAYERS: &[(&str, u8)] = &[
    ("main", 6),
    ("app", 5),
    ("gateway", 4),
    ("api", 4),
    ("room", 3),
    ("shard", 3),
    ("log", 2),
    ("policy", 2),
    ("protocol", 1),
    ("config", 1),
    ("health", 1),
    ("explain", 0),
    ("base_path", 0),
    ("bearer", 0),
    ("host", 0),
    ("limits", 0),
    ("clock", 0),
    ("metrics", 0),
    ("shutdown", 0),
    ("bell", 0),
    ("faults", 0),
    ("console", 0),
    ("origin", 0),
    ("bin", 6),
];

/// Names that a folder's code must not use, although the layers alone would allow them.
const STRANGERS: &[(&str, &[&str], &str)] = &[
    (
        "protocol",
        &["tokio::", "mio::", "rustix", "std::net", "std::time", "crate::clock"],
        "knows no socket and no clock",
    ),
    (
        "room",
        &["tokio", "mio::", "rustix", "std::net", "std::time", "crate::clock", "crate::config"],
        "is replayed from its log",
    ),
    ("log", &["tokio_tungstenite", "mio::", "std::net", "axum", "hyper"], "knows no socket"),
    ("policy", &["tokio", "mio::", "rustix", "axum", "hyper"], "knows no connection"),
    ("shard", &["serde_json", "rmp_serde", "axum", "hyper", "tokio::"], "knows no payload and no task"),
    ("config", &["crate::limits", "crate::metrics", "tokio", "std::thread"], "knows not what is done with it"),
];

/// The longest source file in lines; a longer one should be a folder.
const LINES_MAX: usize = 500;

/// The module of `src/` a file belongs to: `room` for `src/room/core/mod.rs`, `clock` for `src/clock.rs`.
fn module(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    let name = inner.split('/').next()?.trim_end_matches(".rs");
    (name != "lib").then_some(name)
}

/// Whether a file is only compiled for tests. The suite of the log is too.
fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.starts_with("src/log/suite/")
}

/// A line without its comment. A `//` inside a string ends it too early, which hides nothing that the rules look for.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Lines of code with their numbers from 1, comments cut off.
fn lines<'a>(file: &Source<'a>) -> impl Iterator<Item = (usize, &'a str)> {
    file.text.lines().map(code).enumerate().map(|(at, line)| (at + 1, line))
}

fn at(file: &Source<'_>, line: usize, what: impl std::fmt::Display) -> String {
    format!("{}:{line}: {what}", file.path)
}

/// The modules behind every `crate::` of a text, `crate::{a::b, c}` included.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("crate::") {
        let rest = &text[start + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut wants_name) = (1, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => wants_name = true,
                c if wants_name && depth == 1 && (c.is_ascii_alphabetic() || c == '_') => {
                    found.insert(name(&group[at..]));
                    wants_name = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.remove("");
    found
}

fn layers(file: &Source<'_>) -> Vec<String> {
    let Some(own) = module(file.path) else { return Vec::new() };
    let layer = |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer);
    let Some(own_layer) = layer(own) else {
        return vec![at(file, 1, format!("`{own}` has no layer; give it one in tests/tidy/main.rs and in src/lib.rs"))];
    };
    let code: String = lines(file).map(|(_, line)| format!("{line}\n")).collect();
    let mut wrong = Vec::new();
    for other in crate_paths(&code) {
        if other != own && layer(&other).is_some_and(|other_layer| other_layer >= own_layer) {
            wrong.push(at(file, 1, format!("`{own}` (L{own_layer}) imports `{other}`, which is not below it")));
        }
    }
    // `super` beyond the own folder is an import of a neighbour.
    let depth = file.path.trim_end_matches("/mod.rs").matches('/').count();
    for (number, line) in lines(file) {
        let inline = usize::from(line.starts_with(' '));
        if line.contains(&"super::".repeat(depth + inline)) {
            wrong.push(at(file, number, "`super` leaves the folder; write `crate::…`"));
        }
    }
    wrong
}

fn strangers(file: &Source<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let own = module(file.path).filter(|_| !is_test(file.path));
    for (_, names, why) in STRANGERS.iter().filter(|(folder, ..)| own == Some(*folder)) {
        // From the inline tests on, a file may use what a test needs.
        let product = lines(file).take_while(|(_, line)| !line.contains("#[cfg(test)]"));
        for (number, line) in product {
            for name in names.iter().filter(|name| line.contains(**name)) {
                wrong.push(at(file, number, format!("names `{name}`; {} {why}", own.unwrap_or_default())));
            }
        }
    }
    wrong
}

/// Things that only one module may do.
fn owners(file: &Source<'_>) -> Vec<String> {
    const OWNED: &[(&str, &str, &str)] = &[
        ("\"volley_", "metrics", "metric names live in src/metrics"),
        ("env::var", "config faults", "only config reads the environment"),
        ("SystemTime", "clock", "only clock.rs reads clocks"),
        ("std::time::Instant", "clock", "only clock.rs reads clocks"),
        ("thread::sleep", "", "wait for the event instead"),
        ("thread::Builder", "health console", "a thread that dies must end the process: health::thread::vital"),
        ("thread::spawn", "health console bell", "a thread that dies must end the process: health::thread::vital"),
        ("println!", "console", "it panics when its write fails, and waits for it: console"),
        ("print!", "console", "it panics when its write fails, and waits for it: console"),
        ("io::stdout", "console", "it waits for its reader: console"),
        ("io::stderr", "console", "it waits for its reader: console"),
    ];
    let Some(own) = module(file.path).filter(|_| !is_test(file.path)) else { return Vec::new() };
    let product = lines(file).take_while(|(_, line)| !line.contains("#[cfg(test)]"));
    let mut wrong = Vec::new();
    for (number, line) in product {
        // `use std::time::{Duration, Instant}` is the same import.
        let line =
            if line.contains("std::time::{") { line.replace("Instant", "std::time::Instant") } else { line.into() };
        for (what, _, why) in
            OWNED.iter().filter(|(what, owners, _)| !owners.split(' ').any(|owner| own == owner) && line.contains(what))
        {
            wrong.push(at(file, number, format!("`{what}`: {why}")));
        }
    }
    wrong
}

fn says_what_it_does_not_know(file: &Source<'_>) -> Vec<String> {
    let Some(own) = module(file.path) else { return Vec::new() };
    let is_root = file.path == format!("src/{own}/mod.rs") || (file.path == format!("src/{own}.rs") && own != "main");
    let doc: String = file.text.lines().filter(|line| line.starts_with("//!")).collect();
    if is_root && !doc.contains("Does not know") {
        return vec![at(file, 1, "the module's doc does not say what it does not know (\"Does not know: …\")")];
    }
    Vec::new()
}

fn size(file: &Source<'_>) -> Vec<String> {
    let lines = file.text.lines().count();
    let is_source = [".rs", ".js", ".mjs", ".css", ".html", ".py"].iter().any(|end| file.path.ends_with(end));
    if is_source && lines > LINES_MAX {
        return vec![at(file, lines, format!("longer than {LINES_MAX} lines; make it a folder of whole thoughts"))];
    }
    Vec::new()
}

fn leftovers(file: &Source<'_>) -> Vec<String> {
    // Spelled in halves, so that this file does not find itself.
    let banned = [
        (concat!("to", "do!("), "a stub"),
        (concat!("unimpl", "emented!("), "a stub"),
        (concat!("db", "g!("), "a debugging aid"),
        (concat!("TO", "DO"), "do it, or open an issue"),
        (concat!("FIX", "ME"), "do it, or open an issue"),
        (concat!("/ro", "ot/"), "a path of one machine"),
        (concat!("/wo", "rk/"), "a path of one machine"),
        (concat!("/ho", "me/"), "a path of one machine"),
        (concat!("/Us", "ers/"), "a path of one machine"),
    ];
    let mut wrong = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for (what, why) in banned.iter().filter(|(what, _)| line.contains(what)) {
            wrong.push(at(file, number + 1, format!("`{what}`: {why}")));
        }
    }
    wrong
}

fn unsafe_blocks(text: &str) -> usize {
    text.lines().map(|line| code(line).matches("unsafe {").count()).sum()
}

fn unsafe_is_argued(file: &Source<'_>) -> Vec<String> {
    if !file.path.ends_with(".rs") || file.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    let all: Vec<&str> = file.text.lines().collect();
    let is_unsafe = |line: &str| {
        let words: Vec<&str> = code(line).split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        words.contains(&"unsafe")
    };
    let is_argued = |at: usize| {
        let above = all[..at].iter().rev().map(|line| line.trim());
        // The comment must be right above, with only attributes in between; inside an `unsafe impl` the signatures are
        // the trait's.
        let argued = above
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
        argued || all[at].starts_with("    unsafe fn")
    };
    (0..all.len())
        .filter(|&n| is_unsafe(all[n]) && !is_argued(n))
        .map(|n| at(file, n + 1, "`unsafe` without a SAFETY comment on the line above"))
        .collect()
}

/// The checker judges the server, so it must share nothing with it, not even a message type.
fn checker_is_independent(file: &Source<'_>) -> Vec<String> {
    const FOLDERS: &[&str] = &["check", "history"];
    let inner = file.path.strip_prefix("loadgen/src/").unwrap_or_default();
    if !FOLDERS.iter().any(|folder| inner.starts_with(&format!("{folder}/"))) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (number, line) in lines(file) {
        if line.contains("volley::") {
            wrong.push(at(file, number, "names `volley`; the checker and its history import nothing of it"));
        }
        for other in crate_paths(line).iter().filter(|other| !FOLDERS.contains(&other.as_str())) {
            wrong.push(at(file, number, format!("imports `{other}`; the checker and its history stand alone")));
        }
    }
    wrong
}

/// Paths that a page mentions, in backticks or as link targets, relative to the root.
fn mentioned(file: &Source<'_>) -> Vec<(usize, String)> {
    const TOPS: &[&str] = &["src/", "tests/", "benches/", "loadgen/", "docs/", "web/", "dashboards/", ".ci/"];
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let path = quoted.split([' ', '*', '{', '…', ':']).next().unwrap_or_default();
            if TOPS.iter().any(|top| path.starts_with(top)) && !path.contains('<') {
                found.push((number + 1, path.to_owned()));
            }
        }
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:") {
                found.push((number + 1, if folder.is_empty() { path.into() } else { format!("{folder}/{path}") }));
            }
        }
    }
    found
}

fn pages_mention_what_exists(file: &Source<'_>, root: &Path) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    mentioned(file)
        .into_iter()
        .filter(|(_, path)| !root.join(path).exists())
        .map(|(number, path)| at(file, number, format!("mentions `{path}`, which does not exist")))
        .collect()
}

/// All rules on one file.
fn check(file: &Source<'_>, root: &Path) -> Vec<String> {
    let mut wrong = pages_mention_what_exists(file, root);
    for rule in [
        layers,
        strangers,
        owners,
        says_what_it_does_not_know,
        size,
        leftovers,
        unsafe_is_argued,
        checker_is_independent,
    ] {
        wrong.extend(rule(file));
    }
    wrong
}

/// The repository's text files below `folder`, without built, installed or recorded ones.
fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    const SKIPPED: &[&str] =
        &["target", "node_modules", ".git", "data", "package-lock.json", "Cargo.lock", "artefacts"];
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("file names are UTF-8").to_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8").replace('\\', "/");
            found.push((relative, text));
        }
    }
}

fn tree() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(root, root, &mut files);
    files
}

#[test]
fn the_tree_keeps_its_own_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = tree();
    assert!(files.iter().filter(|(path, _)| path.starts_with("src/")).count() > 50, "the walk finds the sources");
    let mut wrong: Vec<String> = files.iter().flat_map(|(path, text)| check(&Source { path, text }, root)).collect();
    wrong.sort();
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}

/// Product files of one crate, by their paths below its `src`.
fn product<'a>(files: &'a [(String, String)], src: &str) -> Vec<(&'a str, &'a str)> {
    let rust = files.iter().filter(|(path, _)| path.ends_with(".rs") && !is_test(path));
    rust.filter_map(|(path, text)| Some((path.strip_prefix(src)?, text.as_str()))).collect()
}

#[test]
fn every_module_of_the_crate_has_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lib = fs::read_to_string(root.join("src/lib.rs")).expect("the library's root");
    let declared: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let layered: BTreeSet<&str> =
        LAYERS.iter().map(|(name, _)| *name).filter(|name| !["main", "bin"].contains(name)).collect();
    assert_eq!(declared, layered);
}

#[test]
fn a_planted_violation_of_every_rule_is_found() {
    let long = "x\n".repeat(LINES_MAX + 1);
    let stub = concat!("to", "do!()");
    let debug = concat!("db", "g!(x)");
    let machine = concat!("see /wo", "rk/notes");
    let planted: &[(&str, &str, &str)] = &[
        ("src/room/core/mod.rs", "use crate::shard::Pass;", "`room` (L3) imports `shard`"),
        ("src/shard/fanout/pass.rs", "use crate::{limits, room::actor};", "`shard` (L3) imports `room`"),
        ("src/shard/fanout/pass.rs", "use crate::{\n    limits::{A, B},\n    api,\n};", "`shard` (L3) imports `api`"),
        ("src/limits.rs", "fn f() { crate::clock::now_us(); }", "`limits` (L0) imports `clock`"),
        ("src/new/mod.rs", "//! Does not know: a thing.", "`new` has no layer"),
        ("src/log/mod.rs", "//! Does not know: a thing.\nuse super::room;", "`super` leaves the folder"),
        ("src/room/core/mod.rs", "use super::super::shard;", "`super` leaves the folder"),
        ("src/room/core/mod.rs", "use std::time::Duration;", "names `std::time`; room is replayed"),
        ("src/protocol/ids.rs", "use tokio::net::TcpStream;", "names `tokio::`; protocol knows no socket"),
        ("src/shard/fanout/pass.rs", "serde_json::to_string(&x)", "names `serde_json`; shard knows no payload"),
        ("src/shard/fanout/pass.rs", "counter!(\"volley_x_total\")", "metric names live in src/metrics"),
        ("src/app/mod.rs", "//! Does not know: x\nstd::env::var(\"X\")", "only config reads the environment"),
        ("src/app/node.rs", "use std::time::{Duration, Instant};", "only clock.rs reads clocks"),
        ("src/gateway/accept.rs", "std::thread::sleep(x)", "wait for the event"),
        ("src/gateway/accept.rs", "std::thread::spawn(x)", "a thread that dies"),
        ("src/app/mod.rs", "eprintln!(\"x\")", "panics when its write fails"),
        ("src/app/mod.rs", "std::io::stderr().lock()", "waits for its reader"),
        ("src/log/mod.rs", "//! The log.", "does not say what it does not know"),
        ("src/log/memory.rs", &long, "longer than 500 lines"),
        ("src/log/memory.rs", stub, "a stub"),
        ("src/log/memory.rs", debug, "a debugging aid"),
        ("docs/x.md", machine, "a path of one machine"),
        ("src/shard/fanout/raw.rs", "let x = 1;\nlet fd = unsafe { f() };", "without a SAFETY comment"),
        ("src/shard/fanout/raw.rs", "unsafe impl Send for X {}", "without a SAFETY comment"),
        ("loadgen/src/check/log.rs", "use volley::protocol::ids::Offset;", "names `volley`"),
        ("loadgen/src/history/read.rs", "use crate::run::ledger;", "imports `run`"),
        ("README.md", "see `src/nothing/here.rs`", "mentions `src/nothing/here.rs`"),
        ("docs/x.md", "see [that](../gone.md#there)", "mentions `docs/../gone.md`"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text, expected) in planted {
        let wrong = check(&Source { path, text }, root);
        assert!(
            wrong.iter().any(|wrong| wrong.contains(expected)),
            "{path}: {text:?} gives {wrong:?}, not {expected:?}"
        );
    }
}

#[test]
fn files_that_keep_the_rules_pass() {
    let right: &[(&str, &str)] = &[
        ("src/room/core/mod.rs", "use crate::protocol::event;\nuse super::digest;\n// crate::shard sends it"),
        (
            "src/shard/fanout/pass.rs",
            "use crate::{limits, protocol::{encode, frame}};\nmod tests {\n    use super::super::ring;\n}",
        ),
        ("src/metrics/figures.rs", "counter!(\"volley_x_total\")"),
        ("src/clock.rs", "//! Does not know: anything.\nuse std::time::{Instant, SystemTime};"),
        ("src/shard/fanout/raw.rs", "// SAFETY: open for the call.\nlet fd = unsafe { f() };"),
        ("src/room/core/mod.rs", "#[cfg(test)]\nmod tests {\n    use std::time::Instant;\n}"),
        ("loadgen/src/check/log.rs", "//! Of volley.\nuse crate::history::Item;\nuse super::names;"),
        ("loadgen/src/run/timing.rs", "use volley::protocol::ids::Offset;"),
        ("docs/x.md", "see [the keys](configuration.md#log) and `src/config/keys.rs` and `src/config/*.rs`"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in right {
        assert_eq!(check(&Source { path, text }, root), Vec::<String>::new(), "{path}: {text:?}");
    }
}
