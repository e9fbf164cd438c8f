//! One row per metric: its kind, its name, its buckets, its help text, and the fields that count it.
//!
//! A row of [`metrics!`] ends with the fields that hold the metric's series: one, one per value of a label, or an array
//! with one series per value.
//!
//! ```text
//! counter "volley_sends_total", "System calls that sent frames." => sends;
//! counter "volley_gaps_total", "Gaps, by reason." => gaps_slow ["reason" = "slow"], gaps_overload ["reason" = "overload"];
//! counter "volley_shed_total", "Events left out of frames, by class." => shed ["class" each CLASSES];
//! histogram "volley_pass_seconds" in SECONDS, "Duration of a pass." => pass_seconds;
//! ```
//!
//! Does not know: the meaning of any metric.

use ::metrics::{Counter, Label};

/// The rows of one struct: its fields are handles, `labelled` makes them, `describe` gives the metrics their help texts,
/// and `buckets` lists the histograms' bounds.
macro_rules! metrics {
    ($($(#[$meta:meta])* pub struct $name:ident { $(
        $kind:ident $metric:literal $(in $buckets:expr)?, $help:literal => $($field:ident $([$($label:tt)+])?),+;
    )+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $help] pub $field: $crate::metrics::table::handle_type!($kind $($($label)+)?),)+)+
        }

        impl $name {
            /// The series that have these labels besides their own. The same labels give the same series.
            pub(super) fn labelled(labels: &[::metrics::Label]) -> Self {
                Self {
                    $($($field: $crate::metrics::table::handle!($kind, $metric, labels $(, $($label)+)?),)+)+
                }
            }

            pub(super) fn describe() {
                $($crate::metrics::table::describe!($kind, $metric, $help);)+
            }

            #[allow(dead_code, reason = "not every table has histograms")]
            pub(super) fn buckets() -> Vec<(&'static str, &'static [f64])> {
                vec![$($(($metric, $buckets),)?)+]
            }
        }
    )+};
}

/// The same for metrics without labels of their owner: `new` and `Default`.
macro_rules! unlabelled {
    ($($name:ident),+) => {$(
        impl $name {
            /// Handles of the process's series: every caller gets the same.
            pub fn new() -> Self {
                Self::labelled(&[])
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    )+};
}

macro_rules! handle_type {
    (counter) => {
        ::metrics::Counter
    };
    (gauge) => {
        ::metrics::Gauge
    };
    (histogram) => {
        ::metrics::Histogram
    };
    ($kind:ident $label:literal = $value:literal) => {
        $crate::metrics::table::handle_type!($kind)
    };
    ($kind:ident $label:literal each $values:expr) => {
        [$crate::metrics::table::handle_type!($kind); $values.len()]
    };
}

macro_rules! handle {
    (counter, $metric:literal, $labels:expr) => {
        ::metrics::counter!($metric, $labels.to_vec())
    };
    (gauge, $metric:literal, $labels:expr) => {
        ::metrics::gauge!($metric, $labels.to_vec())
    };
    (histogram, $metric:literal, $labels:expr) => {
        ::metrics::histogram!($metric, $labels.to_vec())
    };
    ($kind:ident, $metric:literal, $labels:expr, $label:literal = $value:expr) => {
        $crate::metrics::table::handle!($kind, $metric, $crate::metrics::table::with($labels, $label, $value))
    };
    ($kind:ident, $metric:literal, $labels:expr, $label:literal each $values:expr) => {
        $values.map(|value| $crate::metrics::table::handle!($kind, $metric, $labels, $label = value))
    };
}

macro_rules! describe {
    (counter, $metric:literal, $help:literal) => {
        ::metrics::describe_counter!($metric, $help)
    };
    (gauge, $metric:literal, $help:literal) => {
        ::metrics::describe_gauge!($metric, $help)
    };
    (histogram, $metric:literal, $help:literal) => {
        ::metrics::describe_histogram!($metric, $help)
    };
}

pub(super) use {describe, handle, handle_type, metrics, unlabelled};

/// `labels` with one more label.
pub(super) fn with(labels: &[Label], name: &'static str, value: &'static str) -> Vec<Label> {
    labels.iter().cloned().chain([Label::from_static_parts(name, value)]).collect()
}

/// Adds each amount to the counter at its place.
pub fn add_each<const N: usize>(counters: &[Counter; N], amounts: [u64; N]) {
    for (counter, amount) in counters.iter().zip(amounts).filter(|(_, amount)| *amount > 0) {
        counter.increment(amount);
    }
}
