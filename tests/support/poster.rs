//! A program of the show's owner, which posts to the admin address.

use super::PATIENCE;
use super::viewer::Answer;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Sends a request with these header lines and this body; the connection is closed after the answer.
pub fn ask(address: SocketAddr, path: &str, lines: &str, body: &[u8]) -> Answer {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}\r\n");
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The server may refuse early and leave the rest unread.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    answer(stream)
}

/// Reads an answer to its end.
pub fn answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Answer { status, head: head.into(), body: body.into() }
}

/// The header lines of a proper body.
pub fn json_lines(body: &[u8], more: &str) -> String {
    format!("Content-Type: application/json\r\nContent-Length: {}\r\n{more}", body.len())
}

/// Posts JSON with these further header lines.
pub fn post(address: SocketAddr, path: &str, more: &str, body: &Value) -> Answer {
    let body = body.to_string();
    ask(address, path, &json_lines(body.as_bytes(), more), body.as_bytes())
}

/// Posts events that must be accepted to a room; returns the offsets.
pub fn taken(address: SocketAddr, room: &str, more: &str, body: &Value) -> Vec<u64> {
    let answer = post(address, &format!("/v1/rooms/{room}/events"), more, body);
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    let said: Value = serde_json::from_str(&answer.body).expect("JSON");
    let offset = |event: &Value| event["offset"].as_u64().expect("an offset");
    said["events"].as_array().expect("events").iter().map(offset).collect()
}
