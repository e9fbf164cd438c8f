//! Faults on purpose: starts a server, breaks something, and lets the checker judge what its clients saw.
//!
//! | file | is |
//! |---|---|
//! | `scenario` | every scenario by name |
//! | `ground` | what each stands on: folder, server, crowd, history, verdict |
//! | `crowd`, `client` | clients that come back, send again, and write down all they see |
//! | `mass` | thousands of plain viewers that misbehave |
//! | `server` | the process under test |
//! | `shim` | between the server and libc: syncs, power losses, the wall clock |
//! | `posts` | the show's owner: gifts, polls, deletions and the like, through the admin API |
//! | `audit`, `record`, `sight` | the log as the history API tells it; the history file; how it names what was seen |
//! | `cli`, `table` | which run, and how the results are said |
//!
//! Needs a server built with the cargo feature `faults`. Kills only processes that it started.
//!
//! Does not know: the server's inside.

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
