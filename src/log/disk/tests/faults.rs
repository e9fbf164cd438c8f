//! A failing device: delivered batches are kept, failed ones are not in the log, and batches in doubt are not answered.

use super::faulty::{Faults, VFS};
use super::*;
use crate::log::suite::rig::{Collector, all, number, numbered, room};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// A log on a device that fails on command, with the room `r` open.
struct Rig {
    // Dropped before its directory.
    log: DiskLog,
    scratch: Scratch,
    faults: Arc<Faults>,
    sink: Arc<Collector>,
    copies: usize,
}

impl Rig {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let scratch = Scratch::new();
        let mut options = scratch.options();
        // Created on the default VFS first, so that the whole empty log is durable.
        DiskLog::start(&options).unwrap().stop();
        let faults = Faults::watch(&options.directory);
        options.vfs = Some(VFS.into());
        change(&mut options);
        let (log, sink) = (DiskLog::start(&options).unwrap(), Collector::new(usize::MAX));
        log.open(&room("r"), sink.clone()).unwrap();
        Self { scratch, faults, log, sink, copies: 0 }
    }

    fn append(&self, number: u64, count: u64) -> Result<(), AppendError> {
        self.log.append(&room("r"), number, numbered(number..number + count), 1)
    }

    /// Appends one batch and returns whether it was delivered.
    fn try_append(&self, number: u64, count: u64) -> bool {
        match self.append(number, count) {
            Ok(()) => {
                let (ticket, outcome) = self.sink.outcome();
                assert_eq!(ticket, number);
                outcome.is_ok()
            }
            Err(_) => false,
        }
    }

    /// The numbers in the log if the power failed now.
    fn after_power_loss(&mut self) -> Vec<u64> {
        self.copies += 1;
        let copy = self.scratch.0.join(format!("copy-{}", self.copies));
        self.faults.power_loss(&copy);
        self.numbers_in(copy)
    }

    /// The numbers in the log if the process were killed now.
    fn after_kill(&mut self) -> Vec<u64> {
        self.copies += 1;
        let copy = self.scratch.0.join(format!("copy-{}", self.copies));
        std::fs::create_dir(&copy).unwrap();
        for name in ["volley.db", "volley.db-wal", "volley.heads"] {
            std::fs::copy(self.scratch.options().directory.join(name), copy.join(name)).unwrap();
        }
        self.numbers_in(copy)
    }

    fn numbers_in(&self, directory: PathBuf) -> Vec<u64> {
        let log = DiskLog::start(&Options { directory, ..self.scratch.options() }).unwrap();
        let head = log.head(&room("r")).unwrap().unwrap();
        assert_eq!(head.epoch, self.log.head(&room("r")).unwrap().unwrap().epoch, "no acknowledged batch is lost");
        all(&log, &room("r"), 0).iter().map(number).collect()
    }

    fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "never happened: {what}");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_batch_that_is_reported_as_failed_never_reappears() {
    // The device stored no page of it, every page, or every second one.
    for torn in [0, 1, 2] {
        let mut rig = Rig::new(|_| {});
        assert!(rig.try_append(1, 1));
        rig.faults.torn_every.lock().unwrap().push_back(torn);
        rig.faults.failing_syncs.store(1, Ordering::SeqCst);
        assert!(!rig.try_append(100, 300), "the sync failed");
        assert_eq!(rig.after_power_loss(), [1], "torn {torn}");
        assert_eq!(rig.after_kill(), [1], "torn {torn}");
        assert!(rig.try_append(2, 1), "the next batch is stored");
        assert_eq!(rig.after_power_loss(), [1, 2], "torn {torn}");
    }
}

#[test]
fn a_batch_in_doubt_is_not_answered() {
    let mut rig = Rig::new(|_| {});
    assert!(rig.try_append(1, 1));
    // The first sync fails although the device stored everything; later syncs store nothing.
    rig.faults.torn_every.lock().unwrap().push_back(1);
    rig.faults.failing_syncs.store(usize::MAX, Ordering::SeqCst);
    rig.append(2, 1).unwrap();
    let syncs = rig.faults.syncs.load(Ordering::SeqCst);
    rig.eventually("two tries to settle it", || rig.faults.syncs.load(Ordering::SeqCst) > syncs + 2);
    assert_eq!(rig.after_power_loss(), [1, 2], "recovery would find the batch, so it must not be reported as failed");
    rig.sink.assert_quiet(&rig.log, &room("r"));
    assert_eq!(rig.append(3, 1), Err(AppendError::Unavailable));
    assert_eq!(rig.log.open(&room("other"), rig.sink.clone()), Err(OpenError::Unavailable));
    rig.faults.failing_syncs.store(0, Ordering::SeqCst);
    let (ticket, outcome) = rig.sink.outcome();
    assert_eq!((ticket, outcome.err()), (2, Some(AppendError::Unavailable)));
    assert_eq!(rig.after_power_loss(), [1], "the batch is not in the log any more");
    rig.eventually("it takes batches again", || rig.try_append(4, 1));
    assert_eq!(rig.after_power_loss(), [1, 4]);
}

