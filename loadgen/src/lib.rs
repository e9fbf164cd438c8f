//! loadgen: real WebSocket viewers and senders for Volley, and the numbers they see.
//!
//! | folder | command | is |
//! |---|---|---|
//! | `wire` | | what travels over sockets: WebSocket frames, the upgrade, a client's connection, the admin API |
//! | `run` | `loadgen` | one measured run: scenario, workers, ledger, report |
//! | `plan` | `loadgen plan` | what a show will need, calculated beforehand |
//! | `history` | | the JSON lines in which clients, an auditor and a fault driver write down what they saw |
//! | `check` | `loadgen check` | the rules that a history must keep |
//! | `chaos` | `loadgen chaos` | faults on purpose, judged by `check` |
//!
//! `cli` turns flags into a scenario or a command; `args` holds what flags of several commands share; `secret` is the admin
//! address's key; `clock` and `proc`
//! read the host. `history` and `check` import nothing of Volley, so that a wrong message type of the server cannot make
//! the checker agree with it.

// The library is the program's own: an item whose name says everything needs no line that repeats it.
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
