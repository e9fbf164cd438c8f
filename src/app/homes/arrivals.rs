//! What comes to the rooms of a shard: newcomers, what clients say, and what the show's owner posts.
//! What comes before its room is open waits in line.

use super::{BUSY_RETRY_MS, Homes, gone, reply};
use crate::app::library::Job;
use crate::app::mail::{Mail, Newcomer};
use crate::app::openings::Wait;
use crate::app::posts::Letter;
use crate::limits::OPENING_PLAY;
use crate::policy::said::Said;
use crate::protocol::local::{ConnRef, RoomKey};
use crate::room::posting::PostError;
use crate::room::registry::RoomHandle;
use crate::shard::tenant::{Command, Cx};
use std::sync::Arc;

impl Homes {
    /// Lets a newcomer in, opening the room if this is its first one.
    pub(in crate::app) fn join(&mut self, cx: &mut Cx<'_, Mail>, who: Box<Newcomer>) {
        let room = who.room.clone();
        self.enter(cx, &room, Wait::Join(who));
    }

    /// Takes events of the show's owner to their room, opening it if need be.
    pub(in crate::app) fn post(&mut self, cx: &mut Cx<'_, Mail>, letter: Box<Letter>) {
        let room = letter.from.room().clone();
        self.enter(cx, &room, Wait::Post(letter));
    }

    /// What may come first to a room.
    fn enter(&mut self, cx: &mut Cx<'_, Mail>, room: &Arc<RoomHandle>, wait: Wait) {
        let key = room.key;
        if !self.openings.holds(key) {
            if self.homes.contains_key(&key) {
                return self.play_one(cx, key, wait);
            }
            let job = Job::Open { room: room.clone(), waker: self.waker.clone() };
            if self.library.submit(job).is_err() {
                self.metrics.rooms_refused.increment(1);
                return turn_away(cx, wait);
            }
            self.openings.begin(key);
        }
        self.wait(cx, key, wait);
    }

    /// Takes what a client said to its room.
    pub(in crate::app) fn say(&mut self, cx: &mut Cx<'_, Mail>, from: ConnRef, room: RoomKey, said: Said) {
        if self.openings.holds(room) {
            return self.wait(cx, room, Wait::Said { from, said });
        }
        let (id, now_us) = (said.id().cloned(), cx.now_us);
        if self.draining || !self.with(cx, room, |actor, out| actor.take(from, said, now_us, out)) {
            reply(cx, from, gone(id));
        }
    }

    fn take_in(&mut self, cx: &mut Cx<'_, Mail>, room: RoomKey, letter: Letter) {
        if self.draining {
            return turn_away(cx, Wait::Post(Box::new(letter)));
        }
        let Letter { from, request } = letter;
        let (ticket, now_us) = (self.askers.admit(from), cx.now_us);
        self.with(cx, room, |actor, out| actor.post(ticket, request, now_us, out));
    }

    fn let_in(&mut self, cx: &mut Cx<'_, Mail>, who: Newcomer) {
        let Newcomer { to, resume, history, .. } = who;
        let (key, user, now_us) = (who.room.key, who.user.id.clone(), cx.now_us);
        self.call(cx, key, |actor, out| actor.join(to, &user, resume, history, now_us, out), &mut Some(who));
    }

    fn wait(&mut self, cx: &mut Cx<'_, Mail>, room: RoomKey, wait: Wait) {
        // Who waits to join is told to come back with everybody else.
        if self.draining && !matches!(wait, Wait::Join(_)) {
            return turn_away(cx, wait);
        }
        if let Err(wait) = self.openings.add(room, wait) {
            self.library.metrics().refused.increment(1);
            turn_away(cx, wait);
        }
    }

    /// Plays some of what came for rooms before they were open.
    pub(in crate::app) fn play(&mut self, cx: &mut Cx<'_, Mail>) {
        for _ in 0..OPENING_PLAY {
            let Some((key, wait)) = self.openings.next() else { return };
            self.play_one(cx, key, wait);
        }
    }

    /// Brings something to a room that is open.
    fn play_one(&mut self, cx: &mut Cx<'_, Mail>, key: RoomKey, wait: Wait) {
        let now_us = cx.now_us;
        match wait {
            Wait::Join(who) => self.let_in(cx, *who),
            Wait::Post(letter) => self.take_in(cx, key, *letter),
            Wait::Said { from, said } => {
                self.with(cx, key, |actor, out| actor.take(from, said, now_us, out));
            }
        }
    }
}

/// Whoever waited for a room is not let in, or has to say it again.
pub(super) fn turn_away(cx: &mut Cx<'_, Mail>, wait: Wait) {
    match wait {
        Wait::Join(who) => refuse(cx, who.to),
        Wait::Said { from, said } => reply(cx, from, gone(said.id().cloned())),
        Wait::Post(letter) => letter.from.answer(Err(PostError::Overloaded { retry_ms: BUSY_RETRY_MS })),
    }
}

fn refuse(cx: &mut Cx<'_, Mail>, to: ConnRef) {
    cx.commands.push(Command::Mail { shard: to.shard, mail: Mail::Refused { to } });
}
