//! A room of the correct server: its log, and the frames made from it.

use crate::show::Dice;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone)]
pub struct Stored {
    pub offset: u64,
    pub author: Option<String>,
    pub id: Option<String>,
    pub hash: Option<String>,
    pub kind: &'static str,
    pub lane: &'static str,
}

impl Stored {
    pub fn item(&self, times: u64) -> Value {
        // A deleted comment has no text, and sometimes only its offset is left.
        let is_blank = self.kind == "comment" && self.hash.is_none() && self.offset.is_multiple_of(2);
        let name = |name: &Option<String>| if is_blank { json!(null) } else { json!(name) };
        let mut item = vec![json!(self.offset), name(&self.author), name(&self.id), json!(self.hash), json!(times)];
        if self.kind != "comment" || self.lane != "normal" {
            item.push(json!(self.kind));
        }
        if self.lane != "normal" {
            item.push(json!(self.lane));
        }
        json!(item)
    }
}

/// A comment that a client wants to be stored.
#[derive(Clone)]
pub struct Wish {
    pub client: usize,
    pub author: String,
    pub id: Option<String>,
    pub hash: String,
    pub attempt: u64,
    /// Its connection is cut before the answer.
    pub is_cut: bool,
}

pub struct Room {
    pub name: String,
    pub epoch: String,
    pub log: Vec<Stored>,
    pub digests: BTreeMap<u64, u64>,
    pub likes: u64,
    pub inbox: Vec<Wish>,
    pub deleted: Vec<u64>,
}

impl Room {
    pub fn last(&self) -> u64 {
        self.log.last().map_or(0, |stored| stored.offset)
    }

    pub fn append(&mut self, dice: &mut Dice, mut stored: Stored) -> u64 {
        stored.offset = self.last() + 1 + dice.below(2) as u64;
        let text = format!("{:?}{:?}{:?}{}", stored.author, stored.id, stored.hash, stored.offset);
        let before = self.digests.values().next_back().copied().unwrap_or(7);
        let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.digests.insert(stored.offset, text.bytes().fold(before, mix));
        let offset = stored.offset;
        self.log.push(stored);
        offset
    }

    /// Frames for the log after `prev` up to `last`, with shown, raised and shed comments, as the selection makes them.
    pub fn frame(&self, prev: u64, last: u64, shown_max: usize, merges: &mut BTreeMap<String, u64>) -> Value {
        let mut items: Vec<(Stored, u64)> = Vec::new();
        let mut raises: BTreeMap<u64, u64> = BTreeMap::new();
        let mut shed: BTreeMap<&str, u64> = BTreeMap::new();
        let at = |offset: u64| self.log.partition_point(|stored| stored.offset <= offset);
        for stored in &self.log[at(prev)..at(last)] {
            if stored.kind == "likes" {
                continue;
            }
            if stored.kind == "comment"
                && stored.lane == "normal"
                && let Some(text) = &stored.hash
            {
                let here = items.iter_mut().find(|(s, _)| s.hash.as_ref() == Some(text) && s.kind == "comment");
                if let Some((_, times)) = here {
                    *times += 1;
                    continue;
                }
                if let Some(offset) = merges.get(text) {
                    *raises.entry(*offset).or_default() += 1;
                    continue;
                }
                if items.len() >= shown_max {
                    *shed.entry(if stored.offset % 3 == 0 { "low" } else { "normal" }).or_default() += 1;
                    continue;
                }
                merges.insert(text.clone(), stored.offset);
            }
            items.push((stored.clone(), 1));
        }
        let items: Vec<Value> = items.iter().map(|(stored, times)| stored.item(*times)).collect();
        let mut frame = json!({ "prev": prev, "last": last, "items": items, "likes": self.likes });
        if let Some((_, digest)) = self.digests.range(..=last).next_back() {
            frame["digest"] = json!(format!("{digest:016x}"));
        }
        if !raises.is_empty() {
            frame["raises"] = json!(raises.into_iter().collect::<Vec<_>>());
        }
        if !shed.is_empty() {
            frame["shed"] = json!(shed);
        }
        frame
    }
}
