//! The flag that says that the process is stopping, with an async wait for it.
//!
//! Does not know: who stops, or what stopping means to them.

use std::sync::Arc;
use tokio::sync::watch;

/// Tells that the process is stopping. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)) }
    }
}

impl Shutdown {
    /// Starts the shutdown. Idempotent.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        *self.sender.borrow()
    }

    /// Completes when the shutdown begins (at once if it has).
    pub async fn begun(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in self, so that waiting can only end with the value.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}
