//! The real program as a process, on the test's data directory.

use super::{Client, PATIENCE, http};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// A directory for one test, which is removed after it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("volley-data-dir-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn volley(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(arguments).arg("--data").arg(data).env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running server, killed at the end of the test.
pub struct Program {
    pub child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

pub const SERVE: [&str; 8] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", "1", "--drain", "0"];

impl Program {
    pub fn start(data: &Path) -> Self {
        Self::of(volley(&SERVE, data).stderr(Stdio::null()))
    }

    pub fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (found, address) = channel();
        std::thread::spawn(move || {
            let says = |line: &String| line.contains("live rooms") || line.contains("/metrics");
            for line in lines.map_while(Result::ok).filter(says) {
                let text =
                    line.split_once("http://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
                let _ = found.send(text.parse::<SocketAddr>());
            }
        });
        let next = || address.recv_timeout(PATIENCE).expect("says in time where it is").expect("an address");
        let (public, admin) = (next(), next());
        Self { child, public, admin }
    }

    pub fn health(&self) -> (u16, String) {
        http(self.admin, &format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin))
    }

    /// Waits until `/healthz` answers `status`; returns the body.
    pub fn health_becomes(&self, status: u16) -> String {
        let began = Instant::now();
        loop {
            let (found, body) = self.health();
            if found == status {
                return body;
            }
            assert!(began.elapsed() < PATIENCE, "{found} {body}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn join(&self, room: &str) -> Client {
        let mut client = Client::connect(self.public, &format!("/v1/rooms/{room}/ws"), None).expect("upgrades");
        client.welcome = client.next("welcome");
        client
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ends");
    }

    /// Sends SIGTERM; returns whether the program ended with success.
    pub fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        self.child.wait().expect("ends").success()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a command. A command that does not end fails the test instead of blocking it.
fn ended(mut command: Command) -> Output {
    let mut child = command.spawn().expect("starts");
    let began = Instant::now();
    while child.try_wait().expect("its state").is_none() {
        if began.elapsed() > PATIENCE {
            child.kill().expect("killed");
            panic!("it goes on: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("ends")
}

/// The one-line error of a server that cannot start.
pub fn refusal(data: &Path) -> String {
    let Output { status, stderr, .. } = ended(volley(&SERVE, data));
    let text = String::from_utf8(stderr).expect("text");
    assert_eq!(status.code(), Some(1), "{text}");
    let line = text.lines().find(|line| line.starts_with("volley: ")).expect("a message");
    line.to_owned()
}

pub fn log(arguments: &[&str], data: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = ended(volley(arguments, data));
    let text = String::from_utf8([stdout, stderr].concat()).expect("text");
    (status.code().expect("ends by itself"), text)
}
