//! The real program with blocked standard streams: it starts, serves, drains and ends as usual, and dropped lines are
//! counted and reported.

mod support;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use support::{Client, PATIENCE};

/// Two addresses that were free a moment ago, because a program with blocked streams cannot print its addresses.
fn free() -> [SocketAddr; 2] {
    let taken = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
    taken.map(|listener| listener.local_addr().expect("an address"))
}

struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Program {
    /// Returns when it is ready.
    fn start(out: Stdio, err: Stdio) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_volley")), out, err)
    }

    fn start_by(mut command: Command, out: Stdio, err: Stdio) -> Self {
        let [public, admin] = free();
        command.args(["--listen", &public.to_string(), "--admin", &admin.to_string(), "--shards", "2"]);
        command.args(["--data", "memory", "--drain", "100", "--log", "info,mio=trace"]);
        let child = command.env_clear().stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("starts");
        let mut program = Self { child, public, admin };
        let began = Instant::now();
        while std::net::TcpStream::connect(admin).is_err() || program.get(admin, "/readyz").0 != 200 {
            assert_eq!(program.child.try_wait().expect("is ours"), None, "it ended at its start");
            assert!(began.elapsed() < PATIENCE, "it does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    fn get(&self, address: SocketAddr, path: &str) -> (u16, String) {
        support::http(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
    }

    /// Causes at least this many log lines: the runtime traces each connection.
    fn provoke_lines(&self, count: usize) {
        (0..count).for_each(|_| assert_eq!(self.get(self.admin, "/readyz").0, 200));
    }

    fn dropped(&self, stream: &str, reason: &str) -> u64 {
        let name = format!("volley_console_lines_dropped_total{{stream=\"{stream}\",reason=\"{reason}\"}} ");
        let text = self.get(self.admin, "/metrics").1;
        let line = text.lines().find_map(|line| line.strip_prefix(&name)).expect("counted");
        line.parse().expect("a count")
    }

    /// Lines are written with a delay.
    fn until_dropped(&self, reason: &str, at_least: u64) {
        let began = Instant::now();
        while self.dropped("stderr", reason) < at_least {
            assert!(began.elapsed() < PATIENCE, "{} were dropped", self.dropped("stderr", reason));
        }
    }

    /// Asserts that the program serves requests.
    fn assert_it_serves(&self) {
        assert_eq!(self.get(self.admin, "/healthz").0, 200);
        let mut client = Client::connect(self.public, "/v1/rooms/r/ws", None).expect("upgrades");
        client.welcome = client.next("welcome");
        assert_eq!(client.comment("c", "hello")["outcome"], "shown");
        self.provoke_lines(3);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("is there");
    }

    /// Sends SIGTERM; returns the exit status.
    fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        wait(&mut self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("is ours") {
            return status;
        }
        assert!(began.elapsed() < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a full disk").into()
}

/// A full pipe that is not read; its reading end keeps it open.
fn unread_pipe(is_blocking: bool) -> (File, Stdio) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).expect("a pipe");
    while rustix::io::write(&writer, &[b'.'; 4_096]).is_ok() {}
    if is_blocking {
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).expect("blocks");
    }
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::empty()).expect("blocks");
    (reader.into(), writer.into())
}

fn pipe_without_reader() -> Stdio {
    rustix::pipe::pipe().expect("a pipe").1.into()
}

/// A program whose shell closed both streams.
fn with_closed_streams() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" >&- 2>&-", env!("CARGO_BIN_EXE_volley")]);
    command
}

#[test]
fn a_full_disk_or_a_gone_reader_costs_log_lines_and_nothing_else() {
    for streams in [full_disk, pipe_without_reader] {
        let mut program = Program::start(streams(), streams());
        program.assert_it_serves();
        program.until_dropped("failed", 4);
        assert_eq!(program.dropped("stdout", "failed"), 1, "what it says when it is ready");
        assert_eq!(program.stop().code(), Some(0));
    }
    let mut program = Program::start_by(with_closed_streams(), Stdio::null(), Stdio::null());
    program.assert_it_serves();
    assert_eq!(program.stop().code(), Some(0));
}

