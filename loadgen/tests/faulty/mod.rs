//! A small server of the protocol, with one thread per connection, that can be told to make errors.
//!
//! It shares nothing with Volley's own server but the wire's types, so that loadgen is judged by a second opinion.

use std::collections::{BTreeMap, HashMap};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, accept_hdr};
use volley::protocol::encode;
use volley::protocol::event::Comment;
use volley::protocol::frame::Outcome;
use volley::protocol::frame::{Frame, FrameEvent, ShedClass, What};
use volley::protocol::ids::{Hex64, RoomId};
use volley::protocol::message::{
    Ack, ClientMessage, CommentRequest, ErrorMessage, Gap, GapReason, ServerMessage, Snapshot, Welcome,
};
use volley::protocol::parse::parse;
use volley::protocol::user::{Role, User};
use volley::protocol::variant::{Encoding, Rendition};

/// The server's error towards its first connection or, if stated, towards all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Leaves out one frame silently.
    DropFrame,
    /// Leaves out one frame and announces the gap: no fault.
    AnnouncedGap,
    /// Announces a gap that ends before what it leaves out.
    ShortGap,
    /// Sends one frame twice.
    Duplicate,
    /// Sends two frames in the wrong order.
    Swap,
    /// One frame with a different digest.
    WrongDigest,
    /// One frame without one of its comments (to this connection alone).
    HideComment,
    /// Everybody: one acknowledged comment is in no frame.
    LoseComment,
    /// Everybody: every third comment is shed and counted: no fault.
    Shed,
    /// Everybody: every third comment is shed, one of them not counted.
    ShedUncounted,
    /// Everybody: every third comment is folded into the first of its frame, and counted there: no fault.
    Merge,
    /// The same, but after a while they are not counted.
    MergeUncounted,
    /// Everybody: the last frames of a while are never sent.
    LoseTail,
    /// Everybody: every third comment is refused: no fault.
    Refuse,
    /// Everybody: some comments are never answered.
    NoAnswer,
    /// Everybody: half of the likes are lost.
    LoseLikes,
    /// Ends the connection with 4001.
    Close,
    /// Sends an invalid message.
    Garbage,
    /// Everybody: 503 instead of an upgrade.
    Busy,
}

/// The frame (counted from the first with comments) at which faults happen.
const FAULTY_FRAME: u64 = 4;
const TICK: Duration = Duration::from_millis(40);

enum Out {
    Bytes(Vec<u8>),
    Close(u16),
}

struct Connection {
    out: Sender<Out>,
    encoding: Encoding,
    held: Option<Vec<u8>>,
}

#[derive(Default)]
struct Room {
    last: u64,
    digest: u64,
    likes: u64,
    like_parity: bool,
    frames: u64,
    comments: u64,
    batch: Vec<(usize, CommentRequest)>,
    likes_batch: u64,
    connections: Vec<Connection>,
}

/// A running server; its threads end with the test process.
pub struct Server {
    pub port: u16,
}

impl Server {
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rooms = Rooms::default();
        let ticking = Arc::clone(&rooms);
        std::thread::spawn(move || {
            let mut next = Instant::now();
            loop {
                next += TICK;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                let now: Vec<_> = ticking.lock().unwrap().values().cloned().collect();
                for room in now {
                    room.lock().unwrap().tick(fault);
                }
            }
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let rooms = Arc::clone(&rooms);
                std::thread::spawn(move || serve(stream.unwrap(), fault, &rooms));
            }
        });
        Self { port }
    }
}

type Rooms = Arc<Mutex<HashMap<String, Arc<Mutex<Room>>>>>;

