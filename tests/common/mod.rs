//! A whole server in this process, and clients that speak to its real sockets.
#![allow(dead_code)] // Each test file uses its part.

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use volley::app::Node;
use volley::config::{Config, Data, Merge};
use volley::log::Log;

/// How long a test waits for something that has to come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One server at a time per process: metrics are the process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A server on free ports; stopped with the test.
pub struct Server {
    node: Option<Node>,
    /// Counters as they were at the start.
    before: String,
    _turn: MutexGuard<'static, ()>,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Server {
    /// The defaults but for merging and the display budget, which are off, changed by `change`. Connections are counted against a limit that this process can bear.
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(change, Node::start)
    }

    /// The same on a log of the test's.
    pub fn start_on(log: Arc<dyn Log>, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_by(change, |config| Node::start_on(config, log))
    }

    fn start_by(
        change: impl FnOnce(&mut Config),
        start: impl FnOnce(Config) -> Result<Node, volley::app::StartError>,
    ) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            drain_ms: 1_000,
            data: Data::Memory,
            shards: 2,
            ..Config::default()
        };
        config.admission.connections_max = 4_000;
        // Everything is shown by itself, unless a test wants to see what a crowd gets.
        (config.room.merge, config.room.budget_per_s) = (Merge::Off, 0);
        // Also to a client that its test lets wait.
        config.connection.lite_lag_frames = 0;
        change(&mut config);
        let node = start(config).expect("starts");
        let (public, admin) = (node.public_address(), node.admin_address());
        let mut server = Self { public, admin, node: Some(node), before: String::new(), _turn: turn };
        server.before = server.get(admin, "/metrics").1;
        server
    }

    /// A client in `room`, its welcome read.
    pub fn join(&self, room: &str) -> Client {
        let mut client = self.connect(room, "");
        client.welcome = client.next("welcome");
        client
    }

    /// A client that has read nothing yet.
    pub fn connect(&self, room: &str, query: &str) -> Client {
        Client::connect(self.public, &format!("/v1/rooms/{room}/ws{query}"), None).expect("upgrades")
    }

    /// The body of a GET, whatever the status.
    pub fn get(&self, address: SocketAddr, path: &str) -> (u16, String) {
        http(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"))
    }

    /// One metric, summed over its labels that contain `labels`; counters since this server's start.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let now = sum(&self.get(self.admin, "/metrics").1, name, labels);
        if name.ends_with("_total") { now - sum(&self.before, name, labels) } else { now }
    }

    /// Waits until `condition` holds.
    pub fn eventually(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(began.elapsed() < PATIENCE, "never happened: {what}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    pub fn drain(mut self) -> usize {
        self.node.take().expect("running").drain()
    }

    /// Takes the node out, for tests that drain it on another thread.
    pub fn take(&mut self) -> Node {
        self.node.take().expect("running")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.drain();
        }
    }
}

fn sum(text: &str, name: &str, labels: &str) -> f64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(labels)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Sends raw bytes, reads to the end.
pub fn http(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// A WebSocket client, blocking.
pub struct Client {
    pub socket: WebSocket<TcpStream>,
    pub welcome: Value,
    msgpack: bool,
}

impl Client {
    pub fn connect(address: SocketAddr, path: &str, subprotocol: Option<&str>) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("a request");
        if let Some(name) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", name.parse().expect("a header"));
        }
        match client(request, stream) {
            Ok((socket, _)) => {
                Ok(Self { socket, welcome: Value::Null, msgpack: subprotocol.is_some_and(|p| p.ends_with("msgpack")) })
            }
            Err(tokio_tungstenite::tungstenite::HandshakeError::Failure(Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("handshake: {error}"),
        }
    }

    pub fn send(&mut self, json: &str) {
        self.socket.send(Message::text(json)).expect("sends");
    }

    pub fn send_value(&mut self, value: &Value) {
        if self.msgpack {
            self.socket.send(Message::binary(rmp_serde::to_vec_named(value).expect("packs"))).expect("sends");
        } else {
            self.send(&value.to_string());
        }
    }

    /// Bytes past the WebSocket library.
    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.get_mut().write_all(bytes)
    }

    /// The next message of the server, whatever it is; `Err` is how it closed.
    pub fn read(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Binary(bytes)) => return Ok(rmp_serde::from_slice(&bytes).expect("MessagePack")),
                Ok(Message::Close(frame)) => return Err(frame),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came in time")
                }
                Err(_) => return Err(None),
            }
        }
    }

    /// The body of the next message of `kind`; others are skipped.
    pub fn next(&mut self, kind: &str) -> Value {
        loop {
            let message = self.read().unwrap_or_else(|close| panic!("closed ({close:?}) while waiting for {kind}"));
            if let Some(body) = message.get(kind) {
                return body.clone();
            }
        }
    }

    /// The code that the server closes with; messages before it are skipped. `None`: no close frame came.
    pub fn close_code(&mut self) -> Option<u16> {
        loop {
            match self.read() {
                Ok(_) => {}
                Err(frame) => return frame.map(|frame| frame.code.into()),
            }
        }
    }

    /// Says something and waits until it is in the log; returns the ack.
    pub fn comment(&mut self, id: &str, text: &str) -> Value {
        self.send_value(&serde_json::json!({"comment": {"id": id, "text": text}}));
        self.next("ack")
    }
}

/// A masked client frame with any first byte and a true length.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        n @ 0..126 => bytes.push(0x80 | n as u8),
        n @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((n as u16).to_be_bytes());
        }
        n => {
            bytes.push(0x80 | 127);
            bytes.extend((n as u64).to_be_bytes());
        }
    }
    // A mask of zeros is a mask.
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
