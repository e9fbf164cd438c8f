//! A good history mutated in one place must be reported under the right number, and under no number that does not belong to it.

use crate::check;
use crate::show::{self, Dice, MS, fields, fields_mut, kind};
use loadgen::check::Rule::{self, *};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

const SEEDS: u64 = 12;

/// A history with some ways to look into it.
struct History {
    lines: Vec<Value>,
    dice: Dice,
}

fn number(line: &Value, field: &str) -> u64 {
    fields(line).get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    fields(line).get(field).and_then(Value::as_str).unwrap_or_default()
}

fn t(line: &Value) -> u64 {
    line["t"].as_u64().expect("a time")
}

fn items(line: &Value) -> &[Value] {
    fields(line).get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn items_mut(line: &mut Value) -> &mut Vec<Value> {
    fields_mut(line)["items"].as_array_mut().expect("items")
}

fn is_comment(item: &Value) -> bool {
    item.get(5).is_none() && !item[3].is_null()
}

impl History {
    /// The first line that fits from a random one on.
    fn pick(&mut self, fits: impl Fn(&Self, usize) -> bool) -> Option<usize> {
        let from = self.dice.below(self.lines.len());
        (from..self.lines.len()).chain(0..from).find(|at| fits(self, *at))
    }

    /// The client's next line after `at` that is about its stream.
    fn next_of(&self, at: usize) -> Option<usize> {
        let client = text(&self.lines[at], "client");
        let stream = ["frame", "gap", "close", "welcome"];
        (at + 1..self.lines.len())
            .find(|i| stream.contains(&kind(&self.lines[*i])) && text(&self.lines[*i], "client") == client)
    }

    /// A frame that moves its client on, after the resume if there was one, and before another frame.
    fn is_live_frame(&self, at: usize) -> bool {
        let line = &self.lines[at];
        let client = text(line, "client");
        let follows_frame = || {
            let welcome = self.lines[..at].iter().rfind(|l| kind(l) == "welcome" && text(l, "client") == client);
            welcome.is_some_and(|welcome| number(line, "prev") >= number(welcome, "last"))
        };
        kind(line) == "frame"
            && number(line, "last") > number(line, "prev")
            && self.next_of(at).is_some_and(|next| kind(&self.lines[next]) == "frame")
            && follows_frame()
    }

    /// The items of a frame that are comments.
    fn comments(&self, at: usize) -> Vec<usize> {
        let items = items(&self.lines[at]);
        (0..items.len()).filter(|i| is_comment(&items[*i])).collect()
    }

    /// How often an offset is in the items of this room's log.
    fn sightings(&self, room: &str, offset: &Value) -> usize {
        let of_room = self.lines.iter().filter(|line| text(line, "room") == room);
        of_room.flat_map(items).filter(|item| item[0] == *offset).count()
    }

    /// Everything that is about an item, wherever it is: lets `change` change it.
    fn everywhere(&mut self, room: &str, mut change: impl FnMut(&mut Value)) {
        for line in self.lines.iter_mut().filter(|line| text(line, "room") == room && !items(line).is_empty()) {
            items_mut(line).iter_mut().for_each(&mut change);
        }
    }

    /// Comments that were sent once and acknowledged: (send, ok), of histories whose epoch stays.
    fn sure(&self) -> Vec<(usize, usize)> {
        let mut sends: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
        let mut found = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let key = (text(line, "author"), text(line, "id"));
            match kind(line) {
                "send" => sends.entry(key).or_default().push(at),
                "ok" => found.push((key, at)),
                _ => {}
            }
        }
        let deleted: Vec<(&str, u64)> = (self.lines.iter().filter(|l| kind(l) == "deleted"))
            .map(|l| (text(l, "room"), number(l, "offset")))
            .collect();
        found.retain(|(key, ok)| {
            let room = text(&self.lines[sends[key][0]], "room");
            sends[key].len() == 1 && !deleted.contains(&(room, number(&self.lines[*ok], "offset")))
        });
        found.into_iter().map(|(key, ok)| (sends[&key][0], ok)).collect()
    }

    fn keeps_epoch(&self) -> bool {
        !self.lines.iter().any(|line| text(line, "kind") == "truncation")
    }

    /// Two comments change places, for everybody.
    fn change_places(&mut self, one: (usize, usize), two: (usize, usize)) {
        let room = text(&self.lines[one.0], "room").to_owned();
        let offsets = [one, two].map(|(_, ok)| json!(number(&self.lines[ok], "offset")));
        let names = [one, two].map(|(send, _)| {
            let f = fields(&self.lines[send]);
            [f["author"].clone(), f["id"].clone(), f["hash"].clone()]
        });
        self.everywhere(&room, |item| {
            if let Some(which) = offsets.iter().position(|offset| item[0] == *offset) {
                for (at, name) in names[1 - which].iter().enumerate() {
                    item[at + 1] = name.clone();
                }
            }
        });
        fields_mut(&mut self.lines[one.1])["offset"] = offsets[1].clone();
        fields_mut(&mut self.lines[two.1])["offset"] = offsets[0].clone();
    }

    /// A resume that brings something back, and the first frame of it.
    fn resume(&mut self) -> Option<(usize, usize)> {
        let brings = |h: &Self, at: usize| {
            let line = &h.lines[at];
            let next = h.next_of(at).filter(|next| kind(&h.lines[*next]) == "frame")?;
            let first = &h.lines[next];
            (number(first, "prev") < number(line, "last") && number(first, "last") > number(first, "prev"))
                .then_some(next)
        };
        let welcome = self.pick(|h, at| {
            kind(&h.lines[at]) == "welcome" && fields(&h.lines[at])["recovered"] == true && brings(h, at).is_some()
        })?;
        brings(self, welcome).map(|frame| (welcome, frame))
    }

    fn sort(&mut self) {
        self.lines.sort_by_key(t);
    }
}

