//! One group commit: the commands of all rooms of the node since the last one, as one transaction.
//!
//! It changes copies of the rooms' rows. The copies replace the rows only after the commit ([`GroupCommit::publish`]),
//! so a transaction that fails leaves no trace in memory.
//!
//! Does not know: when a group begins, what a failed commit means.

use super::ids::Ids;
use super::retention;
use super::room::{OpenRoom, RetainOrder};
use super::row::{RoomRow, cost, delete_comments, insert_event};
use super::shared::{LogCommand, OpenOutcome, OpenRequest};
use crate::faults::fail_point;
use crate::limits::{OFFSET_MAX, RETAIN_EVENTS_MAX};
use crate::log::{AppendError, Delivery, OpenError, Opened, Record, Ticket, deletes, digest};
use crate::protocol::event::Event;
use crate::protocol::ids::RoomId;
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::Arc;

/// Events that retention removes in one group at most, over all rooms: as many as one order may remove from one room.
/// Rooms beyond this bound are served with their next order.
const GROUP_RETAIN_EVENTS_MAX: usize = RETAIN_EVENTS_MAX;

/// The changes and answers of a transaction, which [`Self::publish`] makes visible after the commit.
pub(super) struct GroupCommit {
    outcomes: Vec<CommandOutcome>,
    /// The rooms that the transaction changes, by number.
    touched: HashMap<i64, Touched>,
    /// Whether a transaction was begun: a group of empty batches needs none.
    pub(super) began: bool,
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) dropped: usize,
    /// The numbers of new rooms.
    pub(super) created: Vec<i64>,
    /// The rows of rooms whose newest offset may have changed.
    pub(super) heads: Vec<RoomRow>,
    /// How many events retention may still remove.
    retain_left: usize,
}

struct Touched {
    room: Arc<OpenRoom>,
    row: RoomRow,
    /// The row differs from the one that the transaction has stored.
    is_dirty: bool,
}

enum CommandOutcome {
    Appended { room: Arc<OpenRoom>, ticket: Ticket, records: Arc<[Record]> },
    Refused { room: Arc<OpenRoom>, ticket: Ticket },
    Opened { request: OpenRequest, outcome: OpenOutcome },
}

impl GroupCommit {
    pub(super) fn new() -> Self {
        Self {
            outcomes: Vec::new(),
            touched: HashMap::new(),
            began: false,
            events: 0,
            bytes: 0,
            dropped: 0,
            created: Vec::new(),
            heads: Vec::new(),
            retain_left: GROUP_RETAIN_EVENTS_MAX,
        }
    }

    /// Executes one command inside the transaction.
    pub(super) fn write(&mut self, conn: &Connection, ids: &mut Ids, command: &LogCommand) -> rusqlite::Result<()> {
        match command {
            LogCommand::Append { room, ticket, events, now_ms, .. } => {
                self.append(conn, room, *ticket, events, *now_ms)
            }
            LogCommand::Retain { room } => self.retain(conn, room),
            LogCommand::Open(request) => self.open(conn, ids, request),
            LogCommand::Wake => Ok(()),
        }
    }

    /// Stores the rooms' rows, as the last step before the commit.
    pub(super) fn flush(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        fail_point!("in_append");
        for touched in self.touched.values_mut().filter(|touched| touched.is_dirty) {
            touched.row.store(conn)?;
            touched.is_dirty = false;
        }
        self.heads.extend(self.touched.values().map(|touched| touched.row.clone()));
        Ok(())
    }

    /// Answers the commands of a transaction that is in the log, in their order.
    pub(super) fn publish(self) {
        fail_point!("synced_not_acked");
        for (_, touched) in self.touched {
            *touched.room.row.lock() = touched.row;
        }
        for outcome in self.outcomes {
            match outcome {
                CommandOutcome::Appended { room, ticket, records } => {
                    room.deliver(Delivery::Appended { ticket: Some(ticket), records });
                }
                CommandOutcome::Refused { room, ticket } => {
                    room.deliver(Delivery::Failed { ticket, error: AppendError::Unavailable });
                }
                CommandOutcome::Opened { request, outcome } => request.answer(outcome),
            }
        }
    }

    fn begin(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if !self.began {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            self.began = true;
        }
        Ok(())
    }

    fn touch(&mut self, room: &Arc<OpenRoom>) -> &mut Touched {
        let row = || room.row.lock().clone();
        let id = room.row.lock().id;
        self.touched.entry(id).or_insert_with(|| Touched { room: Arc::clone(room), row: row(), is_dirty: false })
    }

