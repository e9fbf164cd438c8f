//! Faults on purpose: starts a server, injects a fault, and lets the checker judge what its clients saw.
//!
//! | file | is |
//! |---|---|
//! | `scenario` | every scenario by name |
//! | `ground` | the parts of each: folder, server, crowd, history, verdict |
//! | `crowd`, `client` | clients that reconnect, repeat comments, and record all they see |
//! | `mass` | thousands of plain viewers that misbehave |
//! | `server` | the process under test |
//! | `shim` | a library between the server and libc: syncs, power losses, the wall clock |
//! | `posts` | the show's owner: gifts, polls, deletions and the like, through the admin API |
//! | `audit`, `record`, `sight` | the log as the history API returns it; the history file; the names in it |
//! | `cli`, `table` | the choice of scenarios, and their results |
//!
//! Needs a server built with the cargo feature `faults`. Kills only processes that it started.
//!
//! Does not know: the server's internals.

mod audit;
mod cli;
mod client;
mod crowd;
mod dice;
mod ground;
mod mass;
mod posts;
mod record;
mod scenario;
mod server;
mod shim;
mod sight;
mod table;

pub use cli::{ChaosArgs, run};