type Mutate = fn(&mut History) -> Option<()>;

/// A mutation, the rules that must report it, and those that may.
struct Case {
    name: &'static str,
    must: &'static [Rule],
    may: &'static [Rule],
    mutate: Mutate,
}

const CASES: &[Case] = &[
    Case {
        name: "a live item has another text",
        must: &[S1],
        may: &[S6],
        mutate: |h| {
            let at = h.pick(|h, at| {
                let comments = || h.comments(at);
                h.is_live_frame(at)
                    && comments()
                        .first()
                        .is_some_and(|c| h.sightings(text(&h.lines[at], "room"), &items(&h.lines[at])[*c][0]) > 1)
            })?;
            let comment = h.comments(at)[0];
            items_mut(&mut h.lines[at])[comment][3] = json!("another");
            Some(())
        },
    },
    Case {
        name: "a page leaves out a comment",
        must: &[S1],
        may: &[],
        mutate: |h| {
            let inner = |h: &History, at: usize| {
                let last = items(&h.lines[at]).len().saturating_sub(1);
                h.comments(at).into_iter().find(|c| *c < last)
            };
            let audited = |h: &History, page: &Value| {
                h.lines.iter().any(|l| {
                    kind(l) == "audit"
                        && text(l, "epoch") == text(page, "epoch")
                        && number(page, "after") + 1 >= number(l, "first")
                })
            };
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "page"
                    && inner(h, at).is_some()
                    && audited(h, &h.lines[at])
                    && !h.lines.iter().any(|l| kind(l) == "deleted" && text(l, "room") == text(&h.lines[at], "room"))
            })?;
            let comment = inner(h, at)?;
            items_mut(&mut h.lines[at]).remove(comment);
            Some(())
        },
    },
    Case {
        name: "a frame is dropped",
        must: &[S2],
        may: &[],
        mutate: |h| {
            let at = h.pick(History::is_live_frame)?;
            h.lines.remove(at);
            Some(())
        },
    },
    Case {
        name: "two frames change places",
        must: &[S2],
        may: &[S3, S4, S6, S16],
        mutate: |h| {
            let moves = |h: &History, at: usize| number(&h.lines[at], "last") > number(&h.lines[at], "prev");
            let at = h.pick(|h, at| h.is_live_frame(at) && h.next_of(at).is_some_and(|next| moves(h, next)))?;
            let next = h.next_of(at)?;
            let (one, two) = (h.lines[at]["frame"].clone(), h.lines[next]["frame"].clone());
            (h.lines[at]["frame"], h.lines[next]["frame"]) = (two, one);
            Some(())
        },
    },
    Case {
        name: "a gap ends elsewhere",
        must: &[S2],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "gap" && h.next_of(at).is_some_and(|next| kind(&h.lines[next]) == "frame")
            })?;
            let by = if h.dice.one_in(2) { 1 } else { -1 };
            let to = number(&h.lines[at], "to").saturating_add_signed(by);
            fields_mut(&mut h.lines[at])["to"] = json!(to);
            Some(())
        },
    },
    Case {
        name: "a gap begins elsewhere",
        must: &[S2],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "gap")?;
            let from = number(&h.lines[at], "from") + 1;
            fields_mut(&mut h.lines[at])["from"] = json!(from);
            Some(())
        },
    },
    Case {
        name: "the welcome of a new session is dropped",
        must: &[S2],
        may: &[S4, S11, S12, S13, L1, L2],
        mutate: |h| {
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "welcome"
                    && h.next_of(at).is_some_and(|next| kind(&h.lines[next]) == "frame")
                    && h.keeps_epoch()
            })?;
            h.lines.remove(at);
            Some(())
        },
    },
    Case {
        name: "an item is copied",
        must: &[S3],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| h.is_live_frame(at) && !h.comments(at).is_empty())?;
            let comments = h.comments(at);
            let item = comments[h.dice.below(comments.len())];
            let copy = items(&h.lines[at])[item].clone();
            items_mut(&mut h.lines[at]).insert(item, copy);
            Some(())
        },
    },
    Case {
        name: "a frame is copied",
        must: &[S2, S3],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| h.is_live_frame(at) && !items(&h.lines[at]).is_empty())?;
            let copy = h.lines[at].clone();
            h.lines.insert(at, copy);
            Some(())
        },
    },
    Case {
        name: "two items change places",
        must: &[S4],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| h.is_live_frame(at) && items(&h.lines[at]).len() > 1)?;
            let first = h.dice.below(items(&h.lines[at]).len() - 1);
            items_mut(&mut h.lines[at]).swap(first, first + 1);
            Some(())
        },
    },
    Case {
        name: "two events of a node's log change places",
        must: &[S4],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "audit" && items(&h.lines[at]).len() > 1)?;
            let first = h.dice.below(items(&h.lines[at]).len() - 1);
            items_mut(&mut h.lines[at]).swap(first, first + 1);
            Some(())
        },
    },
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
        may: &[],
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
            // Only what the same epoch shows can contradict it.
            let is_seen = h.keeps_epoch()
                && h.lines.iter().flat_map(items).any(|item| item[1] == author && item[2] == id && item[0] == offset);
            fields_mut(&mut h.lines[ok])["offset"] = json!(offset + 1);
            is_seen.then_some(())
        },
    },
    Case {
        name: "a later comment stands before an acknowledged one",
        must: &[S8],
        may: &[S6, S9, L2, S7, S1, S15],
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
    Case {
        name: "a digest is another one",
        must: &[S11],
        may: &[],
        mutate: |h| {
            let shared = |h: &History, at: usize| {
                let line = &h.lines[at];
                h.lines
                    .iter()
                    .filter(|l| {
                        kind(l) == "frame"
                            && text(l, "room") == text(line, "room")
                            && number(l, "last") == number(line, "last")
                            && text(l, "digest") == text(line, "digest")
                    })
                    .count()
                    > 1
            };
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "frame" && number(&h.lines[at], "last") > 0 && at % 7 == 0 && shared(h, at)
            })?;
            fields_mut(&mut h.lines[at])["digest"] = json!("other");
            Some(())
        },
    },
    Case {
        name: "the first frame after a resume is dropped",
        must: &[S12],
        may: &[L2],
        mutate: |h| {
            let (_, frame) = h.resume()?;
            let next = h.next_of(frame).filter(|next| kind(&h.lines[*next]) == "frame")?;
            if number(&h.lines[next], "last") == number(&h.lines[frame], "last") {
                return None;
            }
            h.lines.remove(frame);
            Some(())
        },
    },
    Case {
        name: "a resume that is not whole says that it is",
        must: &[S12],
        may: &[S2, S11, S13, L2],
        mutate: |h| {
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "welcome"
                    && fields(&h.lines[at]).get("reason").is_some()
                    && h.next_of(at).is_some_and(|next| kind(&h.lines[next]) == "frame")
            })?;
            let client = text(&h.lines[at], "client").to_owned();
            let before = h.lines[..at]
                .iter()
                .rfind(|l| ["frame", "gap", "welcome"].contains(&kind(l)) && text(l, "client") == client)?;
            let position = number(before, if kind(before) == "gap" { "to" } else { "last" });
            let lies = position < number(&h.lines[at], "last") || !h.keeps_epoch();
            fields_mut(&mut h.lines[at])["recovered"] = json!(true);
            lies.then_some(())
        },
    },
    Case {
        name: "a resume has a gap",
        must: &[S12],
        may: &[],
        mutate: |h| {
            let (_, frame) = h.resume()?;
            let line = &h.lines[frame];
            let gap = json!({ "client": line["frame"]["client"], "session": line["frame"]["session"],
            "room": line["frame"]["room"], "from": number(line, "prev"), "to": number(line, "last") });
            h.lines[frame] = json!({ "t": t(line), "gap": gap });
            Some(())
        },
    },
    Case {
        name: "a shed comment is not counted",
        must: &[S13],
        may: &[],
        mutate: |h| {
            let at =
                h.pick(|h, at| h.is_live_frame(at) && fields(&h.lines[at]).contains_key("shed") && in_ledger(h, at))?;
            let shed = fields_mut(&mut h.lines[at])["shed"].as_object_mut().unwrap();
            let class = shed.keys().next().unwrap().clone();
            let n = shed[&class].as_u64().unwrap();
            shed[&class] = json!(n - 1);
            Some(())
        },
    },
    Case {
        name: "an item is dropped from a frame",
        must: &[S13],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| h.is_live_frame(at) && !h.comments(at).is_empty() && in_ledger(h, at))?;
            let comments = h.comments(at);
            let item = comments[h.dice.below(comments.len())];
            items_mut(&mut h.lines[at]).remove(item);
            Some(())
        },
    },
    Case {
        name: "a merged comment counts once more",
        must: &[S13],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| h.is_live_frame(at) && !h.comments(at).is_empty() && in_ledger(h, at))?;
            let comment = h.comments(at)[0];
            let times = items(&h.lines[at])[comment][4].as_u64().unwrap();
            items_mut(&mut h.lines[at])[comment][4] = json!(times + 1);
            Some(())
        },
    },
    Case {
        name: "a raise is dropped",
        must: &[S13],
        may: &[],
        mutate: |h| {
            let at =
                h.pick(|h, at| h.is_live_frame(at) && fields(&h.lines[at]).contains_key("raises") && in_ledger(h, at))?;
            fields_mut(&mut h.lines[at])["raises"].as_array_mut().unwrap().pop();
            Some(())
        },
    },
    Case {
        name: "a gift is shed",
        must: &[S14],
        may: &[],
        mutate: |h| {
            let gift = |line: &Value| items(line).iter().position(|item| item[5] == "gift");
            let at = h.pick(|h, at| h.is_live_frame(at) && gift(&h.lines[at]).is_some() && in_ledger(h, at))?;
            let item = gift(&h.lines[at])?;
            items_mut(&mut h.lines[at]).remove(item);
            fields_mut(&mut h.lines[at])["shed"] = json!({ "gift": 1 });
            let is_whole = check(&h.lines).of(S13).violations == 0;
            is_whole.then_some(()) // It shed comments too: then their count is gone, which is another mutation.
        },
    },
    Case {
        name: "a page shows what was deleted",
        must: &[S15],
        may: &[],
        mutate: |h| {
            let shows = |h: &History, deleted: &Value| {
                h.lines.iter().position(|l| {
                    ["page", "welcome"].contains(&kind(l))
                        && t(l) > t(deleted)
                        && text(l, "room") == text(deleted, "room")
                        && text(l, "epoch") == text(deleted, "epoch")
                        && items(l).iter().any(|item| item[0] == number(deleted, "offset"))
                })
            };
            let at = h.pick(|h, at| kind(&h.lines[at]) == "deleted" && shows(h, &h.lines[at]).is_some())?;
            let (offset, room) = (number(&h.lines[at], "offset"), text(&h.lines[at], "room"));
            let original = h
                .lines
                .iter()
                .filter(|l| text(l, "room") == room)
                .flat_map(items)
                .find(|item| item[0] == offset && !item[3].is_null())?[3]
                .clone();
            let shown = shows(h, &h.lines[at])?;
            items_mut(&mut h.lines[shown])
                .iter_mut()
                .filter(|item| item[0] == offset)
                .for_each(|item| item[3] = original.clone());
            Some(())
        },
    },
    Case {
        name: "a total falls",
        must: &[S16],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| h.is_live_frame(at) && number(&h.lines[at], "likes") > 20)?;
            fields_mut(&mut h.lines[at])["likes"] = json!(1);
            Some(())
        },
    },
    Case {
        name: "likes are lost",
        must: &[S16],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "like_ok" && h.keeps_epoch())?;
            fields_mut(&mut h.lines[at])["n"] = json!(100_000);
            Some(())
        },
    },
    Case {
        name: "likes come from nowhere",
        must: &[S16],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "frame"
                    && h.next_of(at)
                        .is_some_and(|n| kind(&h.lines[n]) == "close" && number(&h.lines[n], "code") == 1000)
                    && h.keeps_epoch()
            })?;
            fields_mut(&mut h.lines[at])["likes"] = json!(1_000_000);
            Some(())
        },
    },
    Case {
        name: "an author says everything at once",
        must: &[S17],
        may: &[S8, L2],
        mutate: |h| {
            let all = h.sure();
            let author = text(&h.lines[all[h.dice.below(all.len())].0], "author").to_owned();
            let own: Vec<_> =
                all.into_iter().filter(|(send, _)| text(&h.lines[*send], "author") == author).take(70).collect();
            let first = t(&h.lines[own[0].0]);
            for (send, ok) in &own {
                h.lines[*send]["t"] = json!(first);
                h.lines[*ok]["t"] = json!(first + 1);
            }
            (own.len() > 50 && h.keeps_epoch()).then_some(())
        },
    },
    Case {
        name: "a session goes on after its token",
        must: &[S18],
        may: &[],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "expired" && h.next_of(at).is_some())?;
            let before = t(&h.lines[at]) - 1_900 * MS;
            h.lines[at]["t"] = json!(before);
            h.sort();
            let session =
                text(&h.lines[h.lines.iter().position(|l| kind(l) == "expired" && t(l) == before)?], "session");
            let is_used = |l: &Value| ["frame", "gap"].contains(&kind(l)) && text(l, "session") == session;
            h.lines.iter().any(|l| is_used(l) && t(l) > before + 1_000 * MS).then_some(())
        },
    },
    Case {
        name: "a client does not come back",
        must: &[L1],
        may: &[S6, S16],
        mutate: |h| {
            let end = t(h.lines.iter().rfind(|l| kind(l) == "close")?);
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "close"
                    && number(&h.lines[at], "code") == 1006
                    && t(&h.lines[at]) + 12_000 * MS < end
            })?;
            let client = text(&h.lines[at], "client").to_owned();
            let mut rest = h.lines.split_off(at + 1);
            let stream = ["welcome", "frame", "gap", "close", "live", "expired"];
            rest.retain(|line| text(line, "client") != client || !stream.contains(&kind(line)));
            h.lines.extend(rest);
            let is_last_of_all = !h.lines.iter().any(|line| kind(line) == "close" && number(line, "code") == 1000);
            (!is_last_of_all && h.keeps_epoch()).then_some(())
        },
    },
    Case {
        name: "a client comes back late",
        must: &[L1],
        may: &[L2],
        mutate: |h| {
            let back = |h: &History, at: usize| h.next_of(at).filter(|next| kind(&h.lines[*next]) == "welcome");
            let at = h.pick(|h, at| {
                kind(&h.lines[at]) == "close" && number(&h.lines[at], "code") == 1006 && back(h, at).is_some()
            })?;
            let (from, client) = (back(h, at)?, text(&h.lines[at], "client").to_owned());
            for line in h.lines[from..].iter_mut().filter(|l| text(l, "client") == client && kind(l) != "send") {
                line["t"] = json!(t(line) + 20_000 * MS);
            }
            h.sort();
            h.keeps_epoch().then_some(())
        },
    },
    Case {
        name: "a frame comes late",
        must: &[L2],
        may: &[S15, S18],
        mutate: |h| {
            let faults = fault_times(h);
            let at = h.pick(|h, at| {
                h.is_live_frame(at)
                    && acked_item(h, at)
                    && faults.iter().all(|f| f.abs_diff(t(&h.lines[at])) > 3_000 * MS)
                    && is_whole_span(h, at)
            })?;
            let client = text(&h.lines[at], "client").to_owned();
            for line in h.lines[at..].iter_mut().filter(|line| text(line, "client") == client && kind(line) != "send") {
                line["t"] = json!(t(line) + 600 * MS);
            }
            h.sort();
            Some(())
        },
    },
    Case {
        name: "the rest of a stream never comes",
        must: &[L2],
        may: &[],
        mutate: |h| {
            let faults = fault_times(h);
            let at = h.pick(|h, at| {
                h.is_live_frame(at)
                    && is_whole_span(h, at)
                    && faults.iter().all(|f| t(&h.lines[at]) > f + 3_000 * MS)
                    && h.lines[at..]
                        .iter()
                        .filter(|l| text(l, "client") == text(&h.lines[at], "client"))
                        .all(|l| kind(l) != "welcome")
                    && h.lines[at..]
                        .iter()
                        .filter(|l| kind(l) == "ok" && t(l) > t(&h.lines[at]) && same_room(h, l, &h.lines[at]))
                        .count()
                        > 30
            })?;
            let (client, mut n) = (text(&h.lines[at], "client").to_owned(), 0);
            h.lines.retain(|line| {
                n += 1;
                n <= at || kind(line) != "frame" || text(line, "client") != client
            });
            Some(())
        },
    },
];

