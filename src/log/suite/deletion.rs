//! Deletion in a log: it removes the texts of deleted comments, and nothing else.

use super::rig::{
    Collector, EVERYTHING, Factory, all, comment, delete, filled, numbered, retain, retained, room, said,
};
use crate::log::{Limit, Retention, deleted};
use crate::protocol::event::{Comment, Event, Style};
use crate::protocol::ids::Offset;
use crate::protocol::kind::Left;
use crate::protocol::kind::{Delete, Kind, Post};
use std::sync::Arc;

/// A comment with every field that a deletion removes.
fn secret(text: &str) -> Comment {
    let ext = serde_json::json!({"note": text}).as_object().cloned().map(Arc::new);
    let id = crate::protocol::ids::ClientId::new("c-1");
    let style = Style { color: 1, ..Style::default() };
    Comment { id, media_ms: Some(7), ext, style, first: true, ..comment("u", text) }
}

pub(crate) fn a_deleted_comment_is_read_without_its_text(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let append = |events: Vec<Event>| {
        log.append(&room, 1, events, 1).unwrap();
        sink.next(&*log, &room).1
    };
    let first = append(vec![said("a"), Event::Comment(secret("the first")), said("b")]);
    let target = first[1].offset;
    let between = append(numbered(0..3));
    // Deletes a comment of the same batch, one of an earlier batch, and the latter once more.
    let own = target + 5;
    let batch = append(vec![Event::Comment(secret("the second")), delete(own), delete(target), delete(target)]);
    assert_eq!(batch[0].offset, own);
    assert_eq!(batch[0].event, Event::Comment(secret("the second")), "it is delivered with its text");
    let after = append(numbered(3..4));
    let mut expected = [first, between, batch, after].map(|records| records.to_vec()).concat();
    for record in &mut expected {
        if [target, own].contains(&record.offset) {
            record.event = Event::Comment(deleted(&secret(""), Left::default()));
        }
    }
    assert_eq!(all(&*log, &room, 0), expected, "other records and all digests are unchanged");
    let Event::Comment(gone) = &expected[1].event else { unreachable!() };
    assert!(gone.deleted && gone.text.is_empty() && gone.ext.is_none() && gone.media_ms.is_none());
    assert!(gone.id.is_some() && gone.first && gone.user == secret("").user);
    assert_eq!(log.read(&room, target - 1, Limit::events(1)).unwrap(), expected[1..2]);
    // The deleted texts no longer count: retention by bytes ends at exactly zero.
    retain(&*log, &room, &sink, &Retention { bytes: 0, ..EVERYTHING }, 1);
    assert_eq!(retained(&*log, &room), 0);
    append(vec![said("c")]);
    assert_eq!(retained(&*log, &room), 1);
}

pub(crate) fn a_deletion_removes_all_comments_that_it_names(make: &dyn Factory) {
    let (log, room, sink) = (make(4), room("r"), Collector::new(usize::MAX));
    log.open(&room, sink.clone()).unwrap();
    let append = |events: Vec<Event>| {
        log.append(&room, 1, events, 1).unwrap();
        sink.next(&*log, &room).1
    };
    let said = append((0..5).map(|n| Event::Comment(secret(&format!("text {n}")))).collect());
    let [first, other, joins, asks, last] = std::array::from_fn(|n| said[n].offset);
    let left = |into, bonus| Left { into, bonus };
    let delete = |offset, also: &[Offset], left: &[(Offset, Left)]| {
        let delete = Delete { offset, also: also.to_vec(), left: left.to_vec() };
        Event::Post(Box::new(Post { key: None, kind: Kind::Delete(delete) }))
    };
    append(vec![delete(first, &[joins, asks], &[(first, left(None, 2)), (asks, left(Some(first), 0))])]);
    let gone = |left| Event::Comment(deleted(&secret(""), left));
    let expected = [gone(left(None, 2)), said[1].event.clone(), gone(left(Some(first), 2)), gone(left(Some(first), 0))];
    let read = || all(&*log, &room, first - 1);
    assert!(read().iter().zip(&expected).all(|(record, event)| record.event == *event), "{:?}", read());
    // A deleted comment does not change any more, and other comments are still there.
    append(vec![delete(joins, &[other], &[])]);
    let records = read();
    assert_eq!(records[2].event, expected[2]);
    assert_eq!(records[1].event, gone(left(Some(joins), 0)));
    assert_eq!((records[4].offset, &records[4].event), (last, &said[4].event));
}

pub(crate) fn a_deletion_of_other_events_changes_nothing(make: &dyn Factory) {
    let (log, room, sink, records) = filled(make, 6);
    retain(&*log, &room, &sink, &Retention { events: 3, ..EVERYTHING }, 6);
    let last = records[5].offset;
    let targets = [0, records[1].offset, records[4].offset, last + 2, last + 3, 1 << 50];
    log.append(&room, 1, targets.map(delete).to_vec(), 7).unwrap();
    let added = sink.next(&*log, &room).1;
    let expected: Vec<_> = records[3..].iter().chain(added.iter()).cloned().collect();
    assert_eq!(all(&*log, &room, records[2].offset), expected);
}
