//! loadgen: real WebSocket viewers and senders for Volley, and the numbers they see.
//!
//! | folder | command | is |
//! |---|---|---|
//! | `wire` | | the client side of sockets: WebSocket frames, the upgrade, a connection, the admin API |
//! | `run` | `loadgen` | one measured run: scenario, workers, ledger, report |
//! | `plan` | `loadgen plan` | the calculation of what a show will need |
//! | `history` | | the JSON lines in which clients, an auditor and a fault driver record what they saw |
//! | `check` | `loadgen check` | the rules that a history must keep |
//! | `chaos` | `loadgen chaos` | faults on purpose, judged by `check` |
//!
//! `cli` turns flags into a scenario or a command; `args` has the flags of several commands; `secret` is the admin key;
//! `clock` and `proc` read the host. `history` and `check` import nothing of Volley, so that a wrong message type of
//! the server cannot make the checker agree with it.

// Only the program uses the library, so an item whose name is enough needs no doc line.
#![allow(missing_docs)]

pub mod args;
pub mod chaos;
pub mod check;
pub mod cli;
pub mod clock;
pub mod history;
pub mod plan;
pub mod proc;
pub mod run;
pub mod secret;
pub mod wire;
