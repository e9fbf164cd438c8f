//! Runs the kept inputs of the fuzz targets (`fuzz/corpus/`) through the same code as the fuzzer.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use targets::TARGETS;

/// The bound on all corpora together, which every clone downloads and every test run reads.
const CORPUS_BYTES_MAX: u64 = 1 << 20;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = fuzz_folder().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a readable entry").path()).collect()
}

fn replay(target: &str) {
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "fuzz/corpus/{target} has no input");
    let failed: Vec<&PathBuf> = inputs
        .iter()
        .filter(|path| {
            let data = fs::read(path).expect("a readable input");
            catch_unwind(AssertUnwindSafe(|| targets::run(target, &data))).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "broken promises, told above: {failed:#?}");
}

#[test]
fn json_messages_are_read_as_they_are() {
    replay("message_json");
}

#[test]
fn msgpack_messages_are_read_as_they_are() {
    replay("message_msgpack");
}

#[test]
fn admitted_messages_are_fit_for_log_and_viewers() {
    replay("admission");
}

#[test]
fn posted_events_are_in_range_and_read_unchanged() {
    replay("posts");
}

#[test]
fn text_comes_out_safe_and_stays_as_it_is() {
    replay("text");
}

#[test]
fn files_are_taken_or_answered_with_key_and_line() {
    replay("config_file");
}

#[test]
fn variables_and_flags_are_taken_or_answered_by_name() {
    replay("config_sources");
}

#[test]
fn a_damaged_log_gives_back_its_beginnings_or_refuses() {
    replay("log_recovery");
}

#[test]
fn a_stream_means_the_same_however_it_is_cut() {
    replay("websocket");
}

#[test]
fn every_target_has_its_binary_its_corpus_and_its_replay() {
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    let this = include_str!("fuzz_corpus.rs");
    for name in TARGETS.iter().map(|target| target.name) {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no [[bin]]");
        let binary = fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).expect(name);
        assert!(binary.contains(&format!("run(\"{name}\", data)")), "the binary of {name} runs something else");
        assert!(this.contains(&format!("replay(\"{name}\")")), "nobody replays {name}");
    }
    let folders = fs::read_dir(fuzz_folder().join("corpus")).expect("fuzz/corpus");
    for folder in folders.map(|entry| entry.expect("a readable entry").file_name()) {
        assert!(TARGETS.iter().any(|target| *target.name == *folder), "{folder:?} is the corpus of no target");
    }
}

#[test]
fn the_corpora_stay_small() {
    let sizes = TARGETS.iter().flat_map(|target| inputs(target.name));
    let bytes: u64 = sizes.map(|path| fs::metadata(path).expect("a readable input").len()).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes; `fuzz/run --keep` chooses anew");
}
