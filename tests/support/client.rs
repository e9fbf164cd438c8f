//! Clients for a server's real sockets: HTTP, WebSocket, and raw bytes.

use super::PATIENCE;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

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

    /// Sends bytes without the WebSocket library.
    pub fn raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.get_mut().write_all(bytes)
    }

    /// The next message of the server; `Err` has the close.
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

    /// Sends a comment and waits until it is in the log; returns the ack.
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
