//! Rebuilds a room's state from its log, when the room is opened.
//!
//! Does not know: actors, subscribers.

use crate::faults::fail_point;
use crate::limits::{IDS_MAX, REPLAY_EVENTS};
use crate::log::{Limit, Log, OpenError, Opened};
use crate::protocol::ids::RoomId;
use crate::room::core::Core;

/// Continues from the base if there is one, remembers ids and comments of enough records before it, and applies the
/// records after it, in bounded pieces.
pub(in crate::room) fn replay(core: &mut Core, log: &dyn Log, room: &RoomId, opened: &Opened) -> Result<(), OpenError> {
    let Opened { head, digest, base } = opened;
    if let Some(base) = base {
        // A base that cannot be read is of a later version or damaged; the log reports damage when it verifies.
        core.begin(base, *digest).map_err(|_| OpenError::Unavailable)?;
    }
    let needed = head.last.saturating_sub(2 * IDS_MAX as u64);
    let mut after = base.as_ref().map_or(0, |base| base.offset).min(needed).max(head.first.saturating_sub(1));
    core.begin_after(after);
    while after < head.last {
        fail_point!("in_recovery");
        let limit = Limit::events(REPLAY_EVENTS);
        let records = log.read(room, after, limit).map_err(|_| OpenError::Unavailable)?;
        let Some(newest) = records.last() else { return Err(OpenError::Unavailable) };
        after = newest.offset;
        for record in &records {
            if record.offset <= core.last() {
                core.remember(record);
            } else {
                core.apply(record);
            }
        }
        core.settle();
    }
    core.complete();
    core.settle();
    core.take_dropped(); // Counted when it happened, before the replay.
    Ok(())
}
