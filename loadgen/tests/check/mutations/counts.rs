//! Counts, limits and times: S13 to S18, L1, L2.

use super::Case;
use crate::check;
use crate::history::{
    History, acked_item, fault_times, in_ledger, is_comment, is_whole_span, items, items_mut, number, same_room, t,
    text,
};
use crate::show::{MS, fields, fields_mut, kind};
use loadgen::check::Rule::*;
use serde_json::{Value, json};

pub(super) const CASES: &[Case] = &[
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
            is_whole.then_some(()) // It shed comments too, whose count would be lost: that is a different mutation.
        },
    },
    Case {
        name: "a gift is left out without a word",
        must: &[S13, S14],
        may: &[],
        mutate: |h| {
            let gift = |line: &Value| items(line).iter().position(|item| item[5] == "gift");
            let at = h.pick(|h, at| h.is_live_frame(at) && gift(&h.lines[at]).is_some() && in_ledger(h, at))?;
            let item = gift(&h.lines[at])?;
            items_mut(&mut h.lines[at]).remove(item);
            Some(())
        },
    },
    Case {
        name: "a merged comment counts once less",
        must: &[S13],
        may: &[],
        mutate: |h| {
            let grown = |line: &Value| items(line).iter().position(|item| item[4].as_u64() > Some(1));
            let at = h.pick(|h, at| h.is_live_frame(at) && grown(&h.lines[at]).is_some() && in_ledger(h, at))?;
            let item = grown(&h.lines[at])?;
            let times = items(&h.lines[at])[item][4].as_u64()?;
            items_mut(&mut h.lines[at])[item][4] = json!(times - 1);
            Some(())
        },
    },
    Case {
        name: "a raise says more than was said",
        must: &[S13],
        may: &[],
        mutate: |h| {
            let at =
                h.pick(|h, at| h.is_live_frame(at) && fields(&h.lines[at]).contains_key("raises") && in_ledger(h, at))?;
            let raise = &mut fields_mut(&mut h.lines[at])["raises"][0][1];
            *raise = json!(raise.as_u64()? + 1);
            Some(())
        },
    },
    Case {
        name: "an answer folds a comment into a later one",
        must: &[S13],
        may: &[S7],
        mutate: |h| {
            let at = h.pick(|h, at| kind(&h.lines[at]) == "ok" && fields(&h.lines[at])["into"].is_u64())?;
            let offset = number(&h.lines[at], "offset");
            fields_mut(&mut h.lines[at])["into"] = json!(offset + 1);
            Some(())
        },
    },
    Case {
        name: "a retry is told another fate",
        must: &[S7],
        may: &[S17],
        mutate: |h| {
            let all = h.sure();
            let (send, ok) = all[h.dice.below(all.len())];
            let (mut again, mut answer) = (h.lines[send].clone(), h.lines[ok].clone());
            let t = t(&answer);
            (again["t"], answer["t"]) = (json!(t + 1), json!(t + 2));
            fields_mut(&mut again)["retry"] = json!(true);
            fields_mut(&mut answer)["outcome"] = json!("shed");
            h.lines.insert(ok + 1, again);
            h.lines.insert(ok + 2, answer);
            h.sort();
            Some(())
        },
    },
    Case {
        name: "a resume shows what was deleted",
        must: &[S15],
        may: &[],
        mutate: |h| {
            let (welcome, _) = h.resume()?;
            let (room, epoch) =
                (text(&h.lines[welcome], "room").to_owned(), text(&h.lines[welcome], "epoch").to_owned());
            let upto = number(&h.lines[welcome], "last");
            let client = text(&h.lines[welcome], "client").to_owned();
            // An event of this resume was deleted long before it.
            let rest =
                h.lines[welcome + 1..].iter().take_while(|l| kind(l) != "welcome" || text(l, "client") != client);
            let mut brought =
                rest.filter(|l| kind(l) == "frame" && text(l, "client") == client && number(l, "last") <= upto);
            let offset =
                brought.find_map(|l| items(l).iter().find(|item| is_comment(item)).map(|item| item[0].clone()))?;
            let t = t(&h.lines[welcome]) - MS;
            let deleted = json!({ "t": t, "deleted": { "room": room, "epoch": epoch, "offset": offset } });
            h.lines.insert(welcome, deleted);
            h.sort();
            Some(())
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
            let mut of_room = h.lines.iter().filter(|l| text(l, "room") == room).flat_map(items);
            let original = of_room.find(|item| item[0] == offset && !item[3].is_null())?.clone();
            let shown = shows(h, &h.lines[at])?;
            let deleted = items_mut(&mut h.lines[shown]).iter_mut().find(|item| item[0] == offset)?;
            for name in 1..4 {
                deleted[name] = original[name].clone();
            }
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
        may: &[L2, S15],
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
