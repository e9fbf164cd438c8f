//! The CPU time of one accept, upgrade and hand-over on the gateway's thread, without the shard's part.
//!
//! The baseline in the same run is a bare loop on the same runtime that accepts, reads the request, and writes a
//! prepared 101. No server can cost less. Clients run on another thread.
//!
//! `cargo bench --bench upgrade`

#![allow(missing_docs, clippy::print_stdout)]

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use volley::config::Config;
use volley::gateway::{Gateway, GatewayState, HandOver, Permits, Rooms, RoomsFull, Upgraded};
use volley::policy::auth::Guests;
use volley::protocol::ids::RoomId;
use volley::protocol::local::RoomKey;
use volley::room::registry::RoomHandle;
use volley::shutdown::Shutdown;

const ROUNDS: usize = 5;
const UPGRADES: usize = 5_000;

const REQUEST: &str = "GET /v1/rooms/demo/ws HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nUpgrade: websocket\r\nOrigin: http://127.0.0.1:8080\r\nSec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Sec-WebSocket-Protocol: volley.v1.json\r\n\r\n";

struct OneRoom(Arc<RoomHandle>);

impl Rooms for OneRoom {
    fn claim(&self, _: &RoomId) -> Result<Arc<RoomHandle>, RoomsFull> {
        Ok(self.0.clone())
    }
    fn has_place(&self, _: &RoomId) -> bool {
        true
    }
    fn release(&self, _: &RoomHandle) {}
}

/// Keeps the sockets, as a shard would; closing is not measured.
#[derive(Default)]
struct Keep(Mutex<Vec<Upgraded>>);

impl HandOver for Keep {
    fn hand_over(&self, mut upgraded: Upgraded) -> Result<(), Upgraded> {
        upgraded.stream.write_all(&upgraded.answer).expect("101");
        self.0.lock().push(upgraded);
        Ok(())
    }
}

fn cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).expect("below 10^9")).as_secs_f64() * 1e6
}

/// CPU of the gateway's own thread, which serves proper upgrades.
fn door_us() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("on Linux").flatten();
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let door = |path: &std::path::PathBuf| read(path.join("comm")).trim_end() == "door";
    let ns = |path: std::path::PathBuf| read(path.join("schedstat")).split(' ').next().and_then(|ns| ns.parse().ok());
    tasks.map(|task| task.path()).filter(door).filter_map(ns).fold(0.0, |sum, ns: f64| sum + ns / 1e3)
}

/// Upgrades in sequence, a few at a time, from a different thread.
fn connect_all(address: SocketAddr) -> std::thread::JoinHandle<Vec<TcpStream>> {
    std::thread::spawn(move || {
        let mut open = Vec::with_capacity(UPGRADES);
        for batch in 0..UPGRADES / 50 {
            // Sources spread over 127.0.0.0/8 are not needed: 5,000 ports are free.
            let sockets: Vec<_> = (0..50).map(|_| TcpStream::connect(address).expect("connect")).collect();
            for mut socket in &sockets {
                socket.write_all(REQUEST.as_bytes()).expect("request");
            }
            for mut socket in &sockets {
                let mut head = [0; 512];
                let n = socket.read(&mut head).expect("answer");
                assert!(head[..n].starts_with(b"HTTP/1.1 101 "), "batch {batch}: {:?}", &head[..n]);
            }
            open.extend(sockets);
        }
        open
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// CPU of this thread per upgrade.
fn gateway() -> f64 {
    let mut config = Config { no_rate_limits: true, ..Config::default() };
    config.addresses.listen.set_port(0);
    config.addresses.admin.set_port(0);
    let gateway = Gateway::bind(&config).expect("bind");
    let address = gateway.public.address();
    let keep = Arc::new(Keep::default());
    let room = RoomHandle::new(RoomKey(1), RoomId::new("demo").expect("id"), 0, 1);
    let state = GatewayState {
        rooms: Arc::new(OneRoom(Arc::new(room))),
        auth: Arc::new(Guests),
        hand_over: keep.clone(),
        shutdown: Shutdown::default(),
        permits: Permits::new(usize::MAX, None),
        health: Default::default(),
    };
    runtime().block_on(async {
        tokio::spawn(gateway.public.serve(state, axum::Router::new()));
        let clients = connect_all(address);
        let before = cpu_us();
        while keep.0.lock().len() < UPGRADES {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The door belongs to this run: the thread of the last run has ended with its runtime.
        let cost = (cpu_us() - before + door_us()) / UPGRADES as f64;
        drop(clients.join());
        cost
    })
}

fn bare() -> f64 {
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let clients = connect_all(listener.local_addr().expect("address"));
        let kept = Arc::new(Mutex::new(Vec::with_capacity(UPGRADES)));
        let before = cpu_us();
        for _ in 0..UPGRADES {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let n = stream.read(&mut head).await.expect("request");
                assert!(head[..n].ends_with(b"\r\n\r\n"));
                stream
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\r\n")
                    .await
                    .expect("101");
                kept.lock().push(stream.into_std().expect("std"));
            });
        }
        while kept.lock().len() < UPGRADES {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let cost = (cpu_us() - before) / UPGRADES as f64;
        drop(clients.join());
        cost
    })
}

fn main() {
    volley::metrics::install().expect("recorder");
    let _ = rlimit::increase_nofile_limit(4 * UPGRADES as u64);
    for round in 1..=ROUNDS {
        let (bare, gateway) = (bare(), gateway());
        println!("round {round}: bare loop {bare:.1} µs, gateway {gateway:.1} µs, ratio {:.2}", gateway / bare);
    }
}
