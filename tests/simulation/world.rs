//! One room, its log on a simulated disk, its people, and faults, from one seed.

use crate::disk::{Bug, Disk};
use crate::people::{Author, Viewer};
use crate::rng::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use volley::log::Retention;
use volley::policy::said::Said;
use volley::protocol::deflate::Deflate;
use volley::protocol::event::{Comment, Event};
use volley::protocol::frame::Frame;
use volley::protocol::ids::{ClientId, Epoch, RoomId};
use volley::protocol::local::{ConnRef, RoomKey};
use volley::protocol::message::{ErrorMessage, ResumeFailure, ServerMessage};
use volley::protocol::settings::RoomSettings;
use volley::protocol::user::User;
use volley::protocol::variant::{Encoding, Variant};
use volley::room::actor::{Actor, ActorSettings, Effect, JoinAnswer};
use volley::room::past::resume;
use volley::room::registry::RoomHandle;

const TICK_US: u64 = 100_000;
/// The wall clock when the monotonic one began.
const BEGAN_MS: u64 = 1_700_000_000_000;
const JSON: Variant = Variant::ALL[0];

/// See the module's page.
pub struct World {
    pub disk: Arc<Disk>,
    pub authors: Vec<Author>,
    pub viewers: Vec<Viewer>,
    /// Likes that a room accepted, whether or not they were stored.
    pub liked: u64,
    pub crashes: u64,
    /// Comments that frames showed individually.
    pub shown: u64,
    pub epoch: Option<Epoch>,
    rng: Rng,
    room: Option<(Actor, Arc<RoomHandle>)>,
    retention: usize,
    frame_events_max: usize,
    /// Half of the rooms merge, and half of those also choose.
    room_settings: RoomSettings,
    now_us: u64,
    wall_ms: u64,
    jumps: bool,
    /// Counts steps, to order events.
    events: u64,
    conns: u32,
    out: Vec<Effect>,
}

impl World {
    /// Whether the wall clock may jump.
    pub fn new(seed: u64, bug: Option<Bug>, jumps: bool) -> Self {
        let mut rng = Rng::new(seed);
        let author = |n| Author { name: format!("author-{n}"), ..Author::default() };
        Self {
            disk: Disk::new(rng.next(), bug),
            authors: (0..1 + rng.below(4)).map(author).collect(),
            viewers: (0..1 + rng.below(4)).map(|_| Viewer::default()).collect(),
            liked: 0,
            crashes: 0,
            shown: 0,
            epoch: None,
            room: None,
            retention: [8, 50, 100_000][rng.below(3) as usize],
            frame_events_max: [1, 3, 100][rng.below(3) as usize],
            room_settings: match rng.below(4) {
                0 => RoomSettings::new(Some(1 + rng.below(20) as u32), 100),
                1 => RoomSettings::new(None, 100),
                _ => RoomSettings::unlimited(100),
            },
            now_us: 1_000_000,
            wall_ms: BEGAN_MS + 1_000,
            jumps,
            events: 0,
            conns: 0,
            out: Vec::new(),
            rng,
        }
    }

    /// Executes one random step.
    pub fn step(&mut self) {
        self.events += 1;
        if self.room.is_none() {
            return self.start();
        }
        match self.rng.below(100) {
            0..22 => self.send(),
            22..30 => self.retry(),
            30..36 => self.like(),
            36..52 => self.pass(),
            52..66 => drop(self.disk.commit()),
            66..80 => self.disk.deliver(),
            80..83 => self.disk.fail(),
            83..85 => self.disk.refuse(self.events.is_multiple_of(2)),
            85..93 => self.viewer_acts(),
            93..95 => self.author_leaves(),
            95 => self.jump(),
            96 => self.crash(),
            97 => self.stop(),
            _ => self.run(),
        }
    }

