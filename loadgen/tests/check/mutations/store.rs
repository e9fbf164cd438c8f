//! Stored comments and their order: S5 to S10.

use super::Case;
use crate::history::{append, audited, is_audited, is_comment, items, items_mut, number, t, text};
use crate::show::{MS, fields, fields_mut, kind};
use loadgen::check::Rule::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "the log loses an acknowledged comment",
        must: &[S5, S1],
        may: &[S13],
        mutate: |h| {
            let all = audited(h);
            let (room, offset) = all.get(h.dice.below(all.len()))?.clone();
            if h.sightings(&room, &offset) < 3 {
                return None; // Only the audits show it.
            }
            for line in h.lines.iter_mut().filter(|line| kind(line) == "audit" && text(line, "room") == room) {
                items_mut(line).retain(|item| item[0] != offset);
            }
            Some(())
        },
    },
    Case {
        name: "one node's log loses an acknowledged comment",
        must: &[S5, S1],
        may: &[],
        mutate: |h| {
            let all = audited(h);
            let (room, offset) = all.get(h.dice.below(all.len()))?.clone();
            let node = ["n1", "n2"][h.dice.below(2)];
            let of_node =
                |line: &Value| kind(line) == "audit" && text(line, "room") == room && text(line, "node") == node;
            for line in h.lines.iter_mut().filter(|line| of_node(line)) {
                items_mut(line).retain(|item| item[0] != offset);
            }
            Some(())
        },
    },
    Case {
        name: "a node's log holds another text",
        must: &[S1, S5],
        may: &[S6],
        mutate: |h| {
            let all = audited(h);
            let (room, offset) = all.get(h.dice.below(all.len()))?.clone();
            for line in h.lines.iter_mut().filter(|line| kind(line) == "audit" && text(line, "room") == room) {
                items_mut(line).iter_mut().filter(|item| item[0] == offset).for_each(|item| item[3] = json!("another"));
            }
            (h.sightings(&room, &offset) > 2).then_some(())
        },
    },
    Case {
        name: "the log's tail is lost",
        must: &[S5],
        may: &[S1, S11, S13, S14],
        mutate: |h| {
            let all = audited(h);
            let room = all.get(h.dice.below(all.len()))?.0.clone();
            let offsets = all.iter().filter(|(of, _)| *of == room).map(|(_, offset)| offset.as_u64().unwrap());
            let newest = offsets.max()?;
            for line in h.lines.iter_mut().filter(|line| kind(line) == "audit" && text(line, "room") == room) {
                items_mut(line).retain(|item| item[0].as_u64().unwrap() < newest);
                if fields(line).contains_key("last") {
                    fields_mut(line)["last"] = json!(newest - 1);
                    fields_mut(line).as_object_mut().unwrap().remove("digest");
                }
            }
            Some(())
        },
    },
    Case {
        name: "a send is dropped",
        must: &[S6],
        may: &[],
        mutate: |h| {
            let all = h.sure();
            let (send, _) = all[h.dice.below(all.len())];
            h.lines.remove(send);
            Some(())
        },
    },
    Case {
        name: "a send comes after its comment",
        must: &[S6],
        may: &[S8, S9, S17, S18, L2],
        mutate: |h| {
            let all = h.sure();
            let (send, ok) = all[h.dice.below(all.len())];
            let room = text(&h.lines[send], "room").to_owned();
            let offset = json!(number(&h.lines[ok], "offset"));
            let is_in = |line: &Value| text(line, "room") == room && items(line).iter().any(|item| item[0] == offset);
            let first = h.lines.iter().filter(|line| is_in(line)).map(t).min()?;
            h.lines[send]["t"] = json!(first + 1);
            Some(())
        },
    },
    Case {
        name: "a refused comment is stored",
        must: &[S6],
        may: &[],
        mutate: |h| {
            let all = h.sure();
            let (_, ok) = all[h.dice.below(all.len())];
            let mut line = h.lines[ok].clone();
            let mut fields = line["ok"].take();
            fields["code"] = json!("rate_limited");
            h.lines[ok] = json!({ "t": t(&line), "fail": fields });
            let (author, id) = (text(&h.lines[ok], "author"), text(&h.lines[ok], "id"));
            h.lines.iter().flat_map(items).any(|item| item[1] == author && item[2] == id).then_some(())
        },
    },
    Case {
        name: "a comment without an id is stored twice",
        must: &[S6],
        may: &[],
        mutate: |h| append(h, |item| is_comment(item) && item[2].is_null() && item[3] != "same", |item| item),
    },
    Case {
        name: "a retry is stored twice",
        must: &[S7],
        may: &[S9],
        mutate: |h| append(h, |item| is_comment(item) && item[2].is_string(), |item| item),
    },
    Case {
        name: "a comment of nobody is stored",
        must: &[S6],
        may: &[],
        mutate: |h| {
            append(h, is_comment, |mut item| {
                item[2] = json!("nobody's");
                item
            })
        },
    },
    Case {
        name: "an acknowledgement names another place",
        must: &[S7],
        may: &[S5],
        mutate: |h| {
            let all = h.sure();
            let (_, ok) = all[h.dice.below(all.len())];
            let (author, id) = (text(&h.lines[ok], "author"), text(&h.lines[ok], "id"));
            let offset = number(&h.lines[ok], "offset");
            // Only observations of the same epoch can contradict it.
            let is_seen = h.keeps_epoch()
                && h.lines.iter().flat_map(items).any(|item| item[1] == author && item[2] == id && item[0] == offset);
            fields_mut(&mut h.lines[ok])["offset"] = json!(offset + 1);
            is_seen.then_some(())
        },
    },
    Case {
        name: "a later comment stands before an acknowledged one",
        must: &[S8],
        may: &[S6, S9, L2, S7, S1, S15, S13],
        mutate: |h| {
            let all: Vec<_> = h.sure();
            let one = all[h.dice.below(all.len())];
            let (room, ok) = (text(&h.lines[one.0], "room"), t(&h.lines[one.1]));
            let is_later = |two: &&(usize, usize)| {
                let sent = t(&h.lines[two.0]);
                text(&h.lines[two.0], "room") == room && sent > ok && sent < ok + 2_000 * MS
            };
            let two = *all.iter().find(is_later)?;
            if !h.keeps_epoch() || !is_audited(h, one) || !is_audited(h, two) {
                return None;
            }
            h.change_places(one, two);
            Some(())
        },
    },
    Case {
        name: "an author's two comments change places",
        must: &[S9],
        may: &[],
        mutate: |h| {
            let all = h.sure();
            let tick = |at: usize| t(&h.lines[at]) / (100 * MS);
            let mut by_tick: BTreeMap<(&str, u64), Vec<(usize, usize)>> = BTreeMap::new();
            for pair in &all {
                by_tick.entry((text(&h.lines[pair.0], "author"), tick(pair.0))).or_default().push(*pair);
            }
            let same: Vec<_> = by_tick
                .into_values()
                .filter(|pairs| pairs.len() == 2 && tick(pairs[0].1) == tick(pairs[1].1))
                .collect();
            if same.is_empty() || !h.keeps_epoch() {
                return None;
            }
            let pair = same[h.dice.below(same.len())].clone();
            if !is_audited(h, pair[0]) || !is_audited(h, pair[1]) {
                return None;
            }
            h.change_places(pair[0], pair[1]);
            Some(())
        },
    },
    Case {
        name: "a welcome names another epoch",
        must: &[S10],
        may: &[S12, S1, S2, S3, S4, S6, S7, S11, S13, L2],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "welcome")?;
            fields_mut(&mut h.lines[at])["epoch"] = json!("other");
            Some(())
        },
    },
    Case {
        name: "an acknowledgement names another epoch",
        must: &[S10],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "ok")?;
            fields_mut(&mut h.lines[at])["epoch"] = json!("other");
            Some(())
        },
    },
    Case {
        name: "the epoch changes with a kill",
        must: &[S10],
        may: &[S5],
        mutate: |h| {
            let mut found = false;
            for line in h.lines.iter_mut().filter(|line| text(line, "kind") == "truncation") {
                fields_mut(line)["kind"] = json!("sigkill");
                found = true;
            }
            found.then_some(())
        },
    },
];
