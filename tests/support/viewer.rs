//! Viewers that check their frames, and HTTP answers with their headers.

use super::{Client, PATIENCE, Server, frame};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// Both encodings, as the subprotocol that asks for them.
pub const ENCODINGS: [&str; 2] = ["volley.v1.json", "volley.v1.msgpack"];

/// A client in `room` that asked for `subprotocol`, its welcome read. `query` begins with `?` or is empty.
pub fn enter(server: &Server, room: &str, query: &str, subprotocol: &str) -> Client {
    enter_at(server.public, room, query, subprotocol)
}

/// The same for a server that is known only by its address.
pub fn enter_at(address: SocketAddr, room: &str, query: &str, subprotocol: &str) -> Client {
    let path = format!("/v1/rooms/{room}/ws{query}");
    let mut client = Client::connect(address, &path, Some(subprotocol)).expect("upgrades");
    client.welcome = client.next("welcome");
    client
}

/// One data message with any payload, in the message type of `subprotocol`.
pub fn message(subprotocol: &str, payload: &[u8]) -> Vec<u8> {
    frame(if subprotocol.ends_with("json") { 0x81 } else { 0x82 }, payload)
}

/// `value` as a payload of `subprotocol`.
pub fn payload(subprotocol: &str, value: &Value) -> Vec<u8> {
    if subprotocol.ends_with("json") {
        value.to_string().into_bytes()
    } else {
        rmp_serde::to_vec_named(value).expect("packs")
    }
}

/// A comment as a payload of `subprotocol`.
pub fn comment(subprotocol: &str, id: &str, text: &str) -> Vec<u8> {
    payload(subprotocol, &serde_json::json!({"comment": {"id": id, "text": text}}))
}

/// The number in a field.
pub fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} is no number in {value}"))
}

/// The text in a field.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {value}"))
}

/// What one viewer received in frames, each of which was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Up to here.
    pub position: u64,
    /// (offset, author, text), in the order of arrival.
    pub comments: Vec<(u64, String, String)>,
    /// The digest at each frame's end.
    pub digests: BTreeMap<u64, String>,
    /// The newest totals.
    pub likes: u64,
    pub online: u64,
    /// How many were left out.
    pub shed: u64,
}

impl Seen {
    /// Starts at the position of `welcome`; with `resumed`, at the requested position.
    pub fn after(welcome: &Value, resumed: Option<u64>) -> Self {
        let snapshot = &welcome["snapshot"];
        let position = resumed.unwrap_or_else(|| number(welcome, "last"));
        Self {
            position,
            // A resumed viewer knows an earlier total; later totals must not be lower than its first one.
            likes: if resumed.is_some() { 0 } else { number(snapshot, "likes") },
            online: number(snapshot, "online"),
            ..Self::default()
        }
    }

    /// Takes one frame: it continues exactly, its offsets rise inside it, likes never fall.
    pub fn take(&mut self, frame: &Value) {
        let (prev, last) = (number(frame, "prev"), number(frame, "last"));
        assert_eq!(prev, self.position, "a hole or an overlap: {frame}");
        let mut offset = prev;
        for event in frame["events"].as_array().expect("events") {
            let next = number(event, "offset");
            assert!(next > offset && next <= last, "offset {next} is out of place in {frame}");
            offset = next;
            let comment = &event["comment"];
            self.comments.push((next, text(&comment["user"], "id").into(), text(comment, "text").into()));
        }
        let likes = number(frame, "likes");
        assert!(likes >= self.likes, "likes fell from {} to {likes}", self.likes);
        (self.position, self.likes, self.online) = (last, likes, number(frame, "online"));
        self.shed += frame["shed"]["normal"].as_u64().unwrap_or(0);
        self.digests.insert(last, text(frame, "digest").into());
    }

    /// Reads frames until `enough`; a gap or a close is a failure.
    pub fn follow(&mut self, client: &mut Client, mut enough: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !enough(self) {
            // Heartbeats never end, so received messages alone are no progress.
            assert!(began.elapsed() < 3 * PATIENCE, "it never came; seen so far: {self:?}");
            let message = client.read().unwrap_or_else(|close| panic!("closed: {close:?}"));
            assert!(message.get("gap").is_none(), "a gap for a viewer that reads: {message}");
            if let Some(frame) = message.get("frame") {
                self.take(frame);
            }
        }
    }

    /// Reads until the comment `text` was seen.
    pub fn until(&mut self, client: &mut Client, text: &str) {
        self.follow(client, |seen| seen.comments.iter().any(|(_, _, said)| said == text));
    }

    /// Whether `text` was the last received text.
    pub fn said_last(&self, text: &str) -> bool {
        self.comments.last().is_some_and(|(.., said)| said == text)
    }

    /// The texts alone.
    pub fn texts(&self) -> Vec<&str> {
        self.comments.iter().map(|(_, _, text)| text.as_str()).collect()
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The refusal's code.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        text(&body["error"], "code").into()
    }
}

/// Requests an upgrade and returns the refusal. A granted upgrade would block it forever.
pub fn refused(stream: &mut TcpStream, path: &str) -> Answer {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    // A connection above the cap may be answered and closed before it sends anything.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let mut piece = [0; 1_024];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let answer = Answer { status: 0, head: head.into(), body: body.into() };
            let length = answer.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0_usize);
            if body.len() >= length {
                let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
                return Answer { status, ..answer };
            }
        }
        let n = stream.read(&mut piece).expect("an answer");
        assert!(n > 0, "closed in the middle of an answer: {}", String::from_utf8_lossy(&bytes));
        bytes.extend(&piece[..n]);
    }
}
