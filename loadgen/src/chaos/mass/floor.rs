//! The mass's thread: sockets, habits, and the check of each viewer's frames.
//!
//! Does not know: scenarios.

use super::{Habit, MassOrder, MassPlan, MassShown};
use crate::chaos::dice::Dice;
use crate::clock::now_ns;
use crate::wire::line::{Bytes, Dial, Line, Masker, READ_BYTES, Received, Stage};
use crate::wire::upgrade::Upgrade;
use crate::wire::ws::{self, Kind};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use socket2::SockFilter;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use volley::protocol::message::ServerMessage;

/// Sockets per source address: far below its 28,000 ports.
const SOCKETS_PER_ADDRESS: usize = 4_000;
/// Pongs that may wait for one socket.
const UNSENT_BYTES_MAX: usize = 4 * 1024;
/// `SO_RCVBUF` of viewers that stop reading: full within seconds. With half of it the kernel silently drops small
/// segments, and the server would treat a stalled viewer as a lost one.
pub const SLOW_RCVBUF_BYTES: usize = 8 * 1024;
const CONNECTS_PER_CYCLE: usize = 256;
/// A handshake that takes longer is abandoned.
const HANDSHAKE_NS_MAX: u64 = 20_000_000_000;
/// The back-off of `volley-client.js`: the first value, plus a random part of a range that doubles with every failure,
/// up to the second value.
const BACKOFF_NS: (u64, u64) = (500_000_000, 20_000_000_000);

struct MassViewer {
    line: Line,
    is_live: bool,
    habit: Habit,
    room: usize,
    epoch: Option<String>,
    last: u64,
    heard_ns: u64,
    since_ns: u64,
    due_ns: u64,
    failures: u32,
}

pub(super) struct MassThread {
    plan: MassPlan,
    poll: Poll,
    inbox: Receiver<MassOrder>,
    out: Arc<Mutex<MassShown>>,
    shown: MassShown,
    viewers: Vec<MassViewer>,
    upgrade: Upgrade,
    dice: Dice,
    buffer: Vec<u8>,
    masker: Masker,
    latency: Histogram<u64>,
    is_stalling: bool,
    churn: u64,
    dripped_ns: u64,
    shown_ns: u64,
}

