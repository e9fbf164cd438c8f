//! The queue to the storage thread: gathers the commands of one transaction, and decides when it begins.
//!
//! Does not know: what becomes of the commands.

use super::pace::CommitPace;
use crate::clock;
use crate::limits::{LOG_GROUP_BYTES_MAX, LOG_GROUP_MAX};
use crate::log::OpenError;
use crate::log::disk::shared::{LogCommand, LogShared};
use crossbeam::channel::Receiver;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) struct Intake {
    queue: Receiver<LogCommand>,
    /// Taken out of the queue while a commit was in doubt, and not yet done.
    backlog: VecDeque<LogCommand>,
    pace: CommitPace,
}

/// The commands of one transaction.
#[derive(Default)]
struct CommandGroup {
    commands: Vec<LogCommand>,
    appends: usize,
    bytes: usize,
}

impl CommandGroup {
    /// Says whether one more command may follow.
    fn add(&mut self, command: LogCommand) -> bool {
        if let LogCommand::Append { bytes, .. } = &command {
            self.appends += 1;
            self.bytes += bytes;
        }
        self.commands.push(command);
        self.bytes < LOG_GROUP_BYTES_MAX && self.commands.len() < LOG_GROUP_MAX
    }
}

impl Intake {
    pub(super) fn new(queue: Receiver<LogCommand>, pace: CommitPace) -> Self {
        Self { queue, backlog: VecDeque::new(), pace }
    }

    /// The commands of the next transaction; none if none came within `idle`. A log that is being stopped does not
    /// wait.
    pub(super) fn gather(&mut self, shared: &LogShared, idle: Duration) -> Vec<LogCommand> {
        let mut group = CommandGroup::default();
        while let Some(command) = self.backlog.pop_front() {
            if !group.add(command) {
                return full(group, shared);
            }
        }
        if group.commands.is_empty() {
            let idle = if shared.is_stopping.load(Ordering::Acquire) { Duration::ZERO } else { idle };
            match self.queue.recv_timeout(idle) {
                // An empty group takes any command.
                Ok(command) => drop(group.add(command)),
                Err(_) => return group.commands,
            }
        }
        self.pace.came(clock::now_us());
        loop {
            let before = group.commands.len();
            while let Ok(command) = self.queue.try_recv() {
                if !group.add(command) {
                    return full(group, shared);
                }
            }
            let now_us = clock::now_us();
            if group.commands.len() > before {
                self.pace.came(now_us);
            }
            // A room has at most one batch in flight.
            let is_all = group.appends >= shared.count.load(Ordering::Acquire);
            match self.pace.wait_us(now_us, is_all) {
                0 => return group.commands,
                // Asleep, and not waiting at the queue, where each batch of the burst would wake this thread.
                wait_us => std::thread::park_timeout(Duration::from_micros(wait_us)),
            }
        }
    }

    /// A commit begins now.
    pub(super) fn begin(&mut self, now_us: u64) {
        self.pace.begin(now_us);
    }

    /// Answers all requests to open a room: they do not wait until a broken device works again.
    pub(super) fn refuse_opens(&mut self) {
        let waiting = std::mem::take(&mut self.backlog).into_iter().chain(self.queue.try_iter());
        let mut kept = VecDeque::new();
        for command in waiting {
            match command {
                LogCommand::Open(open) => open.answer(Err(OpenError::Unavailable)),
                other => kept.push_back(other),
            }
        }
        self.backlog = kept;
    }

    /// Commands in the queue.
    pub(super) fn depth(&self) -> usize {
        self.queue.len()
    }
}

fn full(group: CommandGroup, shared: &LogShared) -> Vec<LogCommand> {
    shared.metrics.groups_full.increment(1);
    group.commands
}