    /// Stops all faults, and brings everything to its end.
    pub fn settle(&mut self) {
        self.disk.refuse(false);
        for _ in 0..2_000 {
            if self.room.is_none() {
                self.start();
            }
            (0..self.viewers.len()).for_each(|n| self.join(n));
            self.now_us += TICK_US;
            self.wall_ms += 100;
            self.run();
            while self.disk.commit() {}
            self.disk.deliver();
            self.run();
            for viewer in &mut self.viewers {
                while !viewer.waiting.is_empty() {
                    viewer.read();
                }
            }
            self.events += 1;
            let waiting: Vec<_> = (0..self.authors.len()).filter(|n| self.authors[*n].unanswered().is_some()).collect();
            let settled = self.room.as_ref().is_some_and(|(actor, _)| actor.is_settled());
            if waiting.is_empty() && settled {
                return;
            }
            for n in waiting {
                let id = self.authors[n].unanswered().expect("just seen");
                self.say(n, &id);
            }
        }
        panic!("liveness: after 2,000 quiet ticks somebody still waits for an answer");
    }

    fn conn(&mut self) -> ConnRef {
        self.conns += 1;
        ConnRef { shard: 0, index: self.conns, generation: 1 }
    }

    fn start(&mut self) {
        let handle = Arc::new(RoomHandle::new(RoomKey(1), RoomId::new("r").expect("a name"), 0, 1));
        let settings = ActorSettings {
            tick_us: TICK_US,
            room: self.room_settings.clone(),
            tick_groups: 1,
            batch_events_max: 20,
            frame_events_max: self.frame_events_max,
            snapshot_events: 5,
            counters_us: 1_000_000,
            heartbeat_us: 15_000_000,
            idle_us: 300_000_000,
            retention: Retention { age_ms: u64::MAX, events: self.retention, bytes: usize::MAX },
            comment_rate: None,
            like_rate: None,
            deflate: Arc::new(Deflate::new(1_000, || 0)),
        };
        let actor = Actor::open(handle.clone(), self.disk.clone(), settings, Arc::new(|_| {}), self.now_us);
        self.room = Some((actor.expect("opens"), handle));
    }

    fn call(&mut self, work: impl FnOnce(&mut Actor, &mut Vec<Effect>)) {
        let Some((actor, _)) = &mut self.room else { return };
        work(actor, &mut self.out);
        for effect in std::mem::take(&mut self.out) {
            match effect {
                Effect::Frame { frame } => {
                    if let ServerMessage::Frame(frame) = decode(frame.get(JSON)) {
                        self.shown += frame.events.iter().filter(|event| event.as_comment().is_some()).count() as u64;
                        let present = self.viewers.iter_mut().filter(|viewer| viewer.conn.is_some());
                        present.for_each(|viewer| viewer.push(frame.clone()));
                    }
                }
                Effect::Reply { to, message } => self.answer(to, message),
                Effect::Posted { .. } | Effect::Redacted => panic!("nobody posts here"),
            }
        }
    }

    /// Everything after `after` up to `last`, as a page of the past, with totals that the viewer knows.
    fn pages(&self, after: u64, last: u64, likes: u64) -> Result<Vec<Frame>, ResumeFailure> {
        let (actor, handle) = self.room.as_ref().expect("it let somebody in");
        let (mut position, mut pages) = (after, Vec::new());
        while position < last {
            let request = actor.page_request(position, JSON).expect("something to read");
            let page = resume::page(&*self.disk, &handle.id, &request, &Deflate::new(1_000, || 0))?;
            let ServerMessage::Frame(frame) = decode(&page.copy(likes, 0).concat()) else { panic!("no frame") };
            position = frame.last;
            pages.push(frame);
        }
        Ok(pages)
    }

