//! A shard's inbox: a bounded lock-free queue that wakes its shard only when it sleeps.

use crate::bell::Bell;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// The queue, and the waker of the shard that empties it.
pub struct Inbox<T> {
    queue: ArrayQueue<T>,
    bell: Bell,
    waker: mio::Waker,
}

impl<T> Inbox<T> {
    /// An empty inbox with space for `entries` items, which wakes the poll of `waker`.
    pub fn new(entries: usize, waker: mio::Waker) -> Arc<Self> {
        Arc::new(Self { queue: ArrayQueue::new(entries), bell: Bell::new(false), waker })
    }

    /// Adds `item`, in order with this thread's earlier pushes, and wakes the shard if it sleeps.
    ///
    /// # Errors
    /// Returns `item` when the inbox is full.
    pub fn push(&self, item: T) -> Result<(), T> {
        self.queue.push(item)?;
        self.nudge();
        Ok(())
    }

    /// Wakes the shard if it sleeps, without a message.
    pub fn nudge(&self) {
        if self.bell.rings() {
            // It fails only if the poll is gone, and then no shard sleeps there.
            let _ = self.waker.wake();
        }
    }

    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the shard may sleep now. If so, every push wakes it until [`Inbox::wake_up`].
    pub fn fall_asleep(&self) -> bool {
        self.bell.lie_down();
        if self.queue.is_empty() {
            return true;
        }
        self.bell.get_up();
        false
    }

    /// The shard is awake, so pushes cost no system call.
    pub fn wake_up(&self) {
        self.bell.get_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token, Waker};
    use std::time::Duration;

    fn inbox(entries: usize) -> (Poll, Arc<Inbox<u64>>) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        (poll, Inbox::new(entries, waker))
    }

    #[test]
    fn a_full_inbox_returns_the_item() {
        let (_poll, inbox) = inbox(2);
        assert_eq!((inbox.push(1), inbox.push(2), inbox.push(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((inbox.pop(), inbox.len()), (Some(1), 1));
    }

    #[test]
    fn a_sleeper_is_always_woken_and_order_per_producer_holds() {
        const PRODUCERS: u64 = 3;
        const ITEMS: u64 = 20_000;
        let (mut poll, inbox) = inbox(1_024);
        let threads: Vec<_> = (0..PRODUCERS)
            .map(|p| {
                let inbox = inbox.clone();
                std::thread::spawn(move || {
                    for n in 0..ITEMS {
                        let mut item = p * ITEMS + n;
                        while let Err(back) = inbox.push(item) {
                            item = back;
                            std::thread::yield_now();
                        }
                        if n % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut next = [0; PRODUCERS as usize];
        let mut events = Events::with_capacity(8);
        while next.iter().sum::<u64>() < PRODUCERS * ITEMS {
            if let Some(item) = inbox.pop() {
                let producer = (item / ITEMS) as usize;
                assert_eq!(item % ITEMS, next[producer]);
                next[producer] += 1;
            } else if inbox.fall_asleep() {
                poll.poll(&mut events, Some(Duration::from_secs(30))).unwrap();
                assert!(!events.is_empty(), "slept through a push");
                inbox.wake_up();
            }
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}
