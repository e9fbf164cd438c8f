//! Volley: a live-stream danmaku (bullet comment) broadcaster.
//!
//! Read the modules in this order and you follow one comment from socket to screen:
//! [`gateway`] accepts the socket, [`shard`] reads it, [`policy`] admits the comment, [`room`] gathers
//! it into this tick's batch, [`log`] gives it an offset, [`protocol`] encodes the frame once, and
//! [`shard`] sends it to every subscriber. `ARCHITECTURE.md` is that walk in prose.
//!
//! A file imports from its own folder and from lower layers only (`tests/tidy/main.rs` enforces it):
//!
//! ```text
//! L5  app
//! L4  gateway   api
//! L3  room  |  shard        (never import each other)
//! L2  log       policy
//! L1  protocol  config    health
//! L0  limits    clock  metrics  shutdown  bell  faults  console  origin
//! ```

// Only the library's own code; what it is and why stands in `clippy.toml`.
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_macros))]

pub mod app;

pub mod api;
pub mod gateway;

pub mod room;
pub mod shard;

pub mod log;
pub mod policy;

pub mod config;
pub mod health;
pub mod protocol;

pub mod base_path;
pub mod bell;
pub mod clock;
pub mod console;
pub mod explain;
pub mod faults;
pub mod host;
pub mod limits;
pub mod metrics;
pub mod origin;
pub mod shutdown;
