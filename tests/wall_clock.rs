//! The real program with an absurd system clock: it starts, answers and keeps comments.
//! A library between the program and libc (`LD_PRELOAD`) sets the clock.

mod support;

use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Client, PATIENCE};

/// Adds `WALL_OFFSET_S` to every answer about `CLOCK_REALTIME`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long long offset(void) {
    const char *text = getenv("WALL_OFFSET_S");
    return text ? atoll(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *to) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(id, to);
    if (result == 0 && id == CLOCK_REALTIME) to->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *to, void *zone) {
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
"#;

/// A directory for one test, which is removed after it.
struct Scratch(PathBuf);

impl Scratch {
    /// With the compiled shim in it.
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("volley-wall-clock-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        std::fs::write(path.join("shim.c"), SHIM).expect("a file");
        let cc = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl"])
            .current_dir(&path)
            .output()
            .expect("a C compiler (`tests/run setup` installs one)");
        assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    /// Starts the program with a clock that is `offset_s` off; returns when the admin address accepts connections.
    fn start(scratch: &Path, data: &Path, offset_s: i64) -> Self {
        let free = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
        let [public, admin] = free.map(|listener| listener.local_addr().expect("an address"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_volley"))
            .args(["--listen", &public.to_string(), "--admin", &admin.to_string(), "--shards=1", "--drain=0"])
            .arg("--data")
            .arg(data)
            .env_clear()
            .env("LD_PRELOAD", scratch.join("shim.so"))
            .env("WALL_OFFSET_S", offset_s.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let began = Instant::now();
        while TcpStream::connect(admin).is_err() {
            assert!(began.elapsed() < PATIENCE, "it does not start");
            assert_eq!(child.try_wait().expect("is ours"), None, "it ended at its start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, public, admin }
    }

    /// Head and body.
    fn get(&self, address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: no answer: {answer:?}"));
        (head.to_ascii_lowercase(), body.to_owned())
    }

    fn join(&self) -> Client {
        let mut client = Client::connect(self.public, "/v1/rooms/r/ws", None).expect("upgrades");
        client.welcome = client.next("welcome");
        client
    }

    /// Sends SIGTERM; returns the log.
    fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("is there");
        let mut log = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
        assert!(self.child.wait().expect("ends").success(), "{log}");
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The beginning of the year 10000 in seconds.
const YEAR_10000_S: i64 = 253_402_300_800;

#[test]
fn every_wall_clock_is_served_and_a_date_is_said_only_when_there_is_one() {
    let scratch = Scratch::new();
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    for (case, says_s, has_date) in [
        ("the true time", now_s, true),
        ("a minute before 1970", -60, false),
        ("a second before 1970", -1, false),
        ("1901", i64::from(i32::MIN), false),
        ("far before the first year", -(1 << 40), false),
        ("1970", 5, true),
        ("2038", i64::from(i32::MAX) + 5, true),
        ("9999", YEAR_10000_S - 3_600, true),
        ("10000", YEAR_10000_S + 60, false),
        ("the year 36,812", 1 << 40, false),
    ] {
        let data = scratch.0.join(says_s.to_string());
        let mut offsets = Vec::new();
        for start in 0..2 {
            let program = Program::start(&scratch.0, &data, says_s - now_s);
            let sides = [(program.admin, "/healthz"), (program.admin, "/metrics"), (program.public, "/")];
            for (address, path) in sides {
                let (head, _) = program.get(address, path);
                assert!(head.starts_with("http/1.1 200 "), "{case}, start {start}: {path}: {head}");
                // Within these seconds the clock passes 1970.
                if says_s != -1 {
                    assert_eq!(head.contains("\r\ndate: "), has_date, "{case}, start {start}: {path}: {head}");
                }
            }
            let mut client = program.join();
            // Each comment is different, because equal ones would be merged.
            let texts = [["开场了", "这件还有吗", "晚安"], ["又开始了", "多少钱", "明天见"]][start];
            for (n, text) in texts.into_iter().enumerate() {
                let ack = client.comment(&format!("{start}-{n}"), text);
                assert_eq!(ack["outcome"], json!("shown"), "{case}, start {start}: {ack}");
                offsets.push(ack["offset"].as_u64().expect("an offset"));
            }
            let (head, history) = program.get(program.public, "/v1/rooms/r/events");
            assert!(head.starts_with("http/1.1 200 "), "{case}: {head}");
            assert_eq!(history.matches("\"comment\":{").count(), offsets.len(), "{case}, start {start}: {history}");
            for format in ["jsonl", "ass", "bilibili-xml"] {
                let (head, _) = program.get(program.public, &format!("/v1/rooms/r/export?format={format}"));
                assert!(head.starts_with("http/1.1 200 "), "{case}: {format}: {head}");
            }
            drop(client);
            let log = program.stop();
            assert!(log.contains("stopped") && !log.contains("panicked"), "{case}, start {start}: {log}");
        }
        assert!(offsets.is_sorted_by(|a, b| a < b), "{case}: {offsets:?}");
    }
}
