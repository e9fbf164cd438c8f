//! Checks every row of the database once, in order.
//!
//! Rooms and events are read side by side, both in the order of the rooms' numbers, so the memory needed does not
//! depend on the size of the log.
//!
//! Does not know: how damage is healed.

use super::walk::{Cure, RoomClaim, Walk, Why};
use crate::log::disk::heads::{HeadsFile, HeadsReader, NotedHead};
use crate::log::disk::ids::Ids;
use crate::log::disk::row::{Belief, Damage, EVENT_COLUMNS, EventRow, ROOM_COLUMNS, RoomRow, damaged};
use crate::protocol::ids::Epoch;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, Rows};
use std::collections::BTreeSet;
use std::io;

pub(crate) struct ScanResult {
    pub(crate) cures: Vec<Cure>,
    pub(crate) ids: Ids,
    pub(crate) rooms: usize,
    pub(crate) events: u64,
}

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// SQLite's own structure is damaged, or the store cannot be read.
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    #[error("the side file cannot be read: {0}")]
    Heads(#[from] io::Error),
}

/// Checks all rooms and events. Without `heads`, a room's lost tail cannot be noticed, so every room gets a new epoch.
pub(crate) fn scan(
    conn: &Connection,
    heads: Option<&HeadsFile>,
    mut ids: Ids,
    epoch: impl Fn() -> Epoch,
) -> Result<ScanResult, ScanError> {
    check_rooms_index(conn)?;
    let doomed = doomed(conn)?;
    let mut rooms = conn.prepare(&format!("SELECT {ROOM_COLUMNS} FROM rooms ORDER BY id"))?;
    // Without `ORDER BY` the rows come in their stored order. The scan checks that it is the right one.
    let mut events = conn.prepare(&format!("SELECT {EVENT_COLUMNS} FROM events NOT INDEXED"))?;
    let mut rooms = rooms.query([])?;
    let mut side = EventCursor { rows: events.query([])?, place: None, count: 0 };
    let mut known = heads.map(HeadsFile::reader);
    let mut found = ScanResult { cures: Vec::new(), ids: Ids::new(0), rooms: 0, events: 0 };
    let mut used = doomed.clone();
    side.advance()?;
    while let Some(row) = rooms.next()? {
        found.rooms += 1;
        let id: i64 = row.get(0)?;
        orphans(&mut side, Some(id), &doomed, &mut found.cures)?;
        used.insert(id);
        let claim = match RoomRow::of(row)? {
            Belief::Whole(row) => RoomClaim::Whole(row),
            Belief::Name(id, name, base) => {
                RoomClaim::Name(RoomRow { base, ..RoomRow::new(id, name, Epoch::default(), 0) })
            }
            Belief::Nothing => {
                found.cures.push(Cure { id, row: None, at: 1, why: Why::Row });
                side.skip(id)?;
                continue;
            }
        };
        let mut walk = Walk::new(claim);
        while side.room() == Some(id) {
            side.show(|event| {
                walk.step(event);
            })?;
            side.advance()?;
        }
        if let Err(cure) = walk.end(look(known.as_mut(), id)?, &epoch) {
            found.cures.push(*cure);
        }
    }
    orphans(&mut side, None, &doomed, &mut found.cures)?;
    found.events = side.count;
    for id in used {
        ids.note(id);
    }
    found.ids = ids;
    Ok(found)
}

fn look(known: Option<&mut HeadsReader<'_>>, id: i64) -> io::Result<Option<NotedHead>> {
    known.map(|known| known.get(id)).transpose()
}

/// Reports events of numbers before `until` that belong to no room.
fn orphans(
    side: &mut EventCursor<'_>,
    until: Option<i64>,
    doomed: &BTreeSet<i64>,
    cures: &mut Vec<Cure>,
) -> Result<(), ScanError> {
    while let Some(id) = side.room()
        && until.is_none_or(|until| id < until)
    {
        if !doomed.contains(&id) {
            cures.push(Cure { id, row: None, at: side.offset(), why: Why::Orphans });
        }
        side.skip(id)?;
    }
    Ok(())
}

pub(crate) fn doomed(conn: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    conn.prepare("SELECT room FROM doomed")?.query_map([], |row| row.get(0))?.collect()
}

/// Checks that the index on the rooms' names agrees with the table.
fn check_rooms_index(conn: &Connection) -> rusqlite::Result<()> {
    let said: String = conn.query_row("PRAGMA integrity_check('rooms')", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(damaged()) }
}

/// Reads the events in order and shows the next one.
struct EventCursor<'a> {
    rows: Rows<'a>,
    /// Room and offset of the next event.
    place: Option<(i64, u64)>,
    count: u64,
}

impl EventCursor<'_> {
    /// Moves to the next event. Keys that do not rise are damage to SQLite's structure.
    fn advance(&mut self) -> rusqlite::Result<()> {
        let before = self.place;
        self.rows.advance()?;
        self.place = match self.rows.get() {
            None => None,
            Some(row) => {
                let (Ok(room), Ok(offset)) = (row.get::<_, i64>(0), row.get::<_, u64>(1)) else {
                    return Err(damaged());
                };
                if before.is_some_and(|before| before >= (room, offset)) {
                    return Err(damaged());
                }
                self.count += 1;
                Some((room, offset))
            }
        };
        Ok(())
    }

    fn room(&self) -> Option<i64> {
        self.place.map(|(room, _)| room)
    }

    fn offset(&self) -> u64 {
        self.place.map_or(0, |(_, offset)| offset)
    }

    fn skip(&mut self, room: i64) -> rusqlite::Result<()> {
        while self.room() == Some(room) {
            self.advance()?;
        }
        Ok(())
    }

    /// Shows the next event to `look`.
    fn show(&self, look: impl FnOnce(&Result<EventRow<'_>, Damage>)) -> rusqlite::Result<()> {
        if let Some(row) = self.rows.get() {
            look(&EventRow::of(row)?);
        }
        Ok(())
    }
}