    fn answer(&mut self, to: ConnRef, message: ServerMessage) {
        let Some(author) = self.authors.iter_mut().find(|author| author.conn == Some(to)) else { return };
        match message {
            ServerMessage::Ack(ack) => {
                let sent = author.sent.get_mut(ack.id.as_str()).expect("S6: an ack of nothing");
                sent.acks.push((self.events, ack.offset));
            }
            ServerMessage::Error(ErrorMessage { id: Some(id), .. }) => {
                author.sent.get_mut(id.as_str()).expect("an id of ours").refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self) {
        let n = self.rng.below(self.authors.len() as u64) as usize;
        let author = &mut self.authors[n];
        author.next += 1;
        let id = format!("c{}", author.next);
        // Half of them repeat what others say.
        let text = match ["还有吗", "还有吗？？", "666", "66666"].get(self.rng.below(8) as usize) {
            Some(text) => text.to_string(),
            None => format!("text {} of {}", author.next, author.name),
        };
        author.sent.entry(id.clone()).or_default().text = text;
        self.say(n, &id);
    }

    fn retry(&mut self) {
        let n = self.rng.below(self.authors.len() as u64) as usize;
        let pick = self.rng.next() as usize;
        // Mostly an unanswered comment; sometimes one that was acknowledged long ago.
        let author = &self.authors[n];
        let any = author.sent.keys().nth(pick % author.sent.len().max(1)).cloned();
        let id = if pick.is_multiple_of(3) { any } else { author.unanswered() };
        if let Some(id) = id {
            self.say(n, &id);
        }
    }

    fn say(&mut self, n: usize, id: &str) {
        if self.authors[n].conn.is_none() {
            self.authors[n].conn = Some(self.conn());
        }
        let author = &mut self.authors[n];
        let sent = author.sent.get_mut(id).expect("known");
        sent.sent_at.push(self.events);
        let comment = Comment { id: ClientId::new(id), ..Comment::new(user(&author.name), sent.text.as_str()) };
        let said = Said::Comment(Box::new(comment));
        let (from, now_us) = (author.conn.expect("connected"), self.now_us);
        self.call(|actor, out| actor.take(from, said, now_us, out));
    }

    fn like(&mut self) {
        let (count, now_us, from) = (1 + self.rng.below(9), self.now_us, self.conn());
        self.liked += count;
        self.call(|actor, out| actor.take(from, Said::Like(count), now_us, out));
    }

    fn pass(&mut self) {
        let us = self.rng.below(2 * TICK_US);
        self.now_us += us;
        self.wall_ms += us / 1_000;
        self.run();
    }

    fn run(&mut self) {
        let (now_us, wall_ms) = (self.now_us, self.wall_ms);
        self.call(|actor, out| actor.run(now_us, wall_ms, out));
    }

    /// The wall clock jumps by up to an hour, to its beginning or end, or back to the correct time.
    fn jump(&mut self) {
        let true_ms = BEGAN_MS + self.now_us / 1_000;
        let by_ms = self.rng.below(3_600_000);
        let wall_ms = match self.rng.below(8) {
            0 => 0,
            1 => 253_402_300_799_999,
            2 | 3 => true_ms + by_ms,
            4 | 5 => true_ms - by_ms,
            _ => true_ms,
        };
        if self.jumps {
            self.wall_ms = wall_ms;
        }
    }

    fn author_leaves(&mut self) {
        let n = self.rng.below(self.authors.len() as u64) as usize;
        self.authors[n].conn = None;
    }

    fn viewer_acts(&mut self) {
        let n = self.rng.below(self.viewers.len() as u64) as usize;
        match self.rng.below(8) {
            0 => self.leave(n),
            1 | 2 => self.join(n),
            _ => self.viewers[n].read(),
        }
    }

    fn join(&mut self, n: usize) {
        if self.viewers[n].conn.is_some() {
            return;
        }
        let to = self.conn();
        let viewer = &mut self.viewers[n];
        viewer.conn = Some(to);
        let resume = viewer.epoch.map(|epoch| (epoch, viewer.position));
        if let Some((_, handle)) = &self.room {
            handle.arrive(0, JSON);
        }
        let now_us = self.now_us;
        let Some((actor, _)) = &mut self.room else { return };
        let answer = actor.join("u", resume, None, now_us);
        self.joined(to, answer);
    }

    /// A viewer gets its welcome, after the pages of what it missed.
    fn joined(&mut self, to: ConnRef, answer: JoinAnswer) {
        let JoinAnswer { last, likes, after, reason, tail } = answer;
        let told = self.viewers.iter().find(|viewer| viewer.conn == Some(to)).map_or(0, |viewer| viewer.likes);
        let pages = after.map_or(Err(reason), |after| self.pages(after, last, told).map_err(Some));
        let (room, session, you) = (RoomId::new("r").expect("a name"), volley::protocol::ids::Hex64(1), user("v"));
        let welcome = match &pages {
            Ok(_) => tail.compose_recovered(Encoding::Json, &room, session, &you, likes),
            Err(why) => tail.compose(Encoding::Json, &room, session, &you, false, *why),
        };
        let Ok(ServerMessage::Welcome(welcome)) = serde_json::from_slice(&welcome) else { panic!("no welcome") };
        let epoch = *self.epoch.get_or_insert(welcome.epoch);
        assert_eq!(epoch, welcome.epoch, "S10: another epoch");
        let viewer = self.viewers.iter_mut().find(|viewer| viewer.conn == Some(to)).expect("asked");
        match pages {
            Ok(pages) => {
                for page in pages {
                    assert_eq!(page.prev, viewer.position, "S12: a page begins elsewhere");
                    viewer.take(&page);
                }
                assert_eq!(viewer.position, last, "S12: the pages end elsewhere");
            }
            Err(why) => {
                let known = viewer.epoch.is_some();
                assert!(!known || why == Some(ResumeFailure::TooOld), "S12: refused for {why:?}");
                viewer.position = last;
            }
        }
        viewer.epoch = Some(epoch);
    }

    fn leave(&mut self, n: usize) {
        let viewer = &mut self.viewers[n];
        viewer.waiting.clear();
        if viewer.conn.take().is_some()
            && let Some((_, handle)) = &self.room
        {
            handle.leave(0, JSON);
        }
        let now_us = self.now_us;
        self.call(|actor, _| actor.presence_changed(now_us));
    }

    /// Ends the process between two instructions of the room.
    fn crash(&mut self) {
        self.crashes += 1;
        self.end();
        self.disk.crash();
    }

    /// Stops the process in good order: everything admitted is stored, answered and broadcast.
    fn stop(&mut self) {
        for _ in 0..50 {
            let (now_us, wall_ms) = (self.now_us, self.wall_ms);
            self.call(|actor, out| actor.flush(now_us, wall_ms, out));
            while self.disk.commit() {}
            self.disk.deliver();
            if self.room.as_ref().is_some_and(|(actor, _)| actor.is_settled()) {
                break;
            }
        }
        if let Some((actor, _)) = self.room.take() {
            actor.close();
        }
        self.end();
    }

    fn end(&mut self) {
        self.room = None;
        self.authors.iter_mut().for_each(|author| author.conn = None);
        for viewer in &mut self.viewers {
            viewer.conn = None;
            viewer.waiting.clear();
        }
    }

    /// Whether the room chooses by time.
    pub fn has_budget(&self) -> bool {
        self.room_settings.budget.is_some()
    }

    /// The likes that the log has.
    pub fn stored_likes(&self) -> u64 {
        let likes = |event: &Event| if let Event::Likes { add } = event { *add } else { 0 };
        self.disk.all().iter().map(|record| likes(&record.event)).sum()
    }

    /// Comments of the log by (author, id): offset and text of each copy.
    pub fn stored(&self) -> BTreeMap<(String, String), Vec<(u64, String)>> {
        let mut stored: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in self.disk.all() {
            if let Event::Comment(comment) = &record.event {
                let id = comment.id.as_ref().expect("an id").as_str().to_owned();
                let entry = stored.entry((comment.user.id.to_string(), id)).or_default();
                entry.push((record.offset, comment.text.to_string()));
            }
        }
        stored
    }
}

fn user(name: &str) -> User {
    User { id: name.into(), name: name.into(), role: Default::default() }
}

/// Reads one whole unmasked WebSocket frame of JSON (RFC 6455, 5.2).
fn decode(bytes: &[u8]) -> ServerMessage {
    let header = match bytes[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    serde_json::from_slice(&bytes[header..]).expect("a message")
}
