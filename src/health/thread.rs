//! Starts the threads and tasks without which the node does not work. Every long-lived one is started here, which
//! `tests/tidy/main.rs` checks. If one panics, the process would look alive without doing its work, so the process ends
//! too. A supervisor restarts it, clients resume, and the log has everything that was acknowledged.
//!
//! Does not know: the work of a thread.

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

/// Starts a thread whose panic ends the process. It may return.
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

/// Runs a task whose panic or error ends the process. It may return `Ok`.
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
            tracing::error!(task = name, %error, "a task of the server failed");
            end(&health, name);
        }
        None => end(&health, name),
    }
}

/// Ends the process even if the report of the end panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::process::abort();
    }
}

fn end(health: &Health, name: &str) -> ! {
    let _bomb = Bomb;
    // Requests to `/healthz` are still answered while the last log lines are written.
    let part = health.part(name);
    part.fail("it has ended, and the process ends with it");
    tracing::error!(part = name, "ended by a bug or an error; the process ends with it");
    console::flush();
    std::process::abort()
}