/// Acknowledged comments that the audits hold: room and offset.
fn audited(h: &History) -> Vec<(String, Value)> {
    let all = h.sure().into_iter().filter(|pair| is_audited(h, *pair));
    all.map(|(send, ok)| (text(&h.lines[send], "room").to_owned(), json!(number(&h.lines[ok], "offset")))).collect()
}

fn is_audited(h: &History, (send, ok): (usize, usize)) -> bool {
    let (room, epoch, offset) =
        (text(&h.lines[send], "room"), text(&h.lines[ok], "epoch"), number(&h.lines[ok], "offset"));
    h.lines.iter().any(|line| {
        kind(line) == "audit"
            && text(line, "room") == room
            && text(line, "epoch") == epoch
            && items(line).iter().any(|item| item[0] == offset)
    })
}

/// Appends a changed copy of something to both nodes' logs of its room.
fn append(h: &mut History, fits: impl Fn(&Value) -> bool, change: impl Fn(Value) -> Value) -> Option<()> {
    let audits: Vec<usize> = (0..h.lines.len()).filter(|at| kind(&h.lines[*at]) == "audit").collect();
    let room = text(&h.lines[audits[h.dice.below(audits.len())]], "room").to_owned();
    let ends: Vec<usize> = audits
        .into_iter()
        .filter(|at| text(&h.lines[*at], "room") == room && fields(&h.lines[*at]).contains_key("last"))
        .collect();
    let of_room = h.lines.iter().filter(|line| kind(line) == "audit" && text(line, "room") == room);
    let all: Vec<Value> = of_room.flat_map(items).filter(|item| fits(item)).cloned().collect();
    let mut item = change(all.get(h.dice.below(all.len()))?.clone());
    for at in ends {
        let last = number(&h.lines[at], "last") + 5;
        item[0] = json!(last);
        items_mut(&mut h.lines[at]).push(item.clone());
        fields_mut(&mut h.lines[at])["last"] = json!(last);
    }
    Some(())
}

