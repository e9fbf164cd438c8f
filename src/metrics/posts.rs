//! Events that a show's owner posts, and operations that rooms refuse.

use super::table::{self, metrics, unlabelled};
use ::metrics::{Counter, counter, describe_counter};

metrics! {
    /// Posts to rooms; an announcement counts once per room.
    pub struct PostMetrics {
        counter "volley_posts_total", "Posts that rooms were asked to take, by result: taken or failed."
            => taken ["result" = "taken"], failed ["result" = "failed"];
    }

    /// Requests of the owner's API that were refused before they reached a room.
    pub struct PostRefusals {
        counter "volley_post_refusals_total", "Posts refused before they reached a room: key, bad (body or headers) or busy (too many announcements)."
            => key ["reason" = "key"], bad ["reason" = "bad"], busy ["reason" = "busy"];
        counter "volley_announcement_retries_total", "Announcements sent to a room again because it could not take them." => announced_again;
    }

    /// Things that rooms forget because a limit is reached.
    pub struct ForgottenMetrics {
        counter "volley_standing_dropped_total", "Items that a room no longer shows to newcomers because its limit was reached: announcement, sticky, tally (of a closed poll) or combo."
            => standing ["what" each ["announcement", "sticky", "tally", "combo"]];
        counter "volley_slow_mode_forgotten_total", "Users who may comment too early because slow mode's limit of remembered users per room was reached." => slow_mode;
        counter "volley_deletions_in_part_total", "Deletions after which equal comments may remain in the log, because the room no longer knew all of them." => deletions_in_part;
    }
}

unlabelled!(PostMetrics, PostRefusals, ForgottenMetrics);

impl PostMetrics {
    /// Counts a post that was answered.
    pub fn answered(&self, is_taken: bool) {
        if is_taken { &self.taken } else { &self.failed }.increment(1);
    }
}

impl ForgottenMetrics {
    /// Adds announcements, sticky events, final tallies and combos, in this order.
    pub fn standing_dropped(&self, amounts: [u64; 4]) {
        table::add_each(&self.standing, amounts);
    }
}

const ROOM_REFUSALS: &str = "volley_room_refusals_total";

/// Operations that admission let through and a room refused, by error code.
#[derive(Debug)]
pub struct RoomRefusals(Vec<Counter>);

impl RoomRefusals {
    /// Handles of the process's series for these codes.
    pub fn new(codes: impl Iterator<Item = &'static str>) -> Self {
        Self(codes.map(|code| counter!(ROOM_REFUSALS, "code" => code)).collect())
    }

    /// Counts a refusal with the code at this place of the codes.
    pub fn refused(&self, code: usize) {
        if let Some(counter) = self.0.get(code) {
            counter.increment(1);
        }
    }

    pub(super) fn describe() {
        describe_counter!(ROOM_REFUSALS, "Comments, likes and votes that their room refused, by error code.");
    }
}
