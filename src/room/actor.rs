//! A room's actor: gathers, appends, applies, frames. Runs on its home shard; no I/O but the log's.
