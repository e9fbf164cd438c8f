//! Fault hooks are in the builds that ask for them and in no other.

use std::fs;
use std::path::Path;

/// Built from halves, so that this test's own text is never what it finds.
const MARK: &str = concat!("this build of volley ", "can be told to fail");

fn has_hooks(binary: &str) -> bool {
    let bytes = fs::read(Path::new(binary)).expect("cargo built it");
    bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes())
}

#[cfg(not(feature = "faults"))]
#[test]
fn a_default_build_has_no_fault_hooks() {
    assert!(!has_hooks(env!("CARGO_BIN_EXE_volley")));
}

#[cfg(feature = "faults")]
#[test]
fn a_build_with_faults_is_recognised() {
    assert_eq!(MARK, volley::faults::MARK);
    assert!(has_hooks(env!("CARGO_BIN_EXE_volley-faults")));
}

#[cfg(feature = "faults")]
#[test]
fn an_unknown_point_or_bug_ends_the_start() {
    for (name, value) in [("FAULT_KILL", "nowhere:1"), ("FAULT_KILL", "admitted:0"), ("FAULT_PLANT", "gremlin")] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_volley-faults"))
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "memory"])
            .env(name, value)
            .output()
            .expect("runs");
        assert!(!run.status.success());
        assert!(String::from_utf8_lossy(&run.stderr).contains(value), "{run:?}");
    }
}

/// With two binaries, `cargo run` has to be told which one is meant.
#[test]
fn cargo_run_starts_the_server_itself() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect("a manifest");
    assert!(manifest.lines().any(|line| line == r#"default-run = "volley""#));
}
