//! The admin address on a thread and runtime of its own: it answers while the public side is busy or stuck.

use crate::gateway;
use crate::health::{Health, thread};
use crate::shutdown::Shutdown;
use axum::Router;
use std::io;
use std::thread::JoinHandle;

pub(super) struct AdminThread {
    end: Shutdown,
    thread: JoinHandle<()>,
}

impl AdminThread {
    /// Serves `resources`. If the listener fails, the process ends, because its health could no longer be asked for.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub(super) fn start(health: &Health, admin: gateway::Admin, resources: Router) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let end = Shutdown::default();
        let asked = end.clone();
        let thread = thread::vital(health, "admin", move || {
            runtime.block_on(async {
                // Spawned rather than blocked on: a future that is blocked on is polled before all tasks.
                let serving = tokio::spawn(admin.serve(resources));
                tokio::select! {
                    served = serving => served.expect("no bug").expect("the runtime takes the admin address"),
                    () = asked.begun() => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { end, thread })
    }

    /// Stops the thread; open connections are closed at once.
    pub(super) fn stop(self) {
        self.end.begin();
        // A panic ends the process where it happens.
        let _ = self.thread.join();
    }
}
