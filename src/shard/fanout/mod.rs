//! One frame to many subscribers: a room's ring of frames, its dense slots, and the pass over them.
//!
//! Does not know: the tenant, the duty cycle, clients' messages.

pub mod pass;
pub mod ring;

pub(super) mod kept;
pub(super) mod raw;
pub(super) mod rooms;
