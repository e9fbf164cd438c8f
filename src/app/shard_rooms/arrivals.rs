//! Everything that comes to the rooms of a shard: joins, operations of clients, and posts of the show's owner. Whatever
//! comes before its room is open waits in a line.

use super::ShardRooms;
use super::refusals::{gone, reply, turn_away};
use crate::app::log_pool::Job;
use crate::app::mail::{JoinRequest, Joined, Mail};
use crate::app::opening_rooms::Wait;
use crate::app::post_mail::PostMail;
use crate::limits::OPENING_PLAY;
use crate::policy::said::Said;
use crate::protocol::local::{ConnRef, RoomKey};
use crate::room::actor::JoinAnswer;
use crate::room::registry::RoomHandle;
use crate::shard::tenant::{Cx, ShardCommand};
use std::sync::Arc;

impl ShardRooms {
    /// Joins a connection to its room, and opens the room if it is not open.
    pub(crate) fn join(&mut self, cx: &mut Cx<'_, Mail>, who: Box<JoinRequest>) {
        let room = who.room.clone();
        self.enter(cx, &room, Wait::Join(who));
    }

    /// Takes events of the show's owner to their room, and opens the room if it is not open.
    pub(crate) fn post(&mut self, cx: &mut Cx<'_, Mail>, post: Box<PostMail>) {
        let room = post.from.room().clone();
        self.enter(cx, &room, Wait::Post(post));
    }

    /// Joins and posts may open a room; operations of clients come after their join.
    fn enter(&mut self, cx: &mut Cx<'_, Mail>, room: &Arc<RoomHandle>, wait: Wait) {
        let key = room.key;
        if !self.openings.holds(key) {
            if self.homes.contains_key(&key) {
                return self.play_one(cx, key, wait);
            }
            let job = Job::Open { room: room.clone(), waker: self.waker.clone() };
            if self.log_pool.submit(job).is_err() {
                self.counters.rooms.rooms_refused.increment(1);
                return turn_away(cx, wait);
            }
            self.openings.begin(key);
        }
        self.wait(cx, key, wait);
    }

    /// Takes a client's operation to its room.
    pub(crate) fn say(&mut self, cx: &mut Cx<'_, Mail>, from: ConnRef, room: RoomKey, said: Said) {
        if self.openings.holds(room) {
            return self.wait(cx, room, Wait::Said { from, said });
        }
        let (id, now_us) = (said.id().cloned(), cx.now_us);
        if self.draining || self.with(cx, room, |actor, out| actor.take(from, said, now_us, out)).is_none() {
            reply(cx, from, gone(id));
        }
    }

    fn take_in(&mut self, cx: &mut Cx<'_, Mail>, room: RoomKey, post: PostMail) {
        if self.draining {
            return turn_away(cx, Wait::Post(Box::new(post)));
        }
        let PostMail { from, request } = post;
        let (ticket, now_us) = (self.posts.admit(from), cx.now_us);
        self.with(cx, room, |actor, out| actor.post(ticket, request, now_us, out));
    }

    fn let_in(&mut self, cx: &mut Cx<'_, Mail>, who: JoinRequest) {
        let JoinRequest { to, resume, history, .. } = who;
        let now_us = cx.now_us;
        let answer = self.with(cx, who.room.key, |actor, _| actor.join(&who.user.id, resume, history, now_us));
        let Some(JoinAnswer { last, likes, after, reason, tail }) = answer else { return };
        let joined = Joined { last, likes, after, reason: reason.or(who.refused), tail, who };
        cx.commands.push(ShardCommand::Mail { shard: to.shard, mail: Mail::Joined(Box::new(joined)) });
    }

    fn wait(&mut self, cx: &mut Cx<'_, Mail>, room: RoomKey, wait: Wait) {
        // A connection that waits to join is closed with all others, with a hint when to come back.
        if self.draining && !matches!(wait, Wait::Join(_)) {
            return turn_away(cx, wait);
        }
        if let Err(wait) = self.openings.add(room, wait) {
            self.log_pool.metrics().refused.increment(1);
            turn_away(cx, wait);
        }
    }

    /// Plays a part of what waited for rooms that are open now.
    pub(crate) fn play(&mut self, cx: &mut Cx<'_, Mail>) {
        for _ in 0..OPENING_PLAY {
            let Some((key, wait)) = self.openings.next() else { return };
            self.play_one(cx, key, wait);
        }
    }

    /// Takes one item to a room that is open.
    fn play_one(&mut self, cx: &mut Cx<'_, Mail>, key: RoomKey, wait: Wait) {
        let now_us = cx.now_us;
        match wait {
            Wait::Join(who) => self.let_in(cx, *who),
            Wait::Post(post) => self.take_in(cx, key, *post),
            Wait::Said { from, said } => {
                self.with(cx, key, |actor, out| actor.take(from, said, now_us, out));
            }
        }
    }
}
