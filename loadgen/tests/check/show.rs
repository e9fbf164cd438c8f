//! A correct server with clients, in a few hundred lines and from one seed: it writes good histories.
//!
//! Two rooms; clients that comment with and without ids, like, cut their connections, retry, resume with and without a
//! hole, fall behind; frames that shed, merge and raise; gifts on the guaranteed lane; deletions; pages; tokens that
//! end; two nodes' audits; and in one seed of three a log that loses its end to a fault.

use crate::room::{Room, Stored, Wish};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub const MS: u64 = 1_000_000;
const TICKS: u64 = 300;

/// xorshift64*: the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).for_each(|_| {
            dice.next();
        });
        dice
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

struct Client {
    name: String,
    author: String,
    room: usize,
    session: Option<String>,
    sessions: u64,
    position: Option<(String, u64)>,
    /// Not before this tick: a reconnect.
    back_at: u64,
    /// Frames are withheld until this tick, then a gap is told.
    slow_until: u64,
    is_light: bool,
    merges: BTreeMap<String, u64>,
    unsure: Vec<Wish>,
    comments: u64,
    expires: Option<u64>,
}

/// A show in the making.
struct Show {
    dice: Dice,
    rooms: Vec<Room>,
    clients: Vec<Client>,
    lines: Vec<(u64, Value)>,
}

impl Show {
    fn write(&mut self, t: u64, kind: &str, fields: Value) {
        self.lines.push((t, json!({ "t": t, kind: fields })));
    }

    fn of_client(&self, at: usize, mut fields: Value) -> Value {
        let client = &self.clients[at];
        fields["client"] = json!(client.name);
        if let Some(session) = &client.session {
            fields["session"] = json!(session);
        }
        fields["room"] = json!(self.rooms[client.room].name);
        fields
    }

    fn send(&mut self, t: u64, mut wish: Wish) {
        wish.attempt += 1;
        let mut fields = json!({ "author": wish.author, "id": wish.id, "hash": wish.hash });
        if wish.attempt > 1 {
            fields["retry"] = json!(true);
        }
        if wish.id.is_some() && wish.attempt % 2 == 1 {
            fields["attempt"] = json!(wish.attempt);
        }
        let fields = self.of_client(wish.client, fields);
        self.write(t, "send", fields);
        let room = self.clients[wish.client].room;
        self.rooms[room].inbox.push(wish);
    }

    fn answered(wish: &Wish, mut fields: Value) -> Value {
        fields["author"] = json!(wish.author);
        fields["id"] = json!(wish.id);
        if wish.attempt % 2 == 1 {
            fields["attempt"] = json!(wish.attempt);
        }
        fields
    }

    fn welcome(&mut self, tick: u64, at: usize) {
        let t = tick * 100 * MS + 10 * MS + at as u64 * 1000;
        let client = &mut self.clients[at];
        client.sessions += 1;
        client.session = Some(format!("{}-{}", client.name, client.sessions));
        client.merges.clear();
        client.is_light = false;
        client.slow_until = 0;
        let room = &self.rooms[client.room];
        let last = room.last();
        let resumed = client.position.clone().filter(|(epoch, after)| {
            *epoch == room.epoch && *after <= last && (last - after < 60 || !self.dice.one_in(2))
        });
        let mut fields =
            json!({ "epoch": room.epoch, "last": last, "recovered": resumed.is_some(), "likes": room.likes });
        if resumed.is_none() {
            let shown = room.log.iter().rev().filter(|s| s.kind == "comment").take(4).collect::<Vec<_>>();
            let shown = shown.into_iter().rev().map(|s| s.item(1)).collect::<Vec<_>>();
            if client.position.is_some() {
                fields["reason"] = json!("too_old");
            }
            fields["items"] = json!(shown);
        }
        let mut pages = Vec::new();
        if let Some((_, after)) = resumed {
            // One page, or several that continue one another.
            let size = 1 + self.dice.below(40) as u64;
            let mut from = after;
            while from < last {
                let to = (from + size).min(last);
                pages.push(room.frame(from, to, 6, &mut client.merges));
                from = to;
            }
        }
        client.position = Some((room.epoch.clone(), last));
        if self.dice.one_in(6) {
            client.expires = Some(tick + 20 + self.dice.below(60) as u64);
        }
        let fields = self.of_client(at, fields);
        self.write(t, "welcome", fields);
        for (n, page) in pages.into_iter().enumerate() {
            let page = self.of_client(at, page);
            self.write(t + (n as u64 + 1) * 1000, "frame", page);
        }
        let live = self.of_client(at, json!({}));
        self.write(t + 900_000, "live", live);
        // Unanswered comments are sent again.
        for wish in std::mem::take(&mut self.clients[at].unsure) {
            self.send(t + MS, wish);
        }
    }

