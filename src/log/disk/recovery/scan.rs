//! Every row of the database, once, in its order: what is whole, and what is not.
//!
//! Memory stays the same however much is stored: rooms and events are read side by side, both in the order of the rooms'
//! numbers.
//!
//! Does not know: how anything is healed.

use super::walk::{Cure, RoomClaim, Walk, Why};
use crate::log::disk::heads::{HeadsFile, HeadsReader, NotedHead};
use crate::log::disk::ids::Ids;
use crate::log::disk::row::{Belief, Damage, EVENT_COLUMNS, EventRow, ROOM_COLUMNS, RoomRow, damaged};
use crate::protocol::ids::Epoch;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, Rows};
use std::collections::BTreeSet;
use std::io;

/// What a scan found.
pub(crate) struct ScanResult {
    pub(crate) cures: Vec<Cure>,
    pub(crate) ids: Ids,
    pub(crate) rooms: usize,
    pub(crate) events: u64,
}

/// A scan that could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// SQLite's own structure is damaged, or the store cannot be read.
    #[error("{0}")]
    Sql(#[from] rusqlite::Error),
    /// The side file cannot be read.
    #[error("{0}")]
    Heads(#[from] io::Error),
}

/// Looks at everything. Without `heads` nobody can know whether a room lost its tail.
pub(crate) fn scan(
    conn: &Connection,
    heads: Option<&HeadsFile>,
    mut ids: Ids,
    epoch: impl Fn() -> Epoch,
) -> Result<ScanResult, ScanError> {
    check_rooms_index(conn)?;
    let doomed = doomed(conn)?;
    let mut rooms = conn.prepare(&format!("SELECT {ROOM_COLUMNS} FROM rooms ORDER BY id"))?;
    // Without `ORDER BY`: in the order in which they stand. That it is the right one is part of the check.
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

/// Events before room `until` that no room claims.
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

/// The index by which rooms are found must say the same as the table.
fn check_rooms_index(conn: &Connection) -> rusqlite::Result<()> {
    let said: String = conn.query_row("PRAGMA integrity_check('rooms')", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(damaged()) }
}

/// The events, one ahead.
struct EventCursor<'a> {
    rows: Rows<'a>,
    /// Of the row that is ahead.
    place: Option<(i64, u64)>,
    count: u64,
}

impl EventCursor<'_> {
    /// Goes to the next row. Keys that do not rise are damage to the tree itself.
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

    /// Shows the row that is ahead.
    fn show(&self, look: impl FnOnce(&Result<EventRow<'_>, Damage>)) -> rusqlite::Result<()> {
        if let Some(row) = self.rows.get() {
            look(&EventRow::of(row)?);
        }
        Ok(())
    }
}
