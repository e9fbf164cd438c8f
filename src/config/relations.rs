//! What must hold between settings.

use super::error::{ConfigError, Problem};
use super::keys::KEYS;
use super::source::Source;
use super::state::Draft;

/// Most bytes of origins in one header: proxies refuse answers whose headers have more than 4 to 8 KiB.
const FRAME_ANCESTORS_BYTES_MAX: usize = 2_048;

/// Notes every relation that does not hold.
pub(super) fn check(state: &mut Draft) {
    let config = state.config().clone();
    let connection = &config.connection;
    if connection.idle_ms <= connection.ping_ms {
        // Otherwise a quiet viewer is cut before it was ever asked.
        state.conflict(["connection.idle_ms", "connection.ping_ms"], "longer than");
    }
    if config.admission.text_bytes_max > config.admission.message_bytes_max {
        state.conflict(["admission.text_bytes_max", "admission.message_bytes_max"], "at most");
    }
    let likes = [
        ("rates.likes_per_connection.burst", config.rates.likes_per_connection),
        ("rates.likes_per_user.burst", config.rates.likes_per_user),
        ("rates.likes_per_room.burst", config.rates.likes_per_room),
    ];
    for (path, rate) in likes {
        if u64::from(rate.burst) < config.admission.like_count_max {
            // Otherwise a message that is allowed could never be admitted.
            state.conflict([path, "admission.like_count_max"], "at least");
        }
    }
    if config.room.batch_events_max > config.room.log_events_max {
        // Otherwise one tick's append would already push out its own beginning.
        state.conflict(["room.batch_events_max", "room.log_events_max"], "at most");
    }
    if config.room.stored_max < config.room.rooms_max {
        // Otherwise a room that may be opened could not be stored.
        state.conflict(["room.stored_max", "room.rooms_max"], "at least");
    }
    if config.room.snapshot_events > config.room.log_events_max {
        state.conflict(["room.snapshot_events", "room.log_events_max"], "at most");
    }
    let ancestors: usize = config.pages.frame_ancestors.texts().map(|origin| origin.len() + 1).sum();
    if ancestors > FRAME_ANCESTORS_BYTES_MAX {
        let why = format!(
            "all of them stand in a header of every answer: at most {FRAME_ANCESTORS_BYTES_MAX} bytes together"
        );
        state.reject("pages.frame_ancestors", why);
    }
    let (listen, admin) = (config.addresses.listen, config.addresses.admin);
    let overlaps = listen.ip() == admin.ip() || listen.ip().is_unspecified() || admin.ip().is_unspecified();
    if listen.port() != 0 && listen.port() == admin.port() && overlaps {
        // One listener for both would put metrics and administration before the public.
        state.conflict(["admin", "listen"], "another address or port than");
    }
}

/// An error about a key whose value is right by itself but not on this machine.
pub(super) fn unfit(sources: &super::Provenance, path: &str, value: String, why: String) -> ConfigError {
    debug_assert!(KEYS.iter().any(|key| key.path == path), "a key of the table");
    let source = sources.of(path).cloned().unwrap_or(Source::Default);
    ConfigError { key: path.into(), value: Some(value), source, problem: Problem::Relation(why) }
}