#[test]
fn a_full_disk_is_answered_at_once_and_later_batches_are_stored() {
    let mut rig = Rig::new(|_| {});
    assert!(rig.try_append(1, 1));
    rig.faults.is_full.store(true, Ordering::SeqCst);
    for number in 2..5 {
        assert!(!rig.try_append(number, 50));
    }
    assert_eq!(all(&rig.log, &room("r"), 0).len(), 1, "reads still work");
    assert_eq!(rig.after_kill(), [1]);
    rig.faults.is_full.store(false, Ordering::SeqCst);
    assert!(rig.try_append(9, 1), "the first batch after it");
    assert_eq!(rig.after_power_loss(), [1, 9]);
}

#[test]
fn a_checkpoint_whose_sync_failed_loses_nothing() {
    // A checkpoint after every commit.
    let mut rig = Rig::new(|options| options.checkpoint_bytes = 1);
    let mut expected = Vec::new();
    *rig.faults.sync_of.lock().unwrap() = "volley.db";
    for number in 1..20 {
        if number % 3 == 0 {
            rig.faults.failing_syncs.store(1, Ordering::SeqCst);
        }
        assert!(rig.try_append(number, 1), "the write-ahead log has it");
        expected.push(number);
        assert_eq!(rig.after_power_loss(), expected);
    }
}

#[test]
fn pages_of_a_failed_checkpoint_are_copied_again() {
    let mut rig = Rig::new(|options| options.checkpoint_bytes = 200_000);
    let mut expected = Vec::new();
    let mut append = |rig: &Rig, number: u64, count: u64| {
        assert!(rig.try_append(number, count));
        expected.extend(number..number + count);
    };
    append(&rig, 10_000, 1_500);
    // A reader holds the log at this point, so the checkpoint copies only up to it, does not sync, and remembers how
    // far it came.
    let reader = schema::reader(&rig.scratch.options().directory.join("volley.db"), Some(VFS)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events;").unwrap();
    append(&rig, 20_000, 1_500);
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    // The next checkpoint copies the rest, and its sync fails. The pages of the first checkpoint are lost with it.
    *rig.faults.sync_of.lock().unwrap() = "volley.db";
    rig.faults.failing_syncs.store(1, Ordering::SeqCst);
    append(&rig, 30_000, 2_500);
    rig.eventually("the failed sync", || rig.faults.failing_syncs.load(Ordering::SeqCst) == 0);
    // One more checkpoint, and a batch that overwrites the beginning of the write-ahead log.
    append(&rig, 40_000, 3_000);
    append(&rig, 50_000, 1);
    assert!(rig.after_power_loss() == expected, "the copy has a hole");
}

#[test]
fn a_slow_device_holds_up_no_append_and_one_commit_serves_all_that_waited() {
    let rig = Rig::new(|_| {});
    assert!(rig.try_append(1, 1));
    let sinks: Vec<_> = (0..20).map(|n| (room(&format!("r{n}")), Collector::new(usize::MAX))).collect();
    for (name, sink) in &sinks {
        rig.log.open(name, sink.clone()).unwrap();
    }
    rig.faults.close_gate();
    let syncs = rig.faults.syncs.load(Ordering::SeqCst);
    rig.append(2, 1).unwrap();
    rig.eventually("the sync began", || rig.faults.syncs.load(Ordering::SeqCst) > syncs);
    // The storage thread is blocked by the device: appends and reads continue.
    for (name, _) in &sinks {
        rig.log.append(name, 7, numbered(0..3), 1).unwrap();
    }
    assert_eq!(all(&rig.log, &room("r"), 0).len(), 1, "history can be read meanwhile");
    for (name, sink) in &sinks {
        sink.assert_quiet(&rig.log, name);
    }
    rig.faults.open_gate();
    assert!(rig.sink.outcome().1.is_ok());
    for (_, sink) in &sinks {
        assert_eq!(sink.outcome().1.unwrap().len(), 3);
    }
    assert_eq!(rig.faults.syncs.load(Ordering::SeqCst), syncs + 2, "one commit for twenty rooms");
}

#[test]
fn after_random_faults_and_power_losses_the_log_is_what_was_delivered() {
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let checkpoint_bytes = [1, 60_000, CHECKPOINT_BYTES][seed as usize % 3];
        let mut rig = Rig::new(|options| options.checkpoint_bytes = checkpoint_bytes);
        *rig.faults.sync_of.lock().unwrap() = ["", "-wal", "volley.db"][random.random_range(0..3)];
        let mut expected = Vec::new();
        for step in 1..25 {
            if random.random_ratio(1, 3) {
                let torn = (0..4).map(|_| random.random_range(0..4));
                rig.faults.torn_every.lock().unwrap().extend(torn);
                rig.faults.failing_syncs.store(random.random_range(1..4), Ordering::SeqCst);
            }
            rig.faults.is_full.store(random.random_ratio(1, 8), Ordering::SeqCst);
            let (number, count) = (step * 1_000, random.random_range(1..200));
            if rig.try_append(number, count) {
                expected.extend(number..number + count);
            }
            if random.random_ratio(1, 4) {
                assert_eq!(rig.after_power_loss(), expected, "seed {seed}, step {step}");
            }
        }
        rig.faults.is_full.store(false, Ordering::SeqCst);
        assert_eq!(rig.after_kill(), expected, "seed {seed}");
    }
}
