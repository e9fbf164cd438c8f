//! The messages of viewers and publishers in each protocol, and the meaning of the answers.

use super::units::{self, Kind, Unit};

/// The protocol of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// A WebSocket, messages as they are: viewers at `/sub`, publishers at `/pub`.
    WebSocket,
    /// Volley's wire.
    Volley,
    /// Engine.IO 4 over a WebSocket: viewers in the namespace `/`, publishers in `/publish`.
    SocketIo,
    /// NATS over its own TCP protocol.
    Nats,
    /// MQTT 3.1.1 over TCP, quality of service 0.
    Mqtt,
}

/// The role of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Viewer,
    Publisher,
}

/// The phase of a connection, which each step of its handshake increments.
pub type Phase = u8;

/// The phase of a connection after its handshake.
pub const READY: Phase = u8::MAX;

/// The meaning of a unit for its connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A comment.
    Comment,
    /// A frame of Volley: its comments are those after the first position, up to the second.
    Frame { prev: u64, last: u64 },
    /// An announced gap of Volley: everything before this position will not come.
    Gap { to: u64 },
    /// The handshake continues with this message.
    Next(Vec<u8>),
    /// The handshake is over.
    Ready,
    /// Must be answered with this message.
    Reply(Vec<u8>),
    /// The peer closes the connection.
    Over(String),
    /// Counters and other news.
    Nothing,
}

/// Bytes at the beginning of a message that are always examined: they cover the positions of a frame, and any control
/// frame.
pub const PEEK_BYTES: usize = 128;

/// The one channel.
const CHANNEL: &str = "show";

impl Speaks {
    pub fn from_name(name: &str) -> Result<Self, String> {
        Ok(match name {
            "websocket" => Self::WebSocket,
            "volley" => Self::Volley,
            "socket.io" => Self::SocketIo,
            "nats" => Self::Nats,
            "mqtt" => Self::Mqtt,
            _ => return Err(format!("nobody here speaks `{name}`")),
        })
    }

    /// The client's first message.
    pub fn opening(self, role: Role, port: u16) -> Vec<u8> {
        match self {
            Self::WebSocket if role == Role::Viewer => upgrade("/sub", port),
            Self::WebSocket => upgrade("/pub", port),
            Self::Volley => upgrade("/v1/rooms/show/ws", port),
            Self::SocketIo => upgrade("/socket.io/?EIO=4&transport=websocket", port),
            Self::Nats => Vec::new(), // The server begins.
            Self::Mqtt => mqtt_packet(0x10, &[&[0, 4], b"MQTT", &[4, 2, 0, 0, 0, 0]]), // Clean session, no keep-alive.
        }
    }

    /// Splits the first unit off `bytes`; `None` while its header is incomplete.
    ///
    /// # Errors
    /// Not this protocol, or a refusal.
    pub fn split(self, phase: Phase, bytes: &[u8]) -> Result<Option<Unit>, String> {
        match self {
            Self::Nats => units::nats(bytes),
            Self::Mqtt => units::mqtt(bytes),
            _ if phase == 0 => units::http(bytes),
            _ => units::websocket(bytes),
        }
    }

    /// The meaning of a unit; `body` is at least its first [`PEEK_BYTES`], or all of it.
    pub fn meaning(self, role: Role, phase: Phase, kind: Kind, body: &[u8]) -> Meaning {
        match kind {
            Kind::Ping if self == Self::Nats => return Meaning::Reply(b"PONG\r\n".to_vec()),
            Kind::Ping => return Meaning::Reply(masked(0x8a, body)),
            Kind::Close => {
                return Meaning::Over(format!("closed by the peer: {}", String::from_utf8_lossy(body).trim()));
            }
            Kind::Other => return Meaning::Nothing,
            _ => {}
        }
        if phase == READY { self.news(body) } else { self.handshake(role, phase, kind, body) }
    }

