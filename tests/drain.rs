//! The real program as a child process: how it starts, refuses to start, drains and ends, and what it prints.

mod support;

use rustix::process::Signal;
use serde_json::json;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::logged::started_logging;
use support::viewer::{ENCODINGS, Seen, comment, enter_at, message, number, text};
use support::{Client, PATIENCE};

/// A running `volley`, killed at the end of the test if it still runs.
struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    errors: Receiver<String>,
}

fn volley(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_volley"));
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The whole output of a stream, after its end. It is read all the time, so that the pipe never fills up.
fn collect(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (done, all) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    all
}

impl Program {
    /// Starts on free ports; returns when the program reports that it is ready.
    fn start(arguments: &[&str]) -> Self {
        let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--shards", "2", "--data", "memory"];
        let mut child = volley(&[&free[..], arguments].concat()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (addresses, found) = channel();
        std::thread::spawn(move || {
            let mut address = |before: &str, after: &str| {
                let line =
                    lines.by_ref().map_while(Result::ok).find(|line| line.contains(before) && line.ends_with(after))?;
                line.split_once("http://")?.1.strip_suffix(after)?.parse::<SocketAddr>().ok()
            };
            let (public, admin) = (address("live rooms", "/"), address("metrics", "/metrics"));
            let _ = addresses.send(public.zip(admin));
            lines.for_each(drop);
        });
        let errors = collect(child.stderr.take().expect("piped"));
        let (public, admin) =
            found.recv_timeout(PATIENCE).expect("says in time where it is").expect("says where it is");
        Self { child, public, admin, errors }
    }

    /// Sends SIGTERM.
    fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, Signal::TERM).expect("is there");
    }

    fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// The log of the program, which must have ended.
    fn log(&self) -> String {
        self.errors.recv_timeout(PATIENCE).expect("its standard error ends with it")
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
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Runs a command to its end; returns its exit code and its standard error.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = volley(arguments).spawn().expect("starts");
    let (_out, errors) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let code = wait(&mut child).code();
    (code, errors.recv_timeout(PATIENCE).expect("ends"))
}

#[test]
fn every_client_is_told_when_to_reconnect_and_the_process_ends_in_time() {
    const VIEWERS: usize = 20;
    const DRAIN_MS: u64 = 2_000;
    let mut program = Program::start(&["--drain", "2000"]);
    let mut viewers: Vec<Client> =
        (0..VIEWERS).map(|n| enter_at(program.public, &format!("r{}", n % 3), "", ENCODINGS[n % 2])).collect();
    // A client that never reads must not delay the others.
    let deaf = Client::connect(program.public, "/v1/rooms/r0/ws", None).unwrap();
    let began = Instant::now();
    program.terminate();
    let mut hints: Vec<u64> = viewers
        .iter_mut()
        .map(|viewer| {
            let bye = viewer.next("bye");
            assert_eq!(number(&bye, "code"), 1012);
            assert_eq!(viewer.close_code(), Some(1012));
            number(&bye, "after_ms")
        })
        .collect();
    hints.sort_unstable();
    assert!(hints.windows(2).all(|pair| pair[0] < pair[1]), "each its own: {hints:?}");
    assert!(*hints.last().unwrap() < DRAIN_MS, "within the window: {hints:?}");
    // 21 hints, 95 ms apart; these clients have all of them but one.
    assert!(hints.windows(2).all(|pair| pair[1] - pair[0] <= 2 * DRAIN_MS / VIEWERS as u64 + 1), "spread: {hints:?}");
    assert_eq!(program.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(TcpStream::connect(program.public).is_err(), "nobody listens any more");
    drop(deaf);
    let log = program.log();
    assert!(log.contains("draining") && log.contains("stopped"), "{log}");
}

#[test]
fn comments_acknowledged_before_the_end_were_shown_and_the_rest_is_answered_or_closed() {
    let mut program = Program::start(&["--drain", "1000", "--no-rate-limits", "--tick", "20"]);
    let public = program.public;
    let watch = |subprotocol: &'static str| {
        let mut viewer = enter_at(public, "end", "", subprotocol);
        std::thread::spawn(move || {
            let mut seen = Seen::after(&viewer.welcome, None);
            loop {
                match viewer.read() {
                    Ok(message) => {
                        assert!(message.get("gap").is_none(), "{message}");
                        if let Some(frame) = message.get("frame") {
                            seen.take(frame);
                        }
                    }
                    Err(close) => return (close.map(|frame| u16::from(frame.code)), seen),
                }
            }
        })
    };
    let viewers = ENCODINGS.map(watch);
    let (begun, going) = channel();
    let talkers: Vec<_> = (0..3)
        .map(|who| {
            let mut talker = enter_at(public, "end", "", ENCODINGS[who % 2]);
            let begun = begun.clone();
            std::thread::spawn(move || {
                let (mut acked, mut refused) = (Vec::new(), Vec::new());
                for n in 0_u32.. {
                    let said = format!("{who}-{n}");
                    let bytes = message(ENCODINGS[who % 2], &comment(ENCODINGS[who % 2], &said, &said));
                    if talker.raw(&bytes).is_err() {
                        break;
                    }
                    // Exactly one answer, or the end of the connection.
                    let answer = loop {
                        match talker.read() {
                            Ok(message) if message.get("ack").is_some() || message.get("error").is_some() => {
                                break Some(message);
                            }
                            Ok(_) => {}
                            Err(_) => break None,
                        }
                    };
                    match answer {
                        None => break,
                        Some(message) => match message.get("ack") {
                            Some(ack) => {
                                assert_eq!(text(ack, "id"), said);
                                acked.push((number(ack, "offset"), said));
                            }
                            None => {
                                let error = &message["error"];
                                assert_eq!((text(error, "id"), text(error, "code")), (&*said, "overloaded"), "{error}");
                                refused.push(said);
                            }
                        },
                    }
                    if n == 10 {
                        let _ = begun.send(());
                    }
                }
                (acked, refused)
            })
        })
        .collect();
    for _ in 0..3 {
        going.recv_timeout(PATIENCE).expect("they talk");
    }
    program.terminate();
    let said: Vec<_> = talkers.into_iter().map(|talker| talker.join().expect("talks")).collect();
    assert_eq!(program.wait().code(), Some(0));
    let seen = viewers.map(|viewer| viewer.join().expect("watches"));
    for (close, seen) in &seen {
        assert_eq!(*close, Some(1012));
        for (acked, refused) in &said {
            assert!(acked.len() > 10);
            for (offset, said) in acked {
                assert!(
                    seen.comments.iter().any(|(at, _, text)| at == offset && text == said),
                    "{said} was acknowledged at {offset} and never seen"
                );
            }
            for said in refused {
                assert!(!seen.texts().contains(&said.as_str()), "{said} was refused and seen");
            }
        }
    }
    assert_eq!(seen[0].1.digests.last_key_value(), seen[1].1.digests.last_key_value());
}

#[test]
fn comments_that_wait_for_their_tick_are_acknowledged_and_shown_before_the_goodbye() {
    for round in 0..12 {
        // No tick ends by itself between the comment and the end.
        let mut server = support::Server::start(|config| config.tick_ms = 2_000);
        let mut clients: Vec<Client> =
            (0..24).map(|n| support::viewer::enter(&server, &format!("w{}", n % 6), "", ENCODINGS[n % 2])).collect();
        for (n, client) in clients.iter_mut().enumerate().take(12) {
            client.send_value(&json!({"comment": {"id": format!("c{n}"), "text": format!("{n}")}}));
        }
        server.eventually("all are admitted", |server| {
            server.metric("volley_admission_total", "kind=\"comment\",verdict=\"accepted\"") == 12.0
        });
        let node = server.take();
        let draining = std::thread::spawn(move || node.drain());
        for (n, client) in clients.iter_mut().enumerate() {
            let mut seen = Seen::after(&client.welcome, None);
            let mut answered = false;
            let close = loop {
                match client.read() {
                    Ok(message) => {
                        answered |= message.get("ack").is_some() || message.get("error").is_some();
                        if let Some(frame) = message.get("frame") {
                            seen.take(frame);
                        }
                    }
                    Err(close) => break close.map(|frame| u16::from(frame.code)),
                }
            };
            assert_eq!(close, Some(1012));
            assert_eq!(seen.comments.len(), 2, "round {round}: client {n} of room {} saw {:?}", n % 6, seen.texts());
            assert!(answered || n >= 12, "round {round}: client {n} got no answer");
        }
        drop(clients);
        assert_eq!(draining.join().expect("drains"), 0);
    }
}

#[test]
fn a_second_sigterm_does_no_harm() {
    let mut program = Program::start(&["--drain", "500"]);
    let mut viewer = enter_at(program.public, "twice", "", ENCODINGS[0]);
    program.terminate();
    program.terminate();
    let bye = viewer.next("bye");
    assert_eq!(number(&bye, "after_ms"), 0);
    program.terminate();
    assert_eq!(viewer.close_code(), Some(1012));
    drop(viewer);
    assert_eq!(program.wait().code(), Some(0));
}

/// Signals without a meaning for the program.
const DEAF: [(Signal, &str); 3] = [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")];

#[test]
fn signals_that_ask_for_nothing_change_nothing_and_are_said_in_the_log() {
    let (mut logging, public) = started_logging("text");
    let mut viewer = enter_at(public, "deaf", "", ENCODINGS[0]);
    let send = |signal| {
        let pid = rustix::process::Pid::from_child(&logging.child);
        rustix::process::kill_process(pid, signal).expect("is there");
    };
    let until = |what: &str, name: &str| loop {
        let line = logging.errors.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} is not said"));
        if line.contains(name) && line.contains(what) {
            return;
        }
    };
    for (signal, name) in DEAF {
        send(signal);
        until("nothing is reloaded", name);
    }
    // Neither has a meaning here, but both would end a program without a handler.
    [Signal::PIPE, Signal::XFSZ].into_iter().for_each(send);
    assert_eq!(viewer.comment("c", "still here")["outcome"], "shown");
    send(Signal::INT);
    until("asked to stop", "SIGINT");
    viewer.next("bye");
    for (signal, name) in DEAF.into_iter().chain([(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")]) {
        send(signal);
        until("already draining", name);
    }
    assert_eq!(viewer.close_code(), Some(1012));
    drop(viewer);
    assert_eq!(wait(&mut logging.child).code(), Some(0));
}

#[test]
fn signals_during_the_start_end_it_only_when_they_ask_for_that() {
    for round in 0..10 {
        let mut child =
            volley(&["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--data=memory"]).spawn().expect("starts");
        let (out, errors) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
        let pid = rustix::process::Pid::from_child(&child);
        // From the moment on at which the process has its own handlers.
        let began = Instant::now();
        while !catches(pid, Signal::USR2) {
            assert!(began.elapsed() < PATIENCE, "it never catches SIGUSR2");
        }
        for (signal, _) in DEAF {
            rustix::process::kill_process(pid, signal).expect("is there");
        }
        while !catches(pid, Signal::INT) {
            assert!(began.elapsed() < PATIENCE, "it never catches SIGINT");
            assert_eq!(child.try_wait().unwrap(), None, "round {round}: it ended");
        }
        rustix::process::kill_process(pid, Signal::TERM).expect("is there");
        assert_eq!(wait(&mut child).code(), Some(0));
        let said = errors.recv_timeout(PATIENCE).unwrap();
        assert!(said.contains("already draining") || said.contains("nothing is reloaded"), "{said}");
        drop(out);
    }
}

/// Whether the process has a handler for a signal.
fn catches(pid: rustix::process::Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn no_client_is_admitted_during_a_drain() {
    let mut program = Program::start(&["--drain", "500"]);
    // An older connection that sends its request only now. A client that never reads delays the end meanwhile.
    let mut early = TcpStream::connect(program.public).unwrap();
    let mut viewer = enter_at(program.public, "late", "", ENCODINGS[0]);
    program.terminate();
    viewer.next("bye");
    // An answer, or the end of the connection if no answer was begun.
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    let request = "GET /v1/rooms/late/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let _ = std::io::Write::write_all(&mut early, request.as_bytes());
    let _ = early.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    if !answer.is_empty() {
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("draining"), "{answer}");
    }
    drop(viewer);
    assert_eq!(program.wait().code(), Some(0));
    assert!(TcpStream::connect(program.admin).is_err());
}

#[test]
fn a_failed_start_gives_its_reason_and_its_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let (code, said) = ends(&[flag, &address, other, "127.0.0.1:0"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&address) && said.contains(&flag[2..]), "which, and of what: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    for (arguments, key, value) in [
        (["--tick", "0"], "tick_ms", "0"),
        (["--tick", "-5"], "tick_ms", "-5"),
        (["--set", "connection.ring_frames=0"], "connection.ring_frames", "0"),
        (["--set", "connection.sndbuf_bytes=9999999999GB"], "connection.sndbuf_bytes", "9999999999GB"),
        (["--listen", "nowhere"], "listen", "nowhere"),
        (["--set", "room.idel_s=5"], "room.idel_s", "room.idle_s"),
        (["--log-format", "xml"], "log.format", "xml"),
        (["--config", "/nonexistent/volley.toml"], "/nonexistent/volley.toml", "cannot be used"),
    ] {
        let (code, said) = ends(&arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        assert!(said.contains(key) && said.contains(value), "{arguments:?}: {said}");
    }
    // An argument in a wrong place may be a secret, so it is not repeated.
    for (argument, problem) in [("--no-such-flag", "unexpected argument"), ("frobnicate", "unrecognized subcommand")] {
        let (code, said) = ends(&[argument]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(problem) && said.contains("--help"), "{said}");
    }
}
