//! What is counted about the events that a show's owner posts, and about what rooms refuse.

use ::metrics::{Counter, counter, describe_counter};

const POSTS: &str = "volley_posts_total";
const REFUSALS: &str = "volley_post_refusals_total";
const ANNOUNCED_AGAIN: &str = "volley_announcement_retries_total";
const ROOM_REFUSALS: &str = "volley_room_refusals_total";
const STANDING_DROPPED: &str = "volley_standing_dropped_total";
const DELETIONS_IN_PART: &str = "volley_deletions_in_part_total";
const SLOW_FORGOTTEN: &str = "volley_slow_mode_forgotten_total";

/// Posts to rooms; of an announcement each room's.
#[derive(Clone)]
pub struct PostMetrics {
    taken: Counter,
    failed: Counter,
}

impl PostMetrics {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        let result = |result: &'static str| counter!(POSTS, "result" => result);
        Self { taken: result("taken"), failed: result("failed") }
    }

    /// Counts one that was answered.
    pub fn answered(&self, is_taken: bool) {
        if is_taken { &self.taken } else { &self.failed }.increment(1);
    }
}

impl Default for PostMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Requests that were refused before any room heard of them.
#[derive(Clone)]
pub struct PostRefusals {
    /// Without the key.
    pub key: Counter,
    /// Not JSON, too long, too slow, not valid.
    pub bad: Counter,
    /// Announcements that found as many under way as may be.
    pub busy: Counter,
    /// Rooms that could not take an announcement and were asked again.
    pub announced_again: Counter,
}

impl PostRefusals {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        let reason = |reason: &'static str| counter!(REFUSALS, "reason" => reason);
        Self {
            key: reason("key"),
            bad: reason("bad"),
            busy: reason("busy"),
            announced_again: counter!(ANNOUNCED_AGAIN),
        }
    }
}

impl Default for PostRefusals {
    fn default() -> Self {
        Self::new()
    }
}

/// What rooms did not take of what admission had let through.
#[derive(Debug)]
pub struct RoomRefusals {
    by_code: Vec<Counter>,
    /// Users whose last comment slow mode had to forget.
    pub slow_forgotten: Counter,
    /// Deletions that may have left equal comments in the log.
    pub deletions_in_part: Counter,
}

impl RoomRefusals {
    /// The handles, for the codes of these names. Every caller gets the same series.
    pub fn new(codes: impl Iterator<Item = &'static str>) -> Self {
        let by_code = codes.map(|code| counter!(ROOM_REFUSALS, "code" => code)).collect();
        Self { by_code, slow_forgotten: counter!(SLOW_FORGOTTEN), deletions_in_part: counter!(DELETIONS_IN_PART) }
    }

    /// Counts a comment, like or vote that was answered with the code of this place in the names.
    pub fn refused(&self, code: usize) {
        if let Some(counter) = self.by_code.get(code) {
            counter.increment(1);
        }
    }
}

/// What rooms stop telling newcomers, or counting on, because so much else stands.
#[derive(Debug)]
pub struct StandingDropped([Counter; 4]);

impl StandingDropped {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        Self(["announcement", "sticky", "tally", "combo"].map(|what| counter!(STANDING_DROPPED, "what" => what)))
    }

    /// Counts so many announcements, sticky events, last tallies and combos.
    pub fn count(&self, dropped: [u64; 4]) {
        for (counter, count) in self.0.iter().zip(dropped).filter(|(_, count)| *count > 0) {
            counter.increment(count);
        }
    }
}

impl Default for StandingDropped {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn describe() {
    describe_counter!(
        STANDING_DROPPED,
        "What no longer stands in its room because too much does: announcement, sticky, tally (of a poll that is over), combo."
    );
    describe_counter!(
        ROOM_REFUSALS,
        "Comments, likes and votes that admission let through and their room did not take, by the error's code."
    );
    describe_counter!(
        SLOW_FORGOTTEN,
        "Users that may comment again too early, because slow mode remembers so many a room."
    );
    describe_counter!(
        DELETIONS_IN_PART,
        "Deletions of comments so old that their room no longer knew every comment that had been folded into them."
    );
    describe_counter!(POSTS, "Posts that rooms were asked to take, by what came of it: taken or failed.");
    describe_counter!(ANNOUNCED_AGAIN, "Times a room was asked again because it could not take an announcement.");
    describe_counter!(
        REFUSALS,
        "Posts that no room heard of, by reason: key, bad (body or headers), busy (too many announcements)."
    );
}
