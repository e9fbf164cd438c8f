//! Deliberate faults for the chaos runs: points at which the process kills itself, and planted bugs.
//!
//! Both exist only with the cargo feature `faults`; without it the macros expand to nothing and this module is empty.
//! `FAULT_KILL=point:n` ends the process by SIGKILL when it reaches the point for the n-th time. `FAULT_PANIC=point:n`
//! panics there instead, and `FAULT_PANIC=name` panics in the vital thread or task of that name when it starts.
//! `FAULT_PLANT=name` plants bugs; several names are separated by commas. These variables are no configuration: no
//! release reads them.
//!
//! Does not know: its callers, or the meaning of the points. `loadgen/src/chaos` knows both.

/// Every point, in the order in which a comment passes them; the last two are not passed by comments.
pub const POINTS: &[&str] = &[
    "received",
    "admitted",
    "batched",
    "before_append",
    "in_append",
    "synced_not_acked",
    "acked_not_broadcast",
    "in_broadcast",
    "in_retention",
    "in_recovery",
];

/// Every bug that can be planted.
pub const PLANTS: &[&str] = &[
    "ack_before_append",
    "retry_stored_twice",
    "silent_skip",
    "epoch_reset",
    "swapped_frames",
    "lost_tail",
    "lost_digest",
    "shed_uncounted",
];

/// A text that every binary with the hooks contains, and no other binary; a test looks for it.
#[cfg(feature = "faults")]
pub const MARK: &str = "this build of volley can be told to fail";

/// Kills the process, or panics, if this is the chosen visit to the named point.
#[cfg(feature = "faults")]
macro_rules! fail_point {
    ($name:expr) => {
        $crate::faults::on::reached($name)
    };
}

/// `spoil!(bug, value, more…)` is `value`, or `on::bug(value, more…)` in a process in which that bug is planted.
/// `spoil!(bug => action)` does `action` in such a process only.
#[cfg(feature = "faults")]
macro_rules! spoil {
    ($bug:ident, $value:expr $(, $more:expr)*) => {{
        let value = $value;
        if $crate::faults::on::is_planted(stringify!($bug)) { $crate::faults::on::$bug(value $(, $more)*) } else { value }
    }};
    ($bug:ident => $action:expr) => {
        if $crate::faults::on::is_planted(stringify!($bug)) {
            $action;
        }
    };
}

/// Expands to nothing, because this build has no fault hooks.
#[cfg(not(feature = "faults"))]
macro_rules! fail_point {
    ($name:expr) => {};
}

/// Expands to the value, and does no action, because this build has no fault hooks.
#[cfg(not(feature = "faults"))]
macro_rules! spoil {
    ($bug:ident, $value:expr $(, $more:expr)*) => {
        $value
    };
    ($bug:ident => $action:expr) => {
        if false {
            $action;
        }
    };
}

pub(crate) use {fail_point, spoil};

#[cfg(feature = "faults")]
pub mod on {
    //! The functions behind the macros.

    use super::{PLANTS, POINTS};
    use bytes::{Bytes, BytesMut};
    use std::collections::{BTreeMap, HashMap};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};

    struct Chosen {
        point: String,
        left: AtomicU64,
    }

    impl Chosen {
        /// Reads `FAULT_…=point:n`; a name without a number means `:1`.
        fn read(text: &str) -> Self {
            let (point, n) = text.split_once(':').unwrap_or((text, "1"));
            let n = n.parse().ok().filter(|n| *n > 0);
            let left = AtomicU64::new(n.unwrap_or_else(|| panic!("{text}: not a count")));
            Self { point: point.to_owned(), left }
        }

        /// Whether this is the chosen visit to the chosen point.
        fn is_now(&self, name: &str) -> bool {
            self.point == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    #[expect(clippy::disallowed_methods, reason = "no configuration: src/config must not know of faults")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// An unknown name ends the process at once, because the run would prove nothing.
    static KILL: LazyLock<Option<Chosen>> = LazyLock::new(|| {
        let text = variable("FAULT_KILL")?;
        let kill = Chosen::read(&text);
        assert!(POINTS.contains(&&*kill.point), "FAULT_KILL={text}: there is no such point");
        Some(kill)
    });

    /// Not checked against a list, because names of threads contain numbers.
    static PANIC: LazyLock<Option<Chosen>> = LazyLock::new(|| Some(Chosen::read(&variable("FAULT_PANIC")?)));

    static PLANTED: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let Some(text) = variable("FAULT_PLANT") else { return Vec::new() };
        let known = |name: &str| PLANTS.iter().copied().find(|plant| *plant == name);
        text.split(',').map(|name| known(name).unwrap_or_else(|| panic!("FAULT_PLANT={text}: no such bug"))).collect()
    });

    /// Reads the environment now, so that a wrong name shows at the start.
    pub fn check() {
        let (kill, panic, planted) = (LazyLock::force(&KILL), LazyLock::force(&PANIC), LazyLock::force(&PLANTED));
        let [kill, panic] = [kill, panic].map(|chosen| chosen.as_ref().map(|chosen| chosen.point.as_str()));
        tracing::warn!(kill, panic, ?planted, "{}", super::MARK);
    }

    /// See `fail_point`. Vital threads and tasks call this with their names when they start.
    pub fn reached(name: &str) {
        if KILL.as_ref().is_some_and(|kill| kill.is_now(name)) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        assert!(!PANIC.as_ref().is_some_and(|panic| panic.is_now(name)), "FAULT_PANIC={name}");
    }

    /// Whether the bug is planted.
    pub fn is_planted(name: &str) -> bool {
        PLANTED.contains(&name)
    }

    /// Answers a retry as if its id were new.
    pub fn retry_stored_twice<T>(_: T, new: T) -> T {
        new
    }

    /// Leaves every 97th event out of a frame.
    pub fn silent_skip<T>(mut events: Vec<T>, offset: impl Fn(&T) -> u64) -> Vec<T> {
        events.retain(|event| !offset(event).is_multiple_of(97));
        events
    }

    /// Counts one event too few per class of left-out events.
    pub fn shed_uncounted<K: Ord>(mut shed: BTreeMap<K, u64>) -> BTreeMap<K, u64> {
        shed.retain(|_, count| {
            *count -= 1;
            *count > 0
        });
        shed
    }

    /// The digest of the frames of two renditions differs from that of the third.
    pub fn lost_digest(digest: u64) -> u64 {
        digest ^ 1
    }

    /// A different epoch in every process.
    pub fn epoch_reset(epoch: u64) -> u64 {
        epoch ^ u64::from(std::process::id())
    }

    /// Recovery then does not notice that the newest records are lost.
    pub fn lost_tail<T>(_: T, planted: T) -> T {
        planted
    }

    /// Holds back every fifth message of `room` and sends it after the next one.
    pub fn swapped_frames(message: Bytes, room: u64) -> Bytes {
        static HELD: Mutex<Option<HashMap<u64, (u64, Bytes)>>> = Mutex::new(None);
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, kept) = held.get_or_insert_default().entry(room).or_default();
        *count += 1;
        if count.is_multiple_of(5) {
            *kept = message;
            return Bytes::new();
        }
        let mut both = BytesMut::from(message);
        both.extend_from_slice(&std::mem::take(kept));
        both.freeze()
    }
}
