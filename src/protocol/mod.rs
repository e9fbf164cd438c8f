//! The words on the wire (`docs/protocol.md`): ids, events, frames, messages, their two encodings,
//! close and error codes.
//!
//! Does not know: sockets, clocks, tokio, configuration, or any rule of a room.

pub mod codes;
pub mod deflate;
pub mod encode;
pub mod event;
pub mod frame;
pub mod history;
pub mod ids;
pub mod kind;
pub mod local;
pub mod message;
pub mod page;
pub mod parse;
pub mod settings;
mod shown;
pub mod splice;
pub mod user;
mod value;
pub mod variant;
pub mod websocket;
