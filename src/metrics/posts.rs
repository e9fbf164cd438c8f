//! What is counted about the events that a show's owner posts.

use ::metrics::{Counter, counter, describe_counter};

const POSTS: &str = "volley_posts_total";
const REFUSALS: &str = "volley_post_refusals_total";

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
    /// Announcements that found another one under way.
    pub busy: Counter,
}

impl PostRefusals {
    /// The handles. Every caller gets the same series.
    pub fn new() -> Self {
        let reason = |reason: &'static str| counter!(REFUSALS, "reason" => reason);
        Self { key: reason("key"), bad: reason("bad"), busy: reason("busy") }
    }
}

impl Default for PostRefusals {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn describe() {
    describe_counter!(POSTS, "Posts that rooms were asked to take, by what came of it: taken or failed.");
    describe_counter!(
        REFUSALS,
        "Posts that no room heard of, by reason: key, bad (body or headers), busy (another announcement)."
    );
}