    fn handshake(self, role: Role, phase: Phase, kind: Kind, body: &[u8]) -> Meaning {
        let viewer = role == Role::Viewer;
        match (self, phase, kind) {
            (Self::WebSocket, 0, Kind::Head) => Meaning::Ready,
            (Self::Volley | Self::SocketIo, 0, Kind::Head) => Meaning::Next(Vec::new()),
            (Self::Volley, 1, Kind::Data) if body.starts_with(b"{\"welcome\"") => Meaning::Ready,
            (Self::SocketIo, 1, Kind::Data) if body.starts_with(b"0") => {
                Meaning::Next(masked(0x81, if viewer { b"40" } else { b"40/publish," }))
            }
            (Self::SocketIo, 2, Kind::Data) if body.starts_with(b"40") => Meaning::Ready,
            (Self::Nats, 0, Kind::Head) => {
                let subscribe = if viewer { format!("SUB {CHANNEL} 1\r\n") } else { String::new() };
                let connect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"peers\",\"version\":\"1\",\"protocol\":1}";
                Meaning::Next(format!("{connect}\r\n{subscribe}PING\r\n").into_bytes())
            }
            (Self::Nats, 1, Kind::Answer) => Meaning::Ready,
            (Self::Mqtt, 0, Kind::Answer) if body != [0, 0] => Meaning::Over(format!("MQTT connect refused: {body:?}")),
            (Self::Mqtt, 0, Kind::Answer) if viewer => {
                Meaning::Next(mqtt_packet(0x82, &[&[0, 1, 0, CHANNEL.len() as u8], CHANNEL.as_bytes(), &[0]]))
            }
            (Self::Mqtt, 0 | 1, Kind::Answer) => Meaning::Ready,
            _ => Meaning::Nothing,
        }
    }

    /// A message after the handshake. Comments of all peers but Volley begin with their user.
    fn news(self, body: &[u8]) -> Meaning {
        let comment = |body: &[u8]| if body.starts_with(b"{\"user\"") { Meaning::Comment } else { Meaning::Nothing };
        match self {
            Self::WebSocket | Self::Nats => comment(body),
            Self::Mqtt => comment(body.get(2 + CHANNEL.len()..).unwrap_or_default()),
            Self::SocketIo if body == b"2" => Meaning::Reply(masked(0x81, b"3")),
            Self::SocketIo => comment(body.strip_prefix(b"42[\"comment\",").unwrap_or_default()),
            Self::Volley => volley(body).unwrap_or(Meaning::Nothing),
        }
    }

    /// Appends a publisher's message by which `message` is sent to all viewers.
    pub fn publish(self, message: &str, out: &mut Vec<u8>) {
        match self {
            Self::WebSocket | Self::Volley => mask(0x81, message.as_bytes(), out),
            Self::SocketIo => mask(0x81, format!("42/publish,[\"comment\",{message}]").as_bytes(), out),
            Self::Nats => {
                out.extend_from_slice(format!("PUB {CHANNEL} {}\r\n", message.len()).as_bytes());
                out.extend_from_slice(message.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Self::Mqtt => {
                let topic: &[u8] = CHANNEL.as_bytes();
                out.extend(mqtt_packet(0x30, &[&[0, topic.len() as u8], topic, message.as_bytes()]));
            }
        }
    }
}

/// The positions of a frame or gap, which are its first fields.
fn volley(body: &[u8]) -> Option<Meaning> {
    if let Some(rest) = body.strip_prefix(b"{\"gap\":{\"from\":") {
        let (_, rest) = number(rest)?;
        let (to, _) = number(rest.strip_prefix(b",\"to\":")?)?;
        return Some(Meaning::Gap { to });
    }
    let (prev, rest) = number(body.strip_prefix(b"{\"frame\":{\"prev\":")?)?;
    let (last, _) = number(rest.strip_prefix(b",\"last\":")?)?;
    Some(Meaning::Frame { prev, last })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    Some((std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?, &bytes[digits..]))
}

fn upgrade(path: &str, port: u16) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dm9sbGV5LXBlZXJzLWtleQ==\r\n\r\n"
    )
    .into_bytes()
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    mask(first, payload, &mut out);
    out
}

/// Appends a WebSocket frame of a client.
fn mask(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    out.push(first);
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
}

fn mqtt_packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![first];
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