    fn append(
        &mut self,
        conn: &Connection,
        room: &Arc<OpenRoom>,
        ticket: Ticket,
        events: &[Event],
        now_ms: u64,
    ) -> rusqlite::Result<()> {
        if let Some(order) = room.take_retention() {
            self.retain_by(conn, room, order)?;
        }
        let last = self.touched.get(&room.row.lock().id).map_or(0, |touched| touched.row.last);
        if events.is_empty() || events.len() as u64 > OFFSET_MAX - last.max(room.row.lock().last) {
            let (room, records) = (Arc::clone(room), Arc::default());
            self.outcomes.push(match events {
                [] => CommandOutcome::Appended { room, ticket, records },
                _ => CommandOutcome::Refused { room, ticket },
            });
            return Ok(());
        }
        self.begin(conn)?;
        let touched = self.touch(room);
        touched.is_dirty = true;
        let row = &mut touched.row;
        row.at_ms = if row.last == 0 { now_ms } else { now_ms.max(row.at_ms + 1) };
        let mut records = Vec::with_capacity(events.len());
        let (mut bytes, mut freed) = (0, 0);
        for event in events {
            let offset = row.last + 1;
            row.digest = digest::extend(row.digest, offset, event);
            let record = Record { offset, at_ms: row.at_ms, digest: row.digest, event: event.clone() };
            // Maps of JSON values always serialise. If one did not, the whole batch would fail, not a part of it.
            let body = serde_json::to_string(event)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            insert_event(conn, row.id, &record, &body)?;
            bytes += cost(body.len());
            row.last = offset;
            records.push(record);
            let kept = row.first..offset;
            freed += delete_comments(conn, row.id, deletes(event).filter(|(target, _)| kept.contains(target)))?;
        }
        row.events += events.len();
        row.bytes = (row.bytes + bytes).saturating_sub(freed);
        self.events += events.len();
        self.bytes += bytes;
        self.outcomes.push(CommandOutcome::Appended { room: Arc::clone(room), ticket, records: records.into() });
        Ok(())
    }

    fn retain(&mut self, conn: &Connection, room: &Arc<OpenRoom>) -> rusqlite::Result<()> {
        room.take_retention().map_or(Ok(()), |order| self.retain_by(conn, room, order))
    }

    fn retain_by(&mut self, conn: &Connection, room: &Arc<OpenRoom>, order: RetainOrder) -> rusqlite::Result<()> {
        let left = self.retain_left;
        let touched = self.touch(room);
        let same_base = touched.row.base.as_ref() == Some(&order.base);
        let (was_dirty, before) = (touched.is_dirty, touched.row.clone());
        let mut row = before;
        if !self.began {
            self.begin(conn)?;
        }
        let gone = retention::trim(conn, &mut row, &order.retention, order.now_ms, Some(&order.base), left)?;
        row.base = Some(order.base);
        let touched = self.touch(room);
        touched.row = row;
        touched.is_dirty = was_dirty || gone > 0 || !same_base;
        self.retain_left -= gone;
        self.dropped += gone;
        Ok(())
    }

    fn open(&mut self, conn: &Connection, ids: &mut Ids, request: &OpenRequest) -> rusqlite::Result<()> {
        self.begin(conn)?;
        // Batches that this group appended to an earlier opening of the room must be visible here.
        for touched in self.touched.values_mut().filter(|touched| touched.is_dirty && touched.room.name == request.name)
        {
            touched.row.store(conn)?;
            touched.is_dirty = false;
        }
        let found = match RoomRow::by_name(conn, &request.name)? {
            Some(mut row) => {
                row.opened_ms = request.now_ms;
                row.store(conn)?;
                Some(row)
            }
            None => match ids.take() {
                Some(id) => {
                    let row = RoomRow::new(id, request.name.clone(), ids.epoch(), request.now_ms);
                    row.store(conn)?;
                    self.created.push(id);
                    self.heads.push(row.clone());
                    Some(row)
                }
                None => None,
            },
        };
        let outcome = found.map_or(Err(OpenError::Full), |row| {
            let opened = Opened { head: row.head(), digest: row.digest_before, base: row.base.clone() };
            Ok(Box::new((opened, row)))
        });
        self.outcomes.push(CommandOutcome::Opened { request: request.clone(), outcome });
        Ok(())
    }

    /// The names of the changed rooms, for a log line.
    pub(super) fn names(&self) -> Vec<RoomId> {
        self.touched.values().map(|touched| touched.room.name.clone()).collect()
    }
}