/// The ledger can judge this frame: its log is audited, with nothing deleted that would excuse a difference.
fn in_ledger(h: &History, at: usize) -> bool {
    let line = &h.lines[at];
    let welcome = h.lines[..at].iter().rfind(|l| kind(l) == "welcome" && text(l, "session") == text(line, "session"));
    let Some(welcome) = welcome else { return false };
    let room = text(line, "room");
    let has_epoch =
        |l: &Value| kind(l) == "audit" && text(l, "room") == room && text(l, "epoch") == text(welcome, "epoch");
    let is_first = |l: &Value| has_epoch(l) && number(l, "first") == 0;
    h.lines.iter().any(is_first) && !h.lines.iter().any(|l| kind(l) == "deleted" && text(l, "room") == room)
}

/// The session of this frame has no gap and does not end for being slow.
fn is_whole_span(h: &History, at: usize) -> bool {
    let session = text(&h.lines[at], "session");
    !h.lines.iter().any(|l| {
        text(l, "session") == session && (kind(l) == "gap" || (kind(l) == "close" && number(l, "code") == 4001))
    })
}

fn acked_item(h: &History, at: usize) -> bool {
    let acked = |item: &Value| {
        h.lines[at.saturating_sub(60)..at].iter().any(|l| {
            kind(l) == "ok"
                && item[1] == text(l, "author")
                && item[2] == text(l, "id")
                && item[0] == number(l, "offset")
        })
    };
    items(&h.lines[at]).iter().any(acked)
}

