//! One measured run. A [`scenario`] becomes plans for workers; a [`worker`] (a thread of this process, or a process of
//! its own when one process's descriptors do not suffice) holds thousands of viewers in one readiness loop; the
//! [`conductor`] starts, times and joins the workers, the [`ledger`] judges what they saw, the [`report`] says it.
//!
//! Does not know: flags, exit codes.

pub mod children;
pub mod conductor;
pub mod crowded;
pub mod group;
pub mod ledger;
pub mod messages;
pub mod poster;
pub mod progress;
pub mod recording;
pub mod report;
pub mod scenario;
pub mod timing;
pub mod wording;
pub mod worker;
