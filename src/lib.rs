//! Volley: a live-stream danmaku (bullet comment) broadcaster.
//!
//! The server is also a library: a [`Node`] is one whole server inside another program, started from a
//! [`Config`] whose defaults are those of the `volley` command.
//!
//! ```
//! use std::io::{Read, Write};
//! use volley::{Config, Data, Node};
//!
//! let mut config = Config::default();
//! config.addresses.listen = "127.0.0.1:0".parse()?; // Port 0: the system chooses a free one.
//! config.addresses.admin = "127.0.0.1:0".parse()?;
//! config.data = Data::Memory;
//! config.drain_ms = 0;
//! let node = Node::start(config)?;
//!
//! let mut socket = std::net::TcpStream::connect(node.public_address())?;
//! write!(socket, "GET /v1/rooms HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! socket.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
//!
//! node.drain();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Node::start_on`] takes a [`Log`] of the caller's own. An [`Authenticator`] says who a client is. All
//! other modules are public for the workspace's benchmarks and fuzz targets, and may change in any version.
//!
//! # Reading the source
//!
//! Read the modules in this order and you follow one comment from socket to screen:
//! `gateway` accepts the socket, `shard` reads it, `policy` admits the comment, `room` gathers it into
//! this tick's batch, `log` gives it an offset, `protocol` encodes the frame once, and `shard` sends it
//! to every subscriber. `ARCHITECTURE.md` is that walk in prose.
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

pub use app::{Node, StartError};
pub use config::{Config, ConfigError, ConfigErrors, Data};
pub use log::{AppendError, Log, OpenError, ReadError};
pub use policy::auth::{AuthError, Authenticator, Identity};

#[doc(hidden)]
pub mod app;

#[doc(hidden)]
pub mod api;
#[doc(hidden)]
pub mod gateway;

#[doc(hidden)]
pub mod room;
#[doc(hidden)]
pub mod shard;

#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod policy;

#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod health;
#[doc(hidden)]
pub mod protocol;

#[doc(hidden)]
pub mod base_path;
#[doc(hidden)]
pub mod bearer;
#[doc(hidden)]
pub mod bell;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod console;
#[doc(hidden)]
pub mod explain;
#[doc(hidden)]
pub mod faults;
#[doc(hidden)]
pub mod host;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod origin;
#[doc(hidden)]
pub mod shutdown;
