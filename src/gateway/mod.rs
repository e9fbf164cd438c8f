//! The front door: accepts sockets, answers HTTP, checks upgrades, and hands upgraded sockets over.
//!
//! The door's thread serves a well-formed upgrade request at once. Every other connection is a task, which ends with the
//! hand-over or the connection. An idle viewer costs nothing here. Requests that are no upgrades go to the caller's router.
//!
//! Does not know: shards, frames, the pages, or the use of a socket after the hand-over.

mod accept;
mod admin;
mod agree;
mod answer;
mod connection;
mod direct;
mod door;
mod extension;
mod front;
mod handover;
mod handshake;
mod heads;
mod inquiry;
mod journal;
mod listener;
mod parameters;
mod permit;
mod progress;
mod seats;
mod strict;

pub use handover::{Claim, HandOver, Purpose, Rooms, RoomsFull, Upgraded};
pub use listener::BindError;
pub use permit::{Full, Permit, Permits};

use crate::base_path::BasePath;
use crate::config::Config;
use crate::health::Health;
use crate::host::Hosts;
use crate::metrics::GatewayMetrics;
use crate::origin::Origins;
use crate::policy::auth::Authenticator;
use crate::shutdown::Shutdown;
use axum::Router;
use journal::Journal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The services that the public side uses.
pub struct GatewayState {
    /// The node's rooms.
    pub rooms: Arc<dyn Rooms>,
    /// Says who a client is, before its upgrade is agreed to.
    pub auth: Arc<dyn Authenticator>,
    /// Takes the upgraded sockets.
    pub hand_over: Arc<dyn HandOver>,
    /// Ends the public side; the admin side answers until the process ends.
    pub shutdown: Shutdown,
    /// Counts connections, here and until they close.
    pub permits: Permits,
    /// Where the door reports.
    pub health: Health,
}

/// Both listeners, bound. Nothing is accepted before `serve`.
#[derive(Debug)]
pub struct Gateway {
    /// Pages and WebSockets.
    pub public: Public,
    /// Metrics and health.
    pub admin: Admin,
}

impl Gateway {
    /// Takes both addresses, before anything else starts. Port 0 is whatever is free.
    ///
    /// # Errors
    /// [`BindError`] tells which address, why, and what to do.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let sockets = listener::SocketOptions::of(&config.connection);
        let public = listener::bind("listen", config.addresses.listen, Some(&sockets))?;
        let admin = listener::bind("admin", config.addresses.admin, None)?;
        let settings = Settings {
            handshake: Duration::from_millis(config.admission.handshake_ms),
            origins: config.admission.origins.clone(),
            base: config.addresses.public_path.clone(),
            compression: config.compression.enabled,
        };
        // Without a key, the check of the requested host keeps foreign pages from posting.
        let hosts =
            config.addresses.admin_key.reveal().is_none().then(|| Arc::new(config.addresses.admin_hosts.clone()));
        Ok(Self { public: Public { listener: public, settings }, admin: Admin { listener: admin, hosts } })
    }
}

/// The configuration of connecting.
#[derive(Debug)]
struct Settings {
    handshake: Duration,
    origins: Origins,
    /// The base path of all public addresses.
    base: BasePath,
    compression: bool,
}

/// The public side.
#[derive(Debug)]
pub struct Public {
    listener: listener::Bound,
    settings: Settings,
}

impl Public {
    /// The address that was taken, with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// Accepts and serves until the shutdown begins; then the listener is closed at once. Requests that
    /// still come on open connections are answered 503.
    ///
    /// # Errors
    /// Only if the runtime does not take the socket.
    pub async fn serve(self, state: GatewayState, pages: Router) -> std::io::Result<()> {
        let listener = self.listener.into_mio();
        let metrics = GatewayMetrics::new();
        let context = Arc::new(Context { state, settings: self.settings, metrics, journal: Journal::default() });
        let shutdown = context.state.shutdown.clone();
        let (door, latch) = door::Door::new(listener, context, pages)?;
        let closed = door.open()?;
        shutdown.begun().await;
        drop(latch);
        // An error would be a door that is gone already.
        let _ = closed.await;
        Ok(())
    }
}

/// The admin side.
#[derive(Debug)]
pub struct Admin {
    listener: listener::Bound,
    /// The names that it answers to; `None`: all.
    hosts: Option<Arc<Hosts>>,
}

impl Admin {
    /// The address that was taken, with its actual port.
    pub fn address(&self) -> SocketAddr {
        self.listener.address
    }

    /// Accepts and serves until this future is dropped, so that a drain can be watched. Runs on a runtime of its own, so that
    /// it can report on the others.
    ///
    /// # Errors
    /// Only if the runtime does not take the socket.
    pub async fn serve(self, pages: Router) -> std::io::Result<()> {
        let bound = self.listener.address.ip();
        let listener = self.listener.into_tokio()?;
        admin::serve(listener, pages, self.hosts.map(|hosts| front::Names { hosts, bound })).await;
        Ok(())
    }
}

/// What every connection of the public side shares.
struct Context {
    state: GatewayState,
    settings: Settings,
    metrics: GatewayMetrics,
    journal: Journal,
}

#[cfg(test)]
mod tests {
    use crate::metrics::ConnectionMetrics;
    use crate::protocol::codes::Close;

    #[test]
    fn every_close_code_of_the_wire_has_a_series_of_its_own() {
        for close in Close::ALL {
            assert!(ConnectionMetrics::has_series(close.code()), "{close:?} would be counted as other");
        }
    }
}
