//! Bounds of histograms' buckets that several tables use.

/// Passes and ticks: 0.1 ms to 1 s. The default tick is 100 ms, so the interesting durations lie between 1 % of it and
/// ten times it.
pub(super) const STEP_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Handshakes and reads of the log: 0.1 ms on a quiet machine up to the deadline of 5 s.
pub(super) const HANDSHAKE_SECONDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
