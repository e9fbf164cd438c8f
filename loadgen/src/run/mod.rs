//! One measured run. A [`scenario`] is divided into plans for workers. A [`worker`] is a thread of this process, or a
//! separate process if the descriptors of one do not suffice, and runs thousands of viewers in one readiness loop. The
//! [`conductor`] starts the workers, sets their times and joins their results; the [`ledger`] judges what they saw; the
//! [`report`] presents it.
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
