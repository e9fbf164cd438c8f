//! The admin address when clients hold its connections: health and metrics are still answered, and a refused client is
//! told the reason.

mod support;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{PATIENCE, Server};

/// More connections than there are seats of any kind.
const MANY: usize = 200;

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// A connection that made one request and stays open.
fn keep_alive(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut piece = [0; 1024];
        let n = stream.read(&mut piece).expect("an answer");
        assert!(n > 0, "closed: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..n]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A POST whose body is never sent.
fn slow_post(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let head = "POST /v1/rooms/r/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("writes");
    stream
}

/// The rest of the connection's bytes; a reset is a failure.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an end without a reset");
    text
}

/// Asserts that health, readiness and metrics are answered.
fn assert_it_answers(server: &Server, when: &str) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.get(server.admin, path).0, 200, "{path} {when}");
    }
}

const POST: &str = "POST /v1/rooms/r/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                    Content-Length: 12\r\nConnection: close\r\n\r\n{\"unpin\":{}}";

#[test]
fn idle_connections_make_room_for_new_ones_of_every_kind() {
    let server = Server::start(|_| {});
    let kinds = [("silent", connect as fn(SocketAddr) -> TcpStream), ("kept alive", keep_alive)];
    for (what, open) in kinds {
        let mut held: Vec<TcpStream> = (0..MANY).map(|_| open(server.admin)).collect();
        assert_it_answers(&server, what);
        assert_eq!(support::http(server.admin, POST).0, 200, "{what}: a post is served too");
        // Closed clients received a reason, and the newest are still connected.
        let newest = held.last_mut().unwrap();
        newest.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        assert!(rest(newest).starts_with("HTTP/1.1 200 "));
        for stream in &mut held[..MANY / 4] {
            let said = rest(stream);
            let is_told = said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after");
            // A connection that was served is closed silently, as after any idle time: its client must not take the
            // reason for its next answer.
            assert!(is_told || (what == "kept alive" && said.is_empty()), "{what}: {said}");
        }
    }
}

#[test]
fn health_is_answered_while_every_seat_is_busy_and_a_refusal_is_an_answer() {
    let server = Server::start(|_| {});
    let mut busy: Vec<TcpStream> = (0..64).map(|_| slow_post(server.admin)).collect();
    let began = Instant::now();
    // The seats are busy as soon as the heads were read.
    loop {
        let mut post = connect(server.admin);
        post.write_all(POST.as_bytes()).unwrap();
        let said = rest(&mut post);
        if said.starts_with("HTTP/1.1 503 ") {
            assert!(said.contains("retry-after: 1") && said.contains("overloaded"), "{said}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the seats are not busy: {said}");
        // A connection whose head was not read yet has given its place. The next one is served after a moment.
        busy.push(slow_post(server.admin));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_it_answers(&server, "while every seat is busy");
    let mut flood = Vec::new();
    for n in 0..MANY {
        flood.push(if n % 2 == 0 { connect(server.admin) } else { slow_post(server.admin) });
        if n % 20 == 0 {
            assert_it_answers(&server, "under a flood");
        }
    }
    assert_it_answers(&server, "behind a flood");
    // A post that began before the flood is not cut off by it: it is answered for its missing body.
    let heard = busy.iter_mut().map(rest).filter(|said| said.starts_with("HTTP/1.1 408 ")).count();
    assert_eq!(heard, 64);
}

#[test]
fn a_stalled_reader_of_metrics_delays_no_other_client() {
    let server = Server::start(|_| {});
    let mut held = Vec::new();
    for _ in 0..MANY {
        let mut stream = connect(server.admin);
        socket2::SockRef::from(&stream).set_recv_buffer_size(1).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50).as_slice()).unwrap();
        held.push(stream);
    }
    assert_it_answers(&server, "while others do not read");
}

#[test]
fn a_program_whose_connection_was_closed_continues_on_a_new_one() {
    let server = Server::start(|_| {});
    let mut first = keep_alive(server.admin);
    let _others: Vec<TcpStream> = (0..MANY).map(|_| keep_alive(server.admin)).collect();
    assert_eq!(rest(&mut first), "", "closed in good order");
    match first.write_all(POST.as_bytes()).and_then(|()| first.read(&mut [0; 16])) {
        Ok(0) => {}
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
        other => panic!("it is closed: {other:?}"),
    }
    assert_eq!(support::http(server.admin, POST).0, 200);
}

/// Open descriptors of a different process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("is ours").count()
}

#[test]
fn a_flood_of_quick_requests_piles_up_no_descriptors() {
    let [public, admin] = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a port"));
    let [public, admin] = [public, admin].map(|listener| listener.local_addr().expect("an address"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_volley"))
        .args(["--data=memory", "--listen", &public.to_string(), "--admin", &admin.to_string()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let began = Instant::now();
    while TcpStream::connect(admin).is_err() {
        assert!(began.elapsed() < PATIENCE, "it does not start");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let before = descriptors(child.id());
    let (mut held, mut most) = (VecDeque::new(), 0);
    for n in 0..3_000 {
        let mut stream = connect(admin);
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("writes");
        // The client's ends stay open, because the server would linger for a second on each.
        held.push_back(stream);
        if held.len() > 600 {
            held.pop_front();
        }
        if n % 50 == 0 {
            most = most.max(descriptors(child.id()));
        }
    }
    let last = rest(held.back_mut().expect("the newest"));
    child.kill().expect("is ours");
    child.wait().expect("ends");
    assert!(last.starts_with("HTTP/1.1 200 "), "{last}");
    assert!(most < before + 150, "{most} descriptors, {before} before");
}
