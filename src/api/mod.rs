//! HTTP resources: the pages, the room list and rooms' histories for everybody; metrics, health and every
//! room's figures for operators; events of the show's owner.
//!
//! Does not know: sockets, upgrades, shards, how anything is counted, or how a log is stored.

mod announce;
mod archive;
mod body;
mod error;
mod events;
mod export;
mod history;
mod intake;
mod key;
mod ops;
mod pages;
mod posting;
mod query;
mod refused;
mod rooms;
mod site;
mod targets;

pub use key::AdminKey;
pub use pages::File;
pub use posting::{PostFailure, PostFuture, Posts};
pub use site::Site;

use crate::log::Log;
use crate::metrics::Exporter;
use crate::room::registry::RoomHandle;
use crate::shutdown::Shutdown;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One verdict of admission, how often: kind of message, verdict, count.
pub type Verdict = (&'static str, &'static str, u64);

/// Lists the rooms that are open.
pub type ListRooms = Arc<dyn Fn() -> Vec<Arc<RoomHandle>> + Send + Sync>;

/// The state that the resources read. The closures are called per request, so they are cheap and never
/// block.
pub struct ApiState {
    pub rooms: ListRooms,
    /// Admission's verdicts so far.
    pub verdicts: Box<dyn Fn() -> Vec<Verdict> + Send + Sync>,
    /// Whether the process works.
    pub health: Box<dyn Fn() -> HealthReport + Send + Sync>,
    /// Rooms' logs. Read on threads that may wait.
    pub log: Arc<dyn Log>,
    /// Takes the owner's events to rooms.
    pub posts: Arc<dyn Posts>,
    /// What changes something needs it.
    pub key: Arc<AdminKey>,
    pub exporter: Exporter,
    /// Whether the process stops.
    pub shutdown: Shutdown,
    /// Whether the process has begun to accept.
    pub listening: Listening,
}

/// Whether the process works: every thread moves, and no part reports a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthReport {
    Working,
    /// The parts that fail, for the operator.
    Failing(String),
}

/// Set once the public side accepts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Listening(Arc<AtomicBool>);

impl Listening {
    /// From now on, `/readyz` says ready.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// For everybody: pages, the room list, histories. Admin paths are not here.
pub fn public(state: Arc<ApiState>, site: Site) -> Router {
    let list = Arc::new(rooms::List::default());
    let history = Arc::new(history::History::new(state.log.clone()));
    let exports = Arc::new(export::Exports::new(history.clone()));
    let router = Router::new()
        .route("/", get(pages::index))
        .route("/rooms/{room}", get(pages::watch))
        .route("/rooms/{room}/", get(pages::watch_without_slash))
        .route("/assets/{*path}", get(pages::asset))
        .route("/v1/rooms", get(move || async move { rooms::top(&state, &list) }))
        .route("/v1/rooms/{room}/events", get(history::events).with_state(history))
        .route("/v1/rooms/{room}/export", get(export::export).with_state(exports));
    site::public(finish(router), site)
}

/// For operators.
pub fn admin(state: Arc<ApiState>) -> Router {
    let desk = Arc::new(events::PostDesk::new(&state));
    let router = Router::new()
        .route("/v1/rooms/{room}/events", post(events::post))
        .route("/v1/announce", post(announce::post))
        .with_state(desk)
        .route("/metrics", get(ops::metrics))
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/v1/rooms", get(rooms::all))
        .with_state(state);
    site::admin(finish(router))
}

fn finish(router: Router) -> Router {
    router.fallback(error::not_found).method_not_allowed_fallback(error::method_not_allowed)
}
