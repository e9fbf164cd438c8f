//! Looks up in the log what a request deletes: only existing comments can be deleted.
//!
//! Does not know: the other effects of the request, or the room's memory.

use super::archive::Archive;
use super::posting::PostFailure;
use crate::log::{Limit, Log, ReadError, deletes};
use crate::protocol::event::Event;
use crate::protocol::ids::{Offset, RoomId};
use crate::room::request::{PostError, Targets};

/// Which deletions of `events` have nothing to delete; `None` when there are no deletions.
pub(super) async fn look(archive: &Archive, room: &RoomId, events: &[Event]) -> Result<Option<Targets>, PostFailure> {
    let numbered = events.iter().enumerate().filter_map(|(index, event)| Some((index, deletes(event).next()?.0)));
    let targets: Vec<(usize, Offset)> = numbered.collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let room = room.clone();
    let looked = archive.run(move |log| Ok(missing(log, &room, &targets)?));
    looked.await.map(Some).map_err(|_| PostFailure::Room(PostError::Unavailable))
}

fn missing(log: &dyn Log, room: &RoomId, targets: &[(usize, Offset)]) -> Result<Targets, ReadError> {
    // A room that closes and opens again in between has another epoch, which the room itself will notice.
    let Some(head) = log.head(room)? else { return Ok(Targets::default()) };
    let mut missing = Vec::new();
    for &(index, offset) in targets {
        let is_there = match log.read(room, offset.saturating_sub(1), Limit::events(1)) {
            Ok(records) => records.first().is_some_and(|record| {
                record.offset == offset && matches!(&record.event, Event::Comment(comment) if !comment.deleted)
            }),
            Err(ReadError::TooOld { .. } | ReadError::Ahead { .. } | ReadError::Unknown) => false,
            Err(ReadError::Unavailable) => return Err(ReadError::Unavailable),
        };
        if !is_there {
            missing.push(index);
        }
    }
    Ok(Targets { epoch: Some(head.epoch), missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::memory::MemoryLog;
    use crate::log::suite::comment;
    use crate::log::{Delivery, Sink};
    use crate::protocol::kind::{Delete, Kind, Post};
    use std::sync::Arc;

    struct Deaf;

    impl Sink for Deaf {
        fn deliver(&self, _: Delivery) -> Result<(), Delivery> {
            Ok(())
        }
    }

    fn delete(offset: Offset) -> Event {
        Event::Post(Box::new(Post { key: None, kind: Kind::Delete(Delete::new(offset)) }))
    }

    #[tokio::test]
    async fn only_a_comment_that_still_says_something_is_there() {
        let log = Arc::new(MemoryLog::new(4, 1));
        let archive = Archive::new(log.clone());
        let asked: Vec<Event> = [1, 2, 3, 4, 5, 1].map(delete).into();
        let none = look(&archive, &RoomId::new("r").unwrap(), &asked).await;
        assert_eq!(none, Ok(Some(Targets::default())), "there is no such room");
        let epoch = log.open(&RoomId::new("r").unwrap(), Arc::new(Deaf)).unwrap().head.epoch;
        let said = |text| Event::Comment(comment("u", text));
        log.append(&RoomId::new("r").unwrap(), 1, vec![said("a"), Event::Likes { add: 1 }, said("b"), delete(3)], 1)
            .unwrap();
        let looked = look(&archive, &RoomId::new("r").unwrap(), &asked).await;
        assert_eq!(looked, Ok(Some(Targets { epoch: Some(epoch), missing: vec![1, 2, 3, 4] })));
        assert_eq!(look(&archive, &RoomId::new("r").unwrap(), &[said("c")]).await, Ok(None));
    }
}