impl MassThread {
    pub(super) fn new(plan: MassPlan, poll: Poll, inbox: Receiver<MassOrder>, out: Arc<Mutex<MassShown>>) -> Self {
        let now = now_ns();
        let habits = plan.viewers.iter().flat_map(|(habit, count)| std::iter::repeat_n(*habit, *count));
        let viewer = |(n, habit): (usize, Habit)| MassViewer {
            line: Line::new(UNSENT_BYTES_MAX),
            is_live: false,
            habit,
            room: n % plan.rooms.len(),
            epoch: None,
            last: 0,
            heard_ns: now,
            since_ns: now,
            due_ns: now + (n as f64 / plan.connect_per_s * 1e9) as u64,
            failures: 0,
        };
        Self {
            viewers: habits.enumerate().map(viewer).collect(),
            upgrade: Upgrade::new(&plan.server.to_string(), "volley.v1.json"),
            dice: Dice::new(plan.seed),
            buffer: vec![0; READ_BYTES],
            masker: Masker::default(),
            latency: Histogram::new(2).expect("two digits are allowed"),
            shown: MassShown::default(),
            is_stalling: false,
            churn: 0,
            dripped_ns: now,
            shown_ns: 0,
            plan,
            poll,
            inbox,
            out,
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(2_048);
        loop {
            let now = now_ns();
            while let Ok(order) = self.inbox.try_recv() {
                match order {
                    MassOrder::Cut { habit, jitter } => self.cut(habit, jitter, now),
                    MassOrder::Stall(on) => self.stall(on),
                    MassOrder::Vanish(habit) => self.vanish(habit)?,
                    MassOrder::Mark => {
                        self.latency.reset();
                        self.shown.pause_max_ms = 0;
                        self.viewers.iter_mut().for_each(|viewer| viewer.heard_ns = now);
                    }
                    MassOrder::Leave => return Ok(()),
                }
            }
            self.connect_due(now);
            if now > self.dripped_ns + 1_000_000_000 {
                self.dripped_ns = now;
                self.drip();
            }
            if now > self.shown_ns + 20_000_000 {
                self.shown_ns = now;
                self.show(now);
            }
            if let Err(error) = self.poll.poll(&mut events, Some(Duration::from_millis(2)))
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error);
            }
            for event in &events {
                let at = event.token().0;
                if event.is_writable() {
                    self.writable(at);
                }
                if event.is_readable() || event.is_error() || event.is_read_closed() {
                    self.readable(at);
                }
            }
        }
    }

    fn show(&mut self, now: u64) {
        self.shown.live = [0, 0];
        self.shown.open = 0;
        for viewer in &self.viewers {
            self.shown.open += usize::from(viewer.line.stage() != Stage::Away);
            if viewer.is_live {
                let reads = viewer.habit == Habit::Reads;
                self.shown.live[usize::from(!reads)] += 1;
                if reads {
                    let pause_ms = now.saturating_sub(viewer.heard_ns) / 1_000_000;
                    self.shown.pause_max_ms = self.shown.pause_max_ms.max(pause_ms);
                }
            }
        }
        self.shown.latency_ms = [0.5, 0.99].map(|q| self.latency.value_at_quantile(q));
        self.out.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.shown);
    }

    fn connect_due(&mut self, now: u64) {
        let mut left = CONNECTS_PER_CYCLE;
        for at in 0..self.viewers.len() {
            let viewer = &self.viewers[at];
            match viewer.line.stage() {
                Stage::Away if viewer.due_ns <= now && left > 0 => {
                    left -= 1;
                    if let Err(error) = self.connect(at, now) {
                        self.end(at, &format!("connect: {}", error.kind()), now);
                    }
                }
                Stage::Connecting | Stage::Upgrading | Stage::Open
                    if !viewer.is_live && viewer.habit != Habit::Mute && now > viewer.since_ns + HANDSHAKE_NS_MAX =>
                {
                    self.end(at, "handshake took too long", now);
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, at: usize, now: u64) -> io::Result<()> {
        let number = u32::try_from(at / SOCKETS_PER_ADDRESS).unwrap_or(0);
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number);
        let viewer = &mut self.viewers[at];
        let rcvbuf_bytes = matches!(viewer.habit, Habit::Stalls | Habit::Drips).then_some(SLOW_RCVBUF_BYTES);
        let dial =
            Dial { server: self.plan.server, source: Some(SocketAddr::from((from, 0))), rcvbuf_bytes, resets: true };
        viewer.since_ns = now;
        viewer.line.connect(&dial, self.poll.registry(), Token(at))
    }

    fn writable(&mut self, at: usize) {
        let viewer = &mut self.viewers[at];
        if viewer.line.stage() != Stage::Connecting {
            // The next read of a broken socket returns the error.
            return drop(viewer.line.flush());
        }
        if let Err(error) = viewer.line.connected() {
            return self.end(at, &format!("connect: {}", error.kind()), now_ns());
        }
        if viewer.habit == Habit::Mute {
            return;
        }
        let room = match viewer.habit {
            Habit::Churns => {
                self.churn += 1;
                self.plan.rooms[self.churn as usize % self.plan.rooms.len()].clone()
            }
            Habit::Wanders => {
                self.churn += 1;
                format!("new-{}", self.churn)
            }
            _ => self.plan.rooms[viewer.room].clone(),
        };
        let query = match &viewer.epoch {
            Some(epoch) => format!("?epoch={epoch}&after={}", viewer.last),
            None => String::new(),
        };
        if let Err(error) = viewer.line.send(&self.upgrade.request_with(&room, &query, "")) {
            self.end(at, &format!("request: {}", error.kind()), now_ns());
        }
    }

    fn readable(&mut self, at: usize) {
        let viewer = &self.viewers[at];
        // They are read after the stall. Their bytes are still there, only this event is lost.
        if viewer.habit == Habit::Drips && viewer.is_live || self.is_stalling && viewer.habit == Habit::Stalls {
            return;
        }
        while self.read(at, READ_BYTES) {}
    }

    /// Reads one byte for each viewer that drips.
    fn drip(&mut self) {
        for at in 0..self.viewers.len() {
            if self.viewers[at].habit == Habit::Drips && self.viewers[at].is_live {
                self.read(at, 1);
            }
        }
    }

    /// Reads once; returns whether there may be more.
    fn read(&mut self, at: usize, bytes_max: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let is_more = match self.viewers[at].line.read(&mut buffer, bytes_max) {
            Received::Bytes(bytes) => {
                self.bytes(at, bytes);
                true
            }
            Received::Nothing => false,
            Received::End => {
                self.end(at, "ended", now_ns());
                false
            }
            Received::Broken(error) => {
                self.end(at, &error.kind().to_string(), now_ns());
                false
            }
        };
        self.buffer = buffer;
        is_more
    }

    fn bytes(&mut self, at: usize, mut bytes: Bytes<'_>) {
        let now = now_ns();
        loop {
            match self.viewers[at].line.next(&mut bytes, &self.upgrade) {
                Ok(Some(frame)) => {
                    self.frame(at, frame.kind, frame.payload, now);
                    if self.viewers[at].line.stage() == Stage::Away {
                        return;
                    }
                }
                Ok(None) => return self.viewers[at].line.keep(&bytes),
                Err(error) => return self.end(at, &error.to_string(), now),
            }
        }
    }

    fn frame(&mut self, at: usize, kind: Kind, payload: &[u8], now: u64) {
        match kind {
            Kind::Ping => {
                // The next read of a broken socket returns the error.
                let _ = self.viewers[at].line.send(self.masker.frame(Kind::Pong, payload));
            }
            Kind::Pong => {}
            Kind::Close => self.end(at, &ws::close_code(payload).to_string(), now),
            Kind::Text | Kind::Binary => self.message(at, payload, now),
        }
    }

    fn message(&mut self, at: usize, payload: &[u8], now: u64) {
        let viewer = &mut self.viewers[at];
        if viewer.habit == Habit::Reads && viewer.is_live {
            self.shown.pause_max_ms = self.shown.pause_max_ms.max(now.saturating_sub(viewer.heard_ns) / 1_000_000);
        }
        viewer.heard_ns = now;
        if let Some((prev, last, sent_ms)) = frame_head(payload) {
            self.shown.frames += 1;
            if viewer.habit == Habit::Reads {
                let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
                self.latency.saturating_record(wall_ms.saturating_sub(sent_ms));
            }
            self.shown.holes += u64::from(prev != viewer.last);
            viewer.last = last;
            return;
        }
        match serde_json::from_slice::<ServerMessage>(payload) {
            Ok(ServerMessage::Welcome(welcome)) => {
                self.shown.welcomes += 1;
                if !welcome.recovered {
                    self.shown.not_recovered += u64::from(viewer.epoch.is_some());
                    viewer.last = welcome.last;
                }
                viewer.epoch = Some(welcome.epoch.to_string());
                viewer.is_live = true;
                viewer.failures = 0;
                if matches!(viewer.habit, Habit::Churns | Habit::Wanders) {
                    viewer.epoch = None;
                    self.end(at, "left", now);
                }
            }
            Ok(ServerMessage::Gap(gap)) => {
                self.shown.gaps += 1;
                self.shown.holes += u64::from(gap.from != viewer.last);
                viewer.last = gap.to;
            }
            Ok(_) => {}
            Err(_) => *self.shown.ends.entry("unreadable message".into()).or_default() += 1,
        }
    }

    /// The connection ended; most viewers reconnect.
    fn end(&mut self, at: usize, why: &str, now: u64) {
        *self.shown.ends.entry(why.to_owned()).or_default() += 1;
        self.hang_up(at);
        let due_ns = match self.viewers[at].habit {
            Habit::Mute | Habit::Drips => u64::MAX,
            Habit::Churns | Habit::Wanders => now + (1e9 * self.viewers.len() as f64 / self.plan.connect_per_s) as u64,
            Habit::Reads | Habit::Stalls => now + self.backoff(at),
        };
        self.viewers[at].due_ns = due_ns;
    }

    fn hang_up(&mut self, at: usize) {
        let viewer = &mut self.viewers[at];
        viewer.line.hang_up(self.poll.registry());
        viewer.is_live = false;
    }

    fn backoff(&mut self, at: usize) -> u64 {
        let viewer = &mut self.viewers[at];
        let most = (BACKOFF_NS.0 << viewer.failures.min(10)).min(BACKOFF_NS.1);
        viewer.failures += 1;
        BACKOFF_NS.0 + self.dice.below(most)
    }

    fn cut(&mut self, habit: Habit, jitter: bool, now: u64) {
        for at in 0..self.viewers.len() {
            if self.viewers[at].habit == habit && self.viewers[at].line.stage() != Stage::Away {
                self.hang_up(at);
                self.viewers[at].due_ns = if jitter { now + self.backoff(at) } else { now };
            }
        }
    }

    fn stall(&mut self, on: bool) {
        self.is_stalling = on;
        if !on {
            for at in 0..self.viewers.len() {
                if self.viewers[at].habit == Habit::Stalls {
                    self.readable(at);
                }
            }
        }
    }

    /// Installs a filter that drops all packets: nothing is acknowledged or refused, as if the cable were cut.
    fn vanish(&mut self, habit: Habit) -> io::Result<()> {
        const RETURN_0: SockFilter = SockFilter::new(0x06, 0, 0, 0);
        for viewer in self.viewers.iter().filter(|viewer| viewer.habit == habit) {
            if let Some(socket) = viewer.line.socket() {
                socket.attach_filter(&[RETURN_0])?;
            }
        }
        Ok(())
    }
}

/// The positions and the time of a frame, without parsing the rest.
fn frame_head(payload: &[u8]) -> Option<(u64, u64, u64)> {
    fn number<'a>(rest: &'a [u8], name: &[u8]) -> Option<(u64, &'a [u8])> {
        let rest = rest.strip_prefix(name)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        Some((value, &rest[digits..]))
    }
    let (prev, rest) = number(payload, b"{\"frame\":{\"prev\":")?;
    let (last, rest) = number(rest, b",\"last\":")?;
    let (at, _) = number(rest, b",\"at\":")?;
    Some((prev, last, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use volley::protocol::frame::Frame;

    #[test]
    fn the_head_of_a_real_frame_is_read() {
        let frame = Frame { prev: 812, last: 845, at: 1_732_146_000_123, ..Frame::default() };
        let bytes = serde_json::to_vec(&ServerMessage::Frame(frame)).unwrap();
        assert_eq!(frame_head(&bytes), Some((812, 845, 1_732_146_000_123)));
        assert_eq!(frame_head(b"{\"gap\":{\"from\":1,\"to\":2}}"), None);
        assert_eq!(frame_head(b"{\"frame\":{\"prev\":1,\"last\":"), None);
    }
}