    fn cut(&mut self, tick: u64, at: usize, code: u64, comes_back_in: u64) {
        let t = tick * 100 * MS + 90 * MS + at as u64 * 1000;
        // A client that was behind counts as slow.
        let code = if self.clients[at].slow_until > 0 { 4001 } else { code };
        let close = self.of_client(at, json!({ "code": code }));
        self.write(t, "close", close);
        let client = &mut self.clients[at];
        client.session = None;
        client.expires = None;
        client.back_at = tick + comes_back_in;
        for room in &mut self.rooms {
            room.inbox.iter_mut().filter(|wish| wish.client == at).for_each(|wish| wish.is_cut = true);
        }
    }

    /// Clients send comments.
    fn talk(&mut self, tick: u64, at: usize) {
        let t = tick * 100 * MS + 20 * MS + at as u64 * 1000;
        let comments = if self.dice.one_in(2) { self.dice.below(3) as u64 } else { 0 };
        for n in 0..comments {
            let client = &mut self.clients[at];
            client.comments += 1;
            let id = (!self.dice.one_in(8)).then(|| format!("{}-c{}", client.name, client.comments));
            let hash = if self.dice.one_in(4) { "same".into() } else { format!("h{}", self.dice.below(100_000)) };
            let author = client.author.clone();
            self.send(t + n * 200, Wish { client: at, author, id, hash, attempt: 0, is_cut: false });
        }
        if self.dice.one_in(5) {
            let n = 1 + self.dice.below(9) as u64;
            let room = &mut self.rooms[self.clients[at].room];
            let fields = json!({ "room": room.name, "n": n });
            match self.dice.below(4) {
                0 if self.dice.one_in(2) => self.write(t, "like_unknown", fields),
                0 => {
                    room.likes += n;
                    self.write(t, "like_unknown", fields);
                }
                _ => {
                    room.likes += n;
                    self.write(t, "like_ok", fields);
                }
            }
        }
    }

    /// A room's tick: append, answer, frame.
    fn tick(&mut self, tick: u64, at: usize, is_down: bool) {
        let t = tick * 100 * MS + 50 * MS;
        let mut answers = Vec::new();
        for wish in std::mem::take(&mut self.rooms[at].inbox) {
            let room = &mut self.rooms[at];
            let known = wish.id.as_ref().filter(|_| wish.attempt > 1).and_then(|_| {
                room.log.iter().find(|s| s.id == wish.id && s.author.as_ref() == Some(&wish.author)).map(|s| s.offset)
            });
            let is_refused = self.dice.one_in(15) && known.is_none();
            let is_lost = (wish.is_cut || is_down) && self.dice.one_in(2);
            let mut offset = known;
            if !is_refused && !is_lost && known.is_none() {
                let stored = Stored {
                    offset: 0,
                    author: Some(wish.author.clone()),
                    id: wish.id.clone(),
                    hash: Some(wish.hash.clone()),
                    kind: "comment",
                    lane: "normal",
                };
                offset = Some(room.append(&mut self.dice, stored));
            }
            if wish.id.is_none() {
                continue;
            }
            let answer = if wish.is_cut || is_down {
                ("unknown", json!({}))
            } else if is_refused {
                ("fail", json!({ "code": "rate_limited" }))
            } else {
                (
                    "ok",
                    json!({ "epoch": room.epoch, "offset": offset, "outcome": fate(offset), "into": folded_into(offset) }),
                )
            };
            if answer.0 != "ok" && !self.dice.one_in(4) {
                self.clients[wish.client].unsure.push(wish.clone());
            }
            answers.push((answer.0, Self::answered(&wish, answer.1)));
        }
        let room = &mut self.rooms[at];
        if self.dice.one_in(6) {
            let (kind, lane) = if self.dice.one_in(2) { ("gift", "guaranteed") } else { ("likes", "normal") };
            let stored = Stored { offset: 0, author: None, id: None, hash: None, kind, lane };
            room.append(&mut self.dice, stored);
        }
        for (n, (kind, answer)) in answers.into_iter().enumerate() {
            self.write(t + MS + n as u64, kind, answer);
        }
        for client in 0..self.clients.len() {
            if self.clients[client].room == at && self.clients[client].session.is_some() {
                self.deliver(tick, client);
            }
        }
    }

