//! The threads and tasks without which the node is broken. Every long-lived one is started here (`tests/tidy.rs`): if it
//! ends by a panic, its work would never be done again behind a process that looks alive, so the process ends with it.
//! A supervisor restarts it, clients resume, and what was acknowledged is in the log.

use super::Health;
use crate::console;
use crate::faults::fail_point;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};
use std::thread::{Builder, JoinHandle};

/// Starts a thread that ends the process if it panics. It may end by itself.
///
/// # Errors
/// When the system has no more threads.
pub fn vital<T: Send + 'static>(
    health: &Health,
    name: impl Into<String>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let (health, name) = (health.clone(), name.into());
    Builder::new().name(name.clone()).spawn(move || {
        let bomb = Bomb;
        let run = || {
            fail_point!(&name);
            run()
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(value) => {
                std::mem::forget(bomb);
                value
            }
            Err(_) => end(&health, &name),
        }
    })
}

/// The same for a task, and for one that fails. It may end well.
pub async fn vital_task<E: Display>(health: Health, name: &'static str, run: impl Future<Output = Result<(), E>>) {
    let mut run = pin!(run);
    let mut poll = |cx: &mut Context<'_>| {
        fail_point!(name);
        run.as_mut().poll(cx)
    };
    let guarded = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    });
    match guarded.await {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            tracing::error!(task = name, %error, "cannot go on");
            end(&health, name);
        }
        None => end(&health, name),
    }
}

/// Ends the process even if what says so panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::process::abort();
    }
}

fn end(health: &Health, name: &str) -> ! {
    let _bomb = Bomb;
    // For whoever asks while the last lines are written.
    let part = health.part(name);
    part.fail("it has ended, and the process ends with it");
    tracing::error!(part = name, "ended by a bug or an error; the process ends with it");
    console::flush();
    std::process::abort()
}
