//! Without descriptors the accept loop waits; with them it continues. This test has a process to itself, because the
//! limit applies to the whole process.

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use support::gateway::{PATIENCE, Server, config, wait_until};

fn cpu_ms() -> i64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

fn accept_errors(server: &Server) -> u64 {
    let _ = server; // The counters belong to the process.
    let text = volley::metrics::install().unwrap().render();
    let line = text.lines().find(|line| line.starts_with("volley_accept_errors_total ")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn running_out_of_descriptors_costs_no_cpu_and_passes() {
    let mut config = config();
    config.no_rate_limits = true;
    config.admission.handshake_ms = 30_000; // No deadline frees a descriptor meanwhile.
    let server = Server::start(&config);
    server.assert_well("the start");

    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum }).unwrap();
    let mut clients = vec![server.connect()];
    // The listener keeps the last descriptor from clients until all others are in use.
    let mut hoard = Vec::new();
    while let Ok(socket) = TcpListener::bind("127.0.0.1:0") {
        hoard.push(socket);
    }
    // One descriptor for a client's end, and none for the server's.
    hoard.pop();
    clients.push(server.connect());
    wait_until("accept fails", || accept_errors(&server) > 0);

    let (errors, cpu) = (accept_errors(&server), cpu_ms());
    std::thread::sleep(Duration::from_secs(1));
    let (errors, cpu) = (accept_errors(&server) - errors, cpu_ms() - cpu);
    assert!(errors <= 10, "{errors} tries in a second");
    assert!(cpu < 200, "{cpu} ms of CPU in a second of waiting");

    // The admin address has reserved descriptors. The client's end needs one too, which other connections may take
    // first.
    for _ in 0..20 {
        let mut health = loop {
            match TcpStream::connect(server.admin) {
                Ok(client) => break client,
                Err(_) => drop(hoard.pop().expect("the client gets one of them")),
            }
        };
        while let Ok(socket) = TcpListener::bind("127.0.0.1:0") {
            hoard.push(socket);
        }
        health.set_read_timeout(Some(PATIENCE)).unwrap();
        health.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        health.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }

    drop(hoard);
    setrlimit(Resource::Nofile, before).unwrap();
    let last = clients.last_mut().unwrap();
    last.send("GET /v1/rooms HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(last.answer().status, 200, "who waited is served");
    server.assert_well("the shortage");
}