    fn deliver(&mut self, tick: u64, at: usize) {
        let t = tick * 100 * MS + 53 * MS + at as u64 * 1000;
        if self.clients[at].slow_until > tick {
            return;
        }
        let client = &mut self.clients[at];
        let room = &self.rooms[client.room];
        let (_, position) = client.position.clone().expect("welcomed");
        let last = room.last();
        if client.slow_until > 0 {
            client.slow_until = 0;
            client.merges.clear();
            if last > position {
                client.position = Some((room.epoch.clone(), last));
                let gap = self.of_client(at, json!({ "from": position, "to": last, "reason": "slow" }));
                self.write(t, "gap", gap);
            }
            return;
        }
        if last == position && !self.dice.one_in(10) {
            return;
        }
        // A lighter one shows no comment that was not shown before, and counts them all.
        let frame = room.frame(position, last, if client.is_light { 0 } else { 2 }, &mut client.merges);
        client.position = Some((room.epoch.clone(), last));
        let frame = self.of_client(at, frame);
        self.write(t, "frame", frame);
        if self.dice.one_in(25) {
            let client = &mut self.clients[at];
            client.is_light = !client.is_light;
            let now = if client.is_light { "lite" } else { "viewer" };
            let change = self.of_client(at, json!({ "now": now, "reason": "slow" }));
            self.write(t + 500, "rendition", change);
        }
        if self.dice.one_in(60) {
            self.clients[at].slow_until = tick + 2 + self.dice.below(10) as u64;
        }
    }

    /// From time to time, deletes a comment and reads pages.
    fn chores(&mut self, tick: u64) {
        let t = tick * 100 * MS + 70 * MS;
        let at = self.dice.below(self.rooms.len());
        let room = &mut self.rooms[at];
        // Only in one room, so that the other room's ledger is judged strictly.
        if at == 0 && self.dice.one_in(20) {
            let comments: Vec<usize> = (0..room.log.len()).filter(|i| room.log[*i].kind == "comment").collect();
            if !comments.is_empty() {
                let stored = &mut room.log[comments[self.dice.below(comments.len())]];
                stored.hash = None;
                room.deleted.push(stored.offset);
                let fields = json!({ "room": room.name, "epoch": room.epoch, "offset": stored.offset });
                self.write(t, "deleted", fields);
            }
        } else if self.dice.one_in(20) {
            let after = self.dice.below(room.last() as usize + 1) as u64;
            let items: Vec<Value> = room.log.iter().filter(|s| s.offset > after).take(20).map(|s| s.item(1)).collect();
            let fields =
                json!({ "node": "n1", "room": room.name, "epoch": room.epoch, "after": after, "items": items });
            self.write(t, "page", fields);
        }
    }

    fn audits(&mut self) {
        let t = (TICKS + 40) * 100 * MS;
        for node in ["n1", "n2"] {
            for at in 0..self.rooms.len() {
                let room = &self.rooms[at];
                let cut = self.dice.below(room.log.len().max(1));
                // Events that retention removed may be absent, and one answer may come in parts.
                let first = if at == 0 { room.log.get(cut / 4).map_or(0, |stored| stored.offset) } else { 0 };
                let items: Vec<Value> = room.log.iter().filter(|s| s.offset >= first).map(|s| s.item(1)).collect();
                let (one, two) = items.split_at(cut.min(items.len()));
                let digest = room.digests.values().next_back().map(|digest| format!("{digest:016x}"));
                let common = json!({ "node": node, "room": room.name, "epoch": room.epoch, "first": first });
                let (mut head, mut tail) = (common.clone(), common);
                (head["more"], head["items"]) = (json!(true), json!(one));
                (tail["items"], tail["last"], tail["likes"]) = (json!(two), json!(room.last()), json!(room.likes));
                tail["digest"] = json!(digest);
                self.write(t, "audit", head);
                self.write(t, "audit", tail);
            }
        }
    }

