//! The configuration file of a real process: what is read, what is refused, and the messages for the operator.

mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::http;
use support::program::{Program, SERVE};

/// A directory for one test, which is removed after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("volley-config-file-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    fn file(&self, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join("volley.toml");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("the mode is set");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The exit code and output of `volley config` with this file.
fn shown(path: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.arg("config").arg("--config").arg(path).env_clear().stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let began = Instant::now();
    while child.try_wait().expect("its state").is_none() {
        if began.elapsed() > Duration::from_secs(10) {
            child.kill().expect("killed");
            panic!("it hangs on {}", path.display());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    (output.status.code().expect("ends by itself"), text)
}

#[test]
fn devices_and_files_that_others_can_change_are_refused_at_once() {
    let scratch = Scratch::new("refused");
    let pipe = scratch.0.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
    for (path, expected) in [
        (
            scratch.file("tick_ms = 50\n", 0o666),
            "every user may write it, and could configure this server; chmod it to 600",
        ),
        (pipe, "it is a named pipe; name a regular file"),
        (scratch.0.clone(), "it is a directory; name a regular file"),
        (PathBuf::from("/dev/zero"), "it is a device or a socket"),
        (scratch.0.join("nothing"), "No such file"),
    ] {
        let (code, text) = shown(&path);
        assert!(code == 78 && text.contains(expected), "{}: {code} {text}", path.display());
    }
}

#[test]
fn files_links_and_pipes_of_a_shell_are_read() {
    let scratch = Scratch::new("read");
    let path = scratch.file("tick_ms = 50\n", 0o644);
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    for path in [&path, &link] {
        let (code, text) = shown(path);
        assert!(code == 0 && text.contains("tick_ms = 50"), "{code} {text}");
    }
    let script = format!("{} config --config <(echo 'tick_ms = 60')", env!("CARGO_BIN_EXE_volley"));
    let output = Command::new("bash").args(["-c", &script]).output().expect("runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("tick_ms = 60"), "{output:?}");
}

#[test]
fn a_key_that_others_can_read_is_said_at_the_start_and_not_shown() {
    let scratch = Scratch::new("warned");
    let secret = "a-secret-of-32-characters-for-this-test";
    for (mode, warned) in [(0o600, false), (0o644, true), (0o640, true)] {
        let path = scratch.file(&format!("admin_key = \"{secret}\"\n"), mode);
        let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "memory", "--drain", "0"]);
        command.arg("--config").arg(&path).env_clear().stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let out = child.stdout.take().expect("piped");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        let ready = lines.by_ref().map(|line| line.expect("a line")).any(|line| line.contains("/metrics"));
        assert!(ready, "it says that it is ready");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        let rest: Vec<String> = lines.map(|line| line.expect("a line")).collect();
        let output = child.wait_with_output().expect("ends");
        let said = format!("{}{}", rest.join("\n"), String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            said.matches("which has a key in it: chmod it to 600").count(),
            if warned { 2 } else { 0 },
            "{said}"
        );
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn byte_order_marks_are_skipped_and_other_encodings_are_named() {
    let scratch = Scratch::new("encoding");
    let path = scratch.file("\u{feff}tick_ms = 50\r\n[room]\r\nidle_s = 60\r\n", 0o600);
    let (code, said) = shown(&path);
    assert!(code == 0 && said.contains("50"), "{code}: {said}");
    let (code, said) = shown(&scratch.file("\u{feff}tick = 50\n", 0o600));
    assert!(code == 78 && said.contains(":1:1"), "{code}: {said}");
    for (bytes, told) in [
        ("\u{feff}tick_ms = 50".encode_utf16().flat_map(u16::to_le_bytes).collect(), "UTF-16; save it as UTF-8"),
        (b"name = \"\xe9\"".to_vec(), "not UTF-8"),
    ] {
        std::fs::write(&path, bytes).expect("written");
        let (code, said) = shown(&path);
        assert!(code == 78 && said.contains(told), "{code}: {said}");
    }
}

#[test]
fn a_key_in_use_stands_in_no_log_no_metric_and_no_answer() {
    const CANARY: &str = "CANARY-0123456789-CANARY";
    let scratch = Scratch::new("canary");
    let said = scratch.0.join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(SERVE).args(["--data", "memory", "--log", "trace"]).env_clear().env("VOLLEY_ADMIN_KEY", CANARY);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&said).expect("a file"));
    let server = Program::of(&mut command);
    let post = |key: &str| {
        let body = r#"{"announcement":{"text":"hello"}}"#;
        let head = format!("Host: {}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n", server.admin);
        let head = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        http(server.admin, &format!("POST /v1/rooms/demo/events?key={key} HTTP/1.1\r\n{head}\r\n{body}"))
    };
    let _viewer = server.join("demo");
    let (right, wrong) = (post(CANARY), post("CANARY-of-somebody-else"));
    assert_eq!(wrong.0, 401, "{wrong:?}");
    assert_ne!(right.0, 401, "{right:?}");
    let get = |path: &str| {
        let head = format!("Host: {}\r\nAuthorization: Bearer {CANARY}\r\nConnection: close\r\n", server.admin);
        http(server.admin, &format!("GET {path} HTTP/1.1\r\n{head}\r\n")).1
    };
    let mut all = vec![right.1, wrong.1, get("/metrics"), get("/healthz"), get("/v1/rooms"), get("/nowhere")];
    assert!(server.stop());
    let log = std::fs::read_to_string(&said).expect("text");
    assert!(log.contains("ready"), "it logs: {log}");
    all.push(log);
    for text in all {
        assert!(!text.contains("CANARY"), "{text}");
    }
}
