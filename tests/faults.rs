//! Fault hooks are in the builds that ask for them and in no other.

#[cfg(feature = "faults")]
mod support;

use std::fs;
use std::path::Path;

/// Joined from two halves, so that the search does not find this test's own text.
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

/// The standard error of a server that must end by SIGABRT in time.
#[cfg(feature = "faults")]
fn died(server: &mut std::process::Child, panics: &str) -> String {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    let began = std::time::Instant::now();
    let status = loop {
        if let Some(status) = server.try_wait().expect("its state") {
            break status;
        }
        if began.elapsed() > support::PATIENCE {
            server.kill().expect("killed");
            panic!("{panics}: a broken server goes on");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let mut said = String::new();
    server.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(status.signal(), Some(6), "{panics}: {status}; {said}");
    said.lines().find(|line| line.contains("the process ends with it")).expect(&said).to_owned()
}

#[cfg(feature = "faults")]
#[test]
fn the_process_ends_with_any_vital_thread_or_task() {
    let scratch = support::program::Scratch::new();
    for name in ["log", "door", "admin", "public", "upkeep", "log-opener-0", "log-reader-0", "shard-0"] {
        let mut command = support::program::volley(&support::program::SERVE, &scratch.data());
        let mut server = command.env("FAULT_PANIC", name).stdout(std::process::Stdio::null()).spawn().expect("starts");
        assert!(died(&mut server, name).contains(name));
    }
}

/// A panic in one message ends only its connection; a panic that leaves a room or the log in an unknown state ends the
/// process.
#[cfg(feature = "faults")]
#[test]
fn a_panic_in_the_middle_of_a_comment_ends_the_process_and_the_next_one_serves() {
    let scratch = support::program::Scratch::new();
    let hello = |id: &str| serde_json::json!({"comment": {"id": id, "text": "hello"}});
    let start = |panics: &str| {
        support::program::Program::of(
            support::program::volley(&support::program::SERVE, &scratch.data()).env("FAULT_PANIC", panics),
        )
    };
    // The first append opens the room.
    for (point, thread) in [("in_append:2", "log"), ("batched", "shard-0"), ("in_broadcast", "shard-0")] {
        let mut server = start(point);
        let _watches = server.join("r");
        server.join("r").send_value(&hello(point));
        assert!(died(&mut server.child, point).contains(thread));
    }
    let server = start("admitted");
    let mut bystander = server.join("r");
    server.join("r").send_value(&hello("admitted"));
    assert_eq!(bystander.comment("after", "still here")["outcome"], "shown");
    server.health_becomes(200);
}

/// With two binaries, `cargo run` needs a default.
#[test]
fn cargo_run_starts_the_server_itself() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).expect("a manifest");
    assert!(manifest.lines().any(|line| line == r#"default-run = "volley""#));
}
