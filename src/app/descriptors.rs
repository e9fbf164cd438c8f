//! The descriptor limit of this process, and the number of connections that fit into it.
//!
//! Does not know: the users of the descriptors.

use crate::config::capacity;
use crate::config::{ConfigErrors, Loaded};

/// Raises the descriptor limit as far as needed, and puts the number of connections that fit into `loaded`. Returns a
/// sentence about it for the operator.
///
/// # Errors
/// The configured number of connections does not fit.
pub fn raise(loaded: &mut Loaded) -> Result<String, ConfigErrors> {
    let (soft, hard) = limits();
    let shards = usize::from(shard_count(loaded.config.shards));
    let capacity = capacity::capacity(loaded, hard, shards)?;
    let capacity = if capacity.descriptors > soft && rlimit::increase_nofile_limit(capacity.descriptors).is_err() {
        capacity::capacity(loaded, soft, shards)?
    } else {
        capacity
    };
    loaded.config.admission.connections_max = capacity.connections_max;
    Ok(capacity.sentence())
}

/// The soft and the hard limit of this process.
pub(super) fn limits() -> (u64, u64) {
    rlimit::getrlimit(rlimit::Resource::NOFILE).unwrap_or((1_024, 1_024))
}

pub(super) fn shard_count(configured: usize) -> u16 {
    let count = if configured == 0 { std::thread::available_parallelism().map_or(1, Into::into) } else { configured };
    u16::try_from(count).unwrap_or(u16::MAX)
}
