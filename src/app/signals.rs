//! The server's reactions to signals. `docs/operations.md` has the table.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that have no effect. Each would end a process that does not catch it.
const DEAF: [(&str, SignalKind); 3] = [
    ("SIGHUP", SignalKind::hangup()),
    ("SIGUSR1", SignalKind::user_defined1()),
    ("SIGUSR2", SignalKind::user_defined2()),
];

/// A file has reached its size limit (`ulimit -f`). If the signal is caught, the write fails instead, as on a full
/// disk.
const FILE_TOO_LARGE: SignalKind = SignalKind::from_raw(libc::SIGXFSZ);

type NamedSignals = Vec<(&'static str, Signal)>;

/// The signals, on a runtime of the main thread's own, so that they are received even if all other threads are stuck.
pub(super) struct Signals {
    runtime: Runtime,
    deaf: NamedSignals,
    stop: NamedSignals,
    _file_too_large: Signal,
}

impl Signals {
    /// From now on only SIGTERM and SIGINT end the process. They end it at once: there is nothing to drain before the
    /// server is ready.
    ///
    /// # Errors
    /// The system refuses a descriptor or a handler.
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let within = runtime.enter();
        let deaf = DEAF.iter().map(|(name, kind)| Ok((*name, signal(*kind)?))).collect::<io::Result<_>>()?;
        let file_too_large = signal(FILE_TOO_LARGE)?;
        drop(within);
        Ok(Self { runtime, deaf, stop: Vec::new(), _file_too_large: file_too_large })
    }

    /// From now on SIGTERM and SIGINT ask for a drain. Called before the server is announced as ready.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(super) fn expect_the_end(&mut self) -> io::Result<()> {
        let _within = self.runtime.enter();
        for (name, kind) in [("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())] {
            self.stop.push((name, signal(kind)?));
        }
        Ok(())
    }

    /// Returns when the server is asked to stop.
    pub(super) fn until_asked_to_stop(&mut self) {
        let Self { runtime, deaf, stop, .. } = self;
        runtime.block_on(async {
            loop {
                let (name, asks_to_stop) = next(deaf, stop).await;
                if asks_to_stop {
                    return tracing::info!(signal = name, "asked to stop");
                }
                tracing::warn!(signal = name, "nothing is reloaded: a changed configuration needs a restart");
            }
        });
    }

    /// Runs `drain` on its own thread and handles signals meanwhile. `None` if it panicked.
    pub(super) fn while_draining<T: Send + 'static>(mut self, drain: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let Self { runtime, deaf, stop, .. } = &mut self;
        runtime.block_on(async {
            let mut draining = tokio::task::spawn_blocking(drain);
            loop {
                tokio::select! {
                    biased;
                    done = &mut draining => return done.ok(),
                    (name, _) = next(deaf, stop) => {
                        tracing::warn!(signal = name, "already draining; SIGKILL or SIGQUIT end it at once");
                    }
                }
            }
        })
    }
}

/// The next signal's name, and whether it asks to stop.
async fn next(deaf: &mut NamedSignals, stop: &mut NamedSignals) -> (&'static str, bool) {
    poll_fn(|cx| {
        for (signals, asks_to_stop) in [(&mut *stop, true), (&mut *deaf, false)] {
            for (name, signal) in signals.iter_mut() {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready((*name, asks_to_stop));
                }
            }
        }
        Poll::Pending
    })
    .await
}