#[test]
fn a_blocked_pipe_delays_neither_start_nor_service_nor_end() {
    for is_blocking in [true, false] {
        let (mut reader, err) = unread_pipe(is_blocking);
        let (_unread, out) = unread_pipe(is_blocking);
        let mut program = Program::start(out, err);
        program.assert_it_serves();
        let began = Instant::now();
        assert_eq!(program.stop().code(), Some(0));
        // A drain without clients takes about a second and a half; then each stream has one second.
        assert!(began.elapsed() < Duration::from_secs(8), "the end took {:?}", began.elapsed());
        // Queued lines are lost with the process; those in the pipe are there.
        let mut said = Vec::new();
        reader.read_to_end(&mut said).expect("its end");
        assert!(said.iter().all(|byte| *byte == b'.'));
    }
}

#[test]
fn the_log_says_how_many_lines_are_missing_once_it_is_read_again() {
    let (mut reader, err) = unread_pipe(true);
    let mut program = Program::start(Stdio::null(), err);
    // More lines than fit in memory.
    let began = Instant::now();
    while program.dropped("stderr", "full") == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing is dropped");
        program.provoke_lines(500);
    }
    program.assert_it_serves();
    let reading = std::thread::spawn(move || {
        let mut said = String::new();
        reader.read_to_string(&mut said).map(|_| said)
    });
    // The queue has space again when as many lines as a drain writes, and more, cost none.
    let began = Instant::now();
    loop {
        let dropped = program.dropped("stderr", "full");
        program.provoke_lines(20);
        if program.dropped("stderr", "full") == dropped {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "lines are dropped although they are read");
    }
    assert_eq!(program.stop().code(), Some(0));
    let said = reading.join().expect("reads").expect("its end");
    assert!(said.contains("ready") && said.contains("log lines were dropped"), "the oldest lines, and the loss");
    assert!(said.ends_with('\n') && said.lines().any(|line| line.ends_with("left=0")), "to the end: {said:.200}");
}

#[test]
fn a_log_file_at_its_size_limit_takes_lines_again_when_there_is_space() {
    let path = std::env::temp_dir().join(format!("volley-console-{}.log", std::process::id()));
    let file = File::create(&path).expect("a file");
    let mut program = Program::start(Stdio::null(), file.into());
    let limit = |bytes| {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&program.child)), Resource::Fsize, limit).expect("a limit");
    };
    // Inside a line.
    limit(Some(std::fs::metadata(&path).expect("is there").len() + 150));
    program.provoke_lines(10);
    program.until_dropped("failed", 1);
    program.assert_it_serves();
    limit(None);
    program.provoke_lines(1);
    assert_eq!(program.stop().code(), Some(0));
    let said = std::fs::read_to_string(&path).expect("text");
    std::fs::remove_file(&path).expect("ours");
    assert!(said.contains("log lines were dropped"), "{said}");
    for line in said.lines().filter(|line| line.contains("log lines were dropped") || line.contains("stopped")) {
        assert!(line.starts_with('2') || line.starts_with("\u{1b}"), "a line of its own: {line}");
    }
}

#[test]
fn commands_end_cleanly_when_their_output_is_not_read() {
    let run = |arguments: &[&str], out: Stdio, err: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
        let mut child =
            command.args(arguments).env_clear().stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        wait(&mut child).code()
    };
    for arguments in [&["config"][..], &["config", "--markdown"], &["--help"], &["--version"]] {
        assert_eq!(run(arguments, pipe_without_reader(), Stdio::null()), Some(0), "{arguments:?} | head");
        assert_eq!(run(arguments, full_disk(), full_disk()), Some(1), "{arguments:?} is not whole");
    }
    for (arguments, code) in [(["--tick", "0"], 78), (["--no-such-flag", "x"], 64), (["--listen", "192.0.2.1:1"], 1)] {
        let (_reader, unread) = unread_pipe(true);
        assert_eq!(run(&arguments, Stdio::null(), unread), Some(code), "it waits for no reader");
        assert_eq!(run(&arguments, Stdio::null(), full_disk()), Some(code));
        assert_eq!(run(&arguments, Stdio::null(), pipe_without_reader()), Some(code));
    }
}

#[test]
fn an_error_at_the_start_is_whole_however_long_it_is() {
    let settings: Vec<String> = (0..2_000).map(|n| format!("--set=nothing.such_{n}=1")).collect();
    let run = Command::new(env!("CARGO_BIN_EXE_volley")).args(&settings).env_clear().output().expect("runs");
    let said = String::from_utf8(run.stderr).expect("text");
    assert_eq!(run.status.code(), Some(78));
    assert!(said.lines().count() > 50 && said.ends_with('\n'), "{said}");
}
