//! The shards as other threads see them: how many there are, and how to reach them.

use crate::health::{Health, thread};
use crate::limits::INBOX_ENTRIES;
use crate::metrics::ShardMetrics;
use crate::shard::inbox::Inbox;
use crate::shard::message::{Load, Message, WAKER};
use crate::shard::tenant::{NewConn, Tenant};
use crate::shard::worker::mailboxes::Mailboxes;
use crate::shard::worker::{ShardSettings, Worker, WorkerSeat};
use crossbeam::utils::CachePadded;
use mio::{Poll, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// A shard that has up to 1/16 more connections than the emptiest shard is still given the connections of its own
/// rooms. With 10,000 rooms of two over four shards, nine viewers in ten then sit on their room's shard. Half of this
/// share would leave more of them on other shards; twice the share would make a large room's pass on its own shard that
/// much longer than on the others.
const NEAR_SHARE: usize = 16;

/// All shards. Cheap to clone.
pub struct Shards<T: Tenant> {
    inner: Arc<[ShardEnd<T>]>,
}

/// One shard as other threads see it: its inbox, and the load that it reports.
type ShardEnd<T> = (Arc<Inbox<Message<T>>>, Arc<CachePadded<Load>>);

impl<T: Tenant> Clone for Shards<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: Tenant + 'static> Shards<T> {
    /// Starts `count` shard threads. Each makes its own tenant from its number and a handle to all shards.
    ///
    /// # Errors
    /// When the system has no more descriptors or threads.
    pub fn start<F>(
        count: usize,
        settings: ShardSettings,
        health: &Health,
        make_tenant: F,
    ) -> io::Result<(Self, Vec<JoinHandle<()>>)>
    where
        F: Fn(u16, Shards<T>) -> T + Send + Sync + 'static,
        T::Session: 'static,
    {
        let polls = (0..count).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let inner = polls
            .iter()
            .map(|poll| {
                let inbox = Inbox::new(INBOX_ENTRIES, Waker::new(poll.registry(), WAKER)?);
                Ok((inbox, Arc::new(CachePadded::new(Load::default()))))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let shards = Self { inner: inner.into() };
        let make_tenant = Arc::new(make_tenant);
        let threads = polls
            .into_iter()
            .enumerate()
            .map(|(index, poll)| {
                let (shards, settings, make_tenant) = (shards.clone(), settings, make_tenant.clone());
                thread::vital(health, format!("shard-{index}"), move || {
                    let number = u16::try_from(index).expect("shards are counted in u16");
                    let tenant = make_tenant(number, shards.clone());
                    let load = shards.inner[index].1.clone();
                    let inboxes = shards.inner.iter().map(|(inbox, _)| inbox.clone()).collect();
                    let mail = Mailboxes::new(number, inboxes);
                    let seat = WorkerSeat { poll, mail, load, metrics: ShardMetrics::new(index) };
                    // The worker has its inbox; a handle of its own would keep all inboxes alive.
                    drop(shards);
                    let load = seat.load.clone();
                    Worker::new(seat, settings, tenant).run();
                    // A shard that has closed all its connections is not stuck.
                    load.cycle_began_us.store(u64::MAX, Ordering::Relaxed);
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok((shards, threads))
    }

    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Never true: at least one shard was started.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Sends `message` to shard `number`.
    ///
    /// # Errors
    /// Returns the message when the inbox is full.
    pub fn send(&self, number: u16, message: Message<T>) -> Result<(), Message<T>> {
        self.inner[usize::from(number)].0.push(message)
    }

    /// Wakes shard `number`, so that it does its tenant's due work.
    pub fn nudge(&self, number: u16) {
        self.inner[usize::from(number)].0.nudge();
    }

    /// Gives a connection to the shard with the fewest connections.
    ///
    /// # Errors
    /// Gives it back when that shard's inbox is full.
    pub fn accept(&self, conn: Box<NewConn<T::Hello>>) -> Result<(), Box<NewConn<T::Hello>>> {
        self.seat(emptiest(self.counts()), conn)
    }

    /// Gives a connection to shard `near`, the home of its room, unless that shard has clearly more connections than
    /// the emptiest one, which then gets it. So viewers of small rooms mostly sit on their room's shard, and comments
    /// there need not pass between shards; viewers of a large room are spread.
    ///
    /// # Errors
    /// Returns the connection when the shard's inbox is full.
    pub fn accept_near(&self, near: u16, conn: Box<NewConn<T::Hello>>) -> Result<(), Box<NewConn<T::Hello>>> {
        self.seat(nearest(self.counts(), usize::from(near)), conn)
    }

    fn counts(&self) -> impl Iterator<Item = usize> + Clone {
        self.inner.iter().map(|(_, load)| load.connections.load(Ordering::Relaxed))
    }

    fn seat(&self, shard: usize, conn: Box<NewConn<T::Hello>>) -> Result<(), Box<NewConn<T::Hello>>> {
        let (inbox, load) = &self.inner[shard];
        // Counted now, not when the shard takes it: otherwise a burst would all go to one shard.
        load.connections.fetch_add(1, Ordering::Relaxed);
        inbox.push(Message::Accept(conn)).map_err(|message| {
            load.connections.fetch_sub(1, Ordering::Relaxed);
            let Message::Accept(conn) = message else { unreachable!("it was an accept") };
            conn
        })
    }

    /// The load that shard `number` reports.
    pub fn load(&self, number: u16) -> &Load {
        &self.inner[usize::from(number)].1
    }

    /// Connections of all shards together.
    pub fn connections(&self) -> usize {
        self.inner.iter().map(|(_, load)| load.connections.load(Ordering::Relaxed)).sum()
    }

    /// When the shard with the longest current duty cycle began it, in monotonic microseconds.
    pub fn oldest_cycle_us(&self) -> u64 {
        self.inner.iter().map(|(_, load)| load.cycle_began_us.load(Ordering::Relaxed)).min().unwrap_or(0)
    }
}

/// The shard with the fewest connections.
fn emptiest(counts: impl Iterator<Item = usize>) -> usize {
    counts.enumerate().min_by_key(|(_, count)| *count).map_or(0, |(shard, _)| shard)
}

/// Shard `near`, or the one with the fewest connections if `near` has clearly more.
fn nearest(counts: impl Iterator<Item = usize> + Clone, near: usize) -> usize {
    let fewest = counts.clone().min().unwrap_or(0);
    let is_full = counts.clone().nth(near).is_none_or(|count| count > fewest + fewest / NEAR_SHARE);
    if is_full { emptiest(counts) } else { near }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_of_small_rooms_sit_near_their_rooms_and_those_of_a_large_one_are_spread() {
        let mut counts = [0_usize; 4];
        let mut near = 0;
        // Twice through the rooms, as a load generator or a restart brings them.
        for n in 0..20_000_u64 {
            let home = crate::log::digest::fnv1a(&(n % 10_000).to_le_bytes()) as usize >> 7 & 3;
            let shard = nearest(counts.into_iter(), home);
            counts[shard] += 1;
            near += usize::from(shard == home);
        }
        assert!(near > 18_000, "{near} of 20,000; {counts:?}");
        assert!(counts.iter().all(|count| (4_700..=5_300).contains(count)), "{counts:?}");

        let mut counts = [0_usize; 4];
        (0..18_000).for_each(|_| counts[nearest(counts.into_iter(), 2)] += 1);
        assert!(counts.iter().all(|count| (4_300..=4_750).contains(count)), "{counts:?}");
    }
}
