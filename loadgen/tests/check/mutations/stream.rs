//! The frames of a client: S1 to S4, S11, S12.

use super::Case;
use crate::history::{History, items, items_mut, number, t, text};
use crate::show::{fields, fields_mut, kind};
use loadgen::check::Rule::*;
use serde_json::{Value, json};

pub(super) const CASES: &[Case] = &[
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
                        .is_some_and(|c| h.twins(text(&h.lines[at], "room"), &items(&h.lines[at])[*c]) > 2)
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
        name: "the first frame after a resume that had nothing to bring is dropped",
        must: &[S12],
        may: &[L2],
        mutate: |h| {
            let next = |h: &History, at: usize| h.next_of(at).filter(|next| kind(&h.lines[*next]) == "frame");
            let moves = |line: &Value| number(line, "last") > number(line, "prev");
            let brings_nothing = |h: &History, at: usize| {
                let frame = next(h, at).filter(|frame| {
                    number(&h.lines[*frame], "prev") == number(&h.lines[at], "last") && moves(&h.lines[*frame])
                })?;
                next(h, frame).map(|_| frame)
            };
            let at = h.pick(|h, at| {
                let line = &h.lines[at];
                kind(line) == "welcome" && fields(line)["recovered"] == true && brings_nothing(h, at).is_some()
            })?;
            let frame = brings_nothing(h, at)?;
            h.lines.remove(frame);
            Some(())
        },
    },
];