    /// All connections break; with `truncation`, the rooms' newest events are lost too.
    fn fault(&mut self, tick: u64, is_truncation: bool) {
        let t = tick * 100 * MS + 80 * MS;
        let kind = if is_truncation { "truncation" } else { "sigkill" };
        self.write(t, "fault", json!({ "kind": kind, "target": "n1", "on": true }));
        for at in 0..self.clients.len() {
            if self.clients[at].session.is_some() {
                let wait = 8 + self.dice.below(30) as u64;
                self.cut(tick, at, 1006, wait);
            }
        }
        self.write(t + 500 * MS, "fault", json!({ "kind": kind, "target": "n1", "state": "off" }));
        for room in self.rooms.iter_mut().filter(|_| is_truncation) {
            room.log.truncate(room.log.len().saturating_sub(5));
            let kept = room.last();
            room.digests.split_off(&(kept + 1));
            room.epoch = format!("{}-again", room.epoch);
        }
    }
}

/// The outcome in an answer; the same in every answer.
fn fate(offset: Option<u64>) -> &'static str {
    if folded_into(offset).is_some() { "merged" } else { "shown" }
}

fn folded_into(offset: Option<u64>) -> Option<u64> {
    offset.filter(|offset| offset.is_multiple_of(3)).map(|offset| offset - 1)
}

/// A good history.
pub fn good(seed: u64) -> Vec<Value> {
    let mut dice = Dice::new(seed);
    let room = |n: usize| Room {
        name: format!("room-{n}"),
        epoch: format!("e{seed}-{n}"),
        log: Vec::new(),
        digests: BTreeMap::new(),
        likes: 0,
        inbox: Vec::new(),
        deleted: Vec::new(),
    };
    let client = |n: usize| Client {
        name: format!("v{n}"),
        author: format!("a{n}"),
        room: n % 2,
        session: None,
        sessions: 0,
        position: None,
        back_at: n as u64 % 5,
        slow_until: 0,
        is_light: false,
        merges: BTreeMap::new(),
        unsure: Vec::new(),
        comments: 0,
        expires: None,
    };
    let clients = 4 + dice.below(4);
    let mut show = Show {
        rooms: (0..2).map(room).collect(),
        clients: (0..clients).map(client).collect(),
        lines: Vec::new(),
        dice,
    };
    let (fault_at, is_truncation) = (60 + show.dice.below(60) as u64, seed % 3 == 2);
    for tick in 1..=TICKS {
        let is_down = tick > fault_at && tick <= fault_at + 5;
        for at in 0..show.clients.len() {
            if show.clients[at].session.is_some() {
                let expires = show.clients[at].expires;
                if expires == Some(tick) {
                    let who = show.of_client(at, json!({}));
                    show.write(tick * 100 * MS + 15 * MS, "expired", who);
                } else if expires.is_some_and(|expires| tick == expires + 5) {
                    show.cut(tick, at, 4010, 2);
                    continue;
                }
                if tick < TICKS - 5 {
                    show.talk(tick, at);
                }
                if show.dice.one_in(120) {
                    let wait = 1 + show.dice.below(40) as u64;
                    show.cut(tick, at, 1006, wait);
                }
            } else if !is_down && show.clients[at].back_at <= tick && tick < TICKS - 10 {
                show.welcome(tick, at);
            }
        }
        for at in 0..show.rooms.len() {
            show.tick(tick, at, is_down);
        }
        show.chores(tick);
        if tick == fault_at {
            show.fault(tick, is_truncation);
        }
    }
    for at in 0..show.clients.len() {
        if show.clients[at].session.is_some() {
            show.cut(TICKS + 2, at, 1000, 0);
        }
    }
    show.audits();
    let mut lines = show.lines;
    lines.sort_by_key(|(t, _)| *t);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// An event's name.
pub fn kind(line: &Value) -> &str {
    line.as_object().and_then(|line| line.keys().find(|key| *key != "t")).expect("an event")
}

/// An event's fields.
pub fn fields(line: &Value) -> &Map<String, Value> {
    line[kind(line)].as_object().expect("fields")
}

/// An event's fields, to change them.
pub fn fields_mut(line: &mut Value) -> &mut Value {
    let kind = kind(line).to_owned();
    &mut line[kind]
}

/// The file.
pub fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