fn same_room(h: &History, answer: &Value, frame: &Value) -> bool {
    let sent = |l: &&Value| kind(l) == "send" && text(l, "author") == text(answer, "author");
    h.lines.iter().find(sent).is_some_and(|send| text(send, "room") == text(frame, "room"))
}

fn fault_times(h: &History) -> Vec<u64> {
    h.lines.iter().filter(|l| kind(l) == "fault").map(t).collect()
}

#[test]
fn every_mutation_is_reported_under_its_number_and_no_other() {
    let mut wrong = Vec::new();
    let mut good: HashMap<u64, Vec<Value>> = HashMap::new();
    for case in CASES {
        let mut applied = 0;
        for seed in 0..SEEDS {
            let lines = good.entry(seed).or_insert_with(|| show::good(seed)).clone();
            let mut history = History { lines, dice: Dice::new(seed ^ 0xabcd) };
            if (case.mutate)(&mut history).is_none() {
                continue;
            }
            applied += 1;
            let verdict = check(&history.lines);
            let found = verdict.violated();
            let missed: Vec<_> = case.must.iter().filter(|rule| !found.contains(rule)).collect();
            let strange: Vec<_> = found.iter().filter(|r| !case.must.contains(r) && !case.may.contains(r)).collect();
            if !missed.is_empty() || !strange.is_empty() {
                let table = verdict.table();
                wrong.push(format!("{:?}, seed {seed}: missed {missed:?}, also {strange:?}\n{table}", case.name));
            }
        }
        if applied < 3 {
            wrong.push(format!("{:?} could be made in {applied} of {SEEDS} histories only", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_that_a_history_can_show_has_a_mutation() {
    let covered: Vec<Rule> = CASES.iter().flat_map(|case| case.must).copied().collect();
    let left: Vec<_> = Rule::ALL.iter().filter(|rule| !covered.contains(rule)).collect();
    assert_eq!(left, [&L3]);
}
