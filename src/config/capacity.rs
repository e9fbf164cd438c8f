//! How many connections fit into the process's file descriptors.
//!
//! Pure: the limits come in as numbers and the sentence goes out as text.

use super::error::ConfigErrors;
use super::relations::unfit;
use super::state::Loaded;

/// Descriptors that are not viewers', whatever the number of shards: standard streams, two listeners, the runtimes'
/// polls, timers and signals (20), the data's files (30), connections to the admin address with its reserve (96), and
/// those who are told that they are too many, about as many as are told at one moment. When more come together, the
/// admin address still has spare ones of its own.
pub const RESERVED_DESCRIPTORS: u64 = 184;

/// Descriptors of one shard: its poll, its waker, and one accepted socket on its way there.
pub const RESERVED_DESCRIPTORS_PER_SHARD: u64 = 4;

/// How many connections this process may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Connections at one time, at least 1.
    pub connections_max: usize,
    /// What `RLIMIT_NOFILE`'s soft limit must be for that: raise it to this.
    pub descriptors: u64,
    is_configured: bool,
}

/// Works out the effective number of connections. `hard` is the limit up to which the process may
/// raise its descriptors (pass the current soft limit when raising failed), `shards` the number of
/// shard threads, already resolved.
///
/// # Errors
/// `admission.connections_max` does not fit, or nothing fits at all.
pub fn capacity(loaded: &Loaded, hard: u64, shards: usize) -> Result<Capacity, ConfigErrors> {
    let reserved = reserved(shards);
    let room = hard.saturating_sub(reserved);
    let wanted = loaded.config.admission.connections_max as u64;
    let refuse = |why: String| {
        let value = wanted.to_string();
        Err(ConfigErrors(vec![unfit(&loaded.sources, "admission.connections_max", value, why)]))
    };
    if wanted > room {
        return refuse(format!(
            "the process's limit of {} descriptors has room for {} connections ({} are its own); \
             raise the limit (`ulimit -n {}`, or `LimitNOFILE=` in the service's unit) or lower the key",
            grouped(hard),
            grouped(room),
            grouped(reserved),
            wanted + reserved
        ));
    }
    if room == 0 {
        return refuse(format!(
            "the process's limit of {} descriptors has no room for a single connection ({} are its own); \
             raise the limit (`ulimit -n`, or `LimitNOFILE=` in the service's unit)",
            grouped(hard),
            grouped(reserved)
        ));
    }
    let connections = if wanted == 0 { room.min(CONNECTIONS_MAX) } else { wanted };
    Ok(Capacity {
        connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
        descriptors: if wanted == 0 { hard.min(connections + reserved) } else { connections + reserved },
        is_configured: wanted != 0,
    })
}

/// Connections for which a limit of `descriptors` has room beside the server's own files and sockets.
pub fn connections_within(descriptors: u64, shards: usize) -> usize {
    let connections = descriptors.saturating_sub(reserved(shards)).min(CONNECTIONS_MAX);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

fn reserved(shards: usize) -> u64 {
    RESERVED_DESCRIPTORS + RESERVED_DESCRIPTORS_PER_SHARD * shards as u64
}

/// Connections when the descriptors are unlimited: what the key itself allows.
const CONNECTIONS_MAX: u64 = 10_000_000;

impl Capacity {
    /// The sentence for the start: `room for 19,812 connections (descriptor limit 20,000)`.
    pub fn sentence(&self) -> String {
        let connections = grouped(self.connections_max as u64);
        if self.is_configured {
            format!("room for {connections} connections (admission.connections_max)")
        } else {
            format!("room for {connections} connections (descriptor limit {})", grouped(self.descriptors))
        }
    }
}

/// A number with a comma between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::loaded;
    use super::*;

    #[test]
    fn zero_takes_all_descriptors_that_are_not_reserved() {
        let capacity = capacity(&loaded("").unwrap(), 20_000, 1).unwrap();
        assert_eq!(capacity.connections_max, 19_812);
        assert_eq!(capacity.descriptors, 20_000);
        assert_eq!(capacity.sentence(), "room for 19,812 connections (descriptor limit 20,000)");
    }

    #[test]
    fn unlimited_descriptors_are_not_an_overflow() {
        let capacity = capacity(&loaded("").unwrap(), u64::MAX, 256).unwrap();
        assert_eq!(capacity.connections_max, 10_000_000);
        assert_eq!(capacity.sentence(), "room for 10,000,000 connections (descriptor limit 10,001,208)");
    }

    #[test]
    fn a_configured_number_asks_for_no_more_descriptors_than_it_needs() {
        let loaded = loaded("admission.connections_max = 1000").unwrap();
        let capacity = capacity(&loaded, 20_000, 2).unwrap();
        assert_eq!((capacity.connections_max, capacity.descriptors), (1_000, 1_192));
        assert_eq!(capacity.sentence(), "room for 1,000 connections (admission.connections_max)");
    }

    #[test]
    fn too_few_descriptors_say_what_to_do() {
        let loaded = loaded("\nadmission.connections_max = 20_000").unwrap();
        let error = capacity(&loaded, 20_187, 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "volley.toml:2:11: admission.connections_max = 20000: the process's limit of 20,187 descriptors has room for \
             19,999 connections (188 are its own); raise the limit (`ulimit -n 20188`, or `LimitNOFILE=` in the \
             service's unit) or lower the key"
        );
        assert!(capacity(&loaded, 20_188, 1).is_ok(), "what the message asks for must be enough");
    }

    #[test]
    fn no_room_for_one_connection_is_an_error() {
        assert!(capacity(&loaded("").unwrap(), 188, 1).unwrap_err().to_string().contains("no room for a single"));
        assert_eq!(capacity(&loaded("").unwrap(), 189, 1).unwrap().connections_max, 1);
    }
}