fn serve(stream: TcpStream, fault: Fault, rooms: &Rooms) {
    let mut encoding = Encoding::Json;
    let mut name = String::new();
    #[allow(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    let upgraded = accept_hdr(stream, |request: &Request, mut response: Response| {
        name = request.uri().path().split('/').nth(3).unwrap_or_default().to_owned();
        let asked = request.headers()["sec-websocket-protocol"].to_str().unwrap();
        if asked == Encoding::Msgpack.subprotocol() {
            encoding = Encoding::Msgpack;
        }
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(asked).unwrap());
        if fault == Fault::Busy {
            return Err(Response::builder().status(503).body(None).unwrap());
        }
        Ok(response)
    });
    let Ok(mut socket) = upgraded else { return }; // A connection without an upgrade, or a refusal.
    let (out, outbox) = mpsc::channel();
    let room = Arc::clone(rooms.lock().unwrap().entry(name.clone()).or_default());
    let index = room.lock().unwrap().join(&name, out, encoding);
    socket.get_mut().set_read_timeout(Some(Duration::from_millis(3))).unwrap();
    loop {
        if !write(&mut socket, &outbox, encoding) {
            return;
        }
        match socket.read() {
            Ok(Message::Text(text)) => {
                room.lock().unwrap().said(index, parse(text.as_bytes(), encoding).unwrap(), fault);
            }
            Ok(Message::Binary(bytes)) => room.lock().unwrap().said(index, parse(&bytes, encoding).unwrap(), fault),
            Ok(_) => {}
            Err(Error::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn write(
    socket: &mut tokio_tungstenite::tungstenite::WebSocket<TcpStream>,
    outbox: &Receiver<Out>,
    encoding: Encoding,
) -> bool {
    while let Ok(out) = outbox.try_recv() {
        let sent = match out {
            Out::Bytes(bytes) if encoding == Encoding::Json => {
                socket.send(Message::text(String::from_utf8(bytes).unwrap()))
            }
            Out::Bytes(bytes) => socket.send(Message::binary(bytes)),
            Out::Close(code) => socket.close(Some(CloseFrame { code: code.into(), reason: "test".into() })),
        };
        if sent.is_err() {
            return false;
        }
    }
    true
}

fn user(index: usize) -> User {
    User { id: format!("u{index}").into(), name: format!("guest {index}").into(), role: Role::Guest }
}

impl Room {
    fn join(&mut self, name: &str, out: Sender<Out>, encoding: Encoding) -> usize {
        let index = self.connections.len();
        self.connections.push(Connection { out, encoding, held: None });
        let welcome = Welcome {
            room: RoomId::new(name).unwrap(),
            session: Hex64(index as u64),
            you: user(index),
            recovered: false,
            reason: None,
            rendition: Rendition::Viewer,
            epoch: Hex64(7),
            last: self.last,
            tick_ms: 40,
            snapshot: Snapshot {
                likes: self.likes,
                online: index as u64 + 1,
                events: Vec::new(),
                ..Snapshot::default()
            },
        };
        self.tell(index, &ServerMessage::Welcome(Box::new(welcome)));
        index
    }

    fn tell(&mut self, index: usize, message: &ServerMessage) {
        let connection = &mut self.connections[index];
        // A closed connection reads no more.
        let _ = connection.out.send(Out::Bytes(encode::payload(message, connection.encoding)));
    }

    fn said(&mut self, index: usize, message: ClientMessage, fault: Fault) {
        match message {
            ClientMessage::Comment(comment) => {
                self.comments += 1;
                if fault == Fault::Refuse && self.comments.is_multiple_of(3) {
                    let error = ErrorMessage {
                        id: comment.id,
                        code: volley::protocol::codes::ErrorCode::RateLimited,
                        message: "slower".into(),
                        retry_after_ms: Some(100),
                    };
                    return self.tell(index, &ServerMessage::Error(error));
                }
                if fault == Fault::NoAnswer && self.comments == 5 {
                    return;
                }
                self.batch.push((index, comment));
            }
            ClientMessage::Like(like) => {
                self.like_parity = !self.like_parity;
                if fault != Fault::LoseLikes || self.like_parity {
                    self.likes_batch += like.count;
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn tick(&mut self, fault: Fault) {
        if self.batch.is_empty() && self.likes_batch == 0 {
            return;
        }
        let prev = self.last;
        let batch = std::mem::take(&mut self.batch);
        let (mut events, mut shed) = (Vec::new(), 0);
        self.frames += u64::from(!batch.is_empty());
        let is_faulty = self.frames == FAULTY_FRAME && !batch.is_empty();
        for (i, (index, request)) in batch.into_iter().enumerate() {
            self.last += 3; // Offsets may skip.
            self.digest = self.digest.wrapping_mul(31).wrapping_add(self.last);
            let id = request.id.clone().unwrap();
            let is_shed = matches!(fault, Fault::Shed | Fault::ShedUncounted) && self.last.is_multiple_of(9);
            let is_merged = matches!(fault, Fault::Merge | Fault::MergeUncounted) && self.last.is_multiple_of(9);
            let first = events.first_mut().filter(|_| is_merged);
            let into = first.as_ref().map(|first: &&mut FrameEvent| first.offset);
            if let Some(What::Comment(first)) = first.map(|first| &mut first.what)
                && !(fault == Fault::MergeUncounted && self.frames >= FAULTY_FRAME)
            {
                first.times += 1;
            }
            let outcome = match (is_shed, into) {
                (true, _) => Outcome::Shed,
                (_, Some(_)) => Outcome::Merged,
                _ => Outcome::Shown,
            };
            shed += u64::from(is_shed);
            let offset = self.last;
            let is_lost = fault == Fault::LoseComment && is_faulty && i == 0;
            if outcome == Outcome::Shown && !is_lost {
                let comment = Comment { id: Some(id.clone()), ..Comment::new(user(index), request.text) };
                events.push(FrameEvent::comment(offset, comment));
            }
            self.tell(index, &ServerMessage::Ack(Ack { id, offset, outcome, into }));
        }
        if self.likes_batch > 0 {
            self.last += 1; // Likes are an event too, which no frame shows.
            self.likes += std::mem::take(&mut self.likes_batch);
        }
        if fault == Fault::ShedUncounted && shed > 0 && self.frames >= FAULTY_FRAME {
            shed -= 1;
        }
        if fault == Fault::LoseTail && self.frames > 20 {
            return;
        }
        let mut counts = BTreeMap::new();
        if shed > 0 {
            counts.insert(ShedClass::Normal, shed);
        }
        let frame = Frame {
            prev,
            last: self.last,
            at: 1,
            digest: Hex64(self.digest),
            likes: self.likes,
            online: self.connections.len() as u64,
            events,
            shed: counts,
            ..Frame::default()
        };
        for index in 0..self.connections.len() {
            if index == 0 {
                self.frame_to_the_first(frame.clone(), fault, is_faulty);
            } else {
                self.tell(index, &ServerMessage::Frame(frame.clone()));
            }
        }
    }

    fn frame_to_the_first(&mut self, mut frame: Frame, fault: Fault, is_faulty: bool) {
        let (prev, last) = (frame.prev, frame.last);
        if let Some(held) = self.connections[0].held.take() {
            self.tell(0, &ServerMessage::Frame(frame));
            let _ = self.connections[0].out.send(Out::Bytes(held));
            return;
        }
        match fault {
            Fault::DropFrame if is_faulty => return,
            Fault::AnnouncedGap if is_faulty => {
                return self.tell(0, &ServerMessage::Gap(Gap::new(prev, last, GapReason::Slow)));
            }
            Fault::ShortGap if is_faulty => {
                return self.tell(0, &ServerMessage::Gap(Gap::new(prev, prev + 1, GapReason::Slow)));
            }
            Fault::Swap if is_faulty => {
                let bytes = encode::payload(&ServerMessage::Frame(frame), self.connections[0].encoding);
                self.connections[0].held = Some(bytes);
                return;
            }
            Fault::Duplicate if is_faulty => self.tell(0, &ServerMessage::Frame(frame.clone())),
            Fault::WrongDigest if is_faulty => frame.digest = Hex64(frame.digest.0 ^ 1),
            Fault::HideComment if is_faulty => drop(frame.events.pop()),
            Fault::Garbage if is_faulty => drop(self.connections[0].out.send(Out::Bytes(b"[]".to_vec()))),
            Fault::Close if is_faulty => drop(self.connections[0].out.send(Out::Close(4001))),
            _ => {}
        }
        self.tell(0, &ServerMessage::Frame(frame));
    }
}
