//! Decides on heartbeats and on the room's expiry: it knows whether the room has subscribers, and since when it is
//! silent.
//!
//! Does not know: the subscribers, the content of a heartbeat.

/// An expired room that is still claimed (a connection is on its way) is offered for expiry again after this time.
const EXPIRY_RETRY_US: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Presence {
    heartbeat_us: u64,
    idle_us: u64,
    /// When the room last published something, or when the first subscriber came after that.
    quiet_since_us: u64,
    /// When the last subscriber left or the last operation came without subscribers; `None` while there are
    /// subscribers.
    idle_since_us: Option<u64>,
    expiry_asked_us: u64,
}

impl Presence {
    /// A room without subscribers, opened at `now_us`. It sends a heartbeat after `heartbeat_us` of silence and expires
    /// after `idle_us` without subscribers.
    pub(super) fn new(heartbeat_us: u64, idle_us: u64, now_us: u64) -> Self {
        Self { heartbeat_us, idle_us, quiet_since_us: now_us, idle_since_us: Some(now_us), expiry_asked_us: 0 }
    }

    /// Call when the room has `online` subscribers.
    pub(super) fn changed(&mut self, online: u64, now_us: u64) {
        if online == 0 {
            self.idle_since_us.get_or_insert(now_us);
        } else if self.idle_since_us.take().is_some() {
            self.quiet_since_us = now_us; // Silence counts from the first subscriber on.
        }
    }

    /// Call at each operation: an empty room stays open for `idle_us` more.
    pub(super) fn active(&mut self, now_us: u64) {
        if let Some(since_us) = &mut self.idle_since_us {
            *since_us = now_us;
        }
    }

    pub(super) fn published(&mut self, now_us: u64) {
        self.quiet_since_us = now_us;
    }

    pub(super) fn quiet_since_us(&self) -> u64 {
        self.quiet_since_us
    }

    /// The time of the next heartbeat, if nothing is published before.
    pub(super) fn heartbeat_due_us(&self) -> u64 {
        self.quiet_since_us.saturating_add(self.heartbeat_us)
    }

    /// The time at which the room expires; `None` while it has subscribers.
    pub(super) fn expiry_us(&self) -> Option<u64> {
        self.idle_since_us.map(|since_us| since_us.saturating_add(self.idle_us))
    }

    /// Call when the room is offered for expiry.
    pub(super) fn expiry_asked(&mut self, now_us: u64) {
        self.expiry_asked_us = now_us.saturating_add(EXPIRY_RETRY_US);
    }

    /// The earliest time for the next offer.
    pub(super) fn expiry_asked_us(&self) -> u64 {
        self.expiry_asked_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_first_subscriber_and_from_each_message() {
        let mut presence = Presence::new(10, 100, 0);
        presence.changed(1, 50);
        assert_eq!((presence.heartbeat_due_us(), presence.expiry_us()), (60, None));
        presence.changed(2, 55);
        assert_eq!(presence.heartbeat_due_us(), 60, "a second subscriber changes nothing");
        presence.published(58);
        assert_eq!(presence.heartbeat_due_us(), 68);
    }

    #[test]
    fn an_empty_room_expires_after_the_last_operation() {
        let mut presence = Presence::new(10, 100, 0);
        assert_eq!(presence.expiry_us(), Some(100));
        presence.changed(0, 30);
        assert_eq!(presence.expiry_us(), Some(100), "it was empty before");
        presence.active(40);
        assert_eq!(presence.expiry_us(), Some(140));
        presence.changed(1, 50);
        presence.active(60);
        presence.changed(0, 70);
        assert_eq!(presence.expiry_us(), Some(170));
        presence.expiry_asked(170);
        assert_eq!(presence.expiry_asked_us(), 170 + EXPIRY_RETRY_US);
    }
}
