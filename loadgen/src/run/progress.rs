//! The progress line on stderr: a live line on a terminal, or a plain line every 2 s.
//!
//! Does not know: how the figures are gathered.

use crate::run::conductor::Glance;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

pub enum ProgressLine {
    Live(ProgressBar),
    /// A file or a pipe, and the time of the last line.
    Plain(Option<Instant>),
    Quiet,
}

impl ProgressLine {
    /// Chooses by the kind of stderr.
    pub fn new(is_quiet: bool) -> Self {
        if is_quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Plain(None);
        }
        let bar = ProgressBar::new_spinner();
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        Self::Live(bar)
    }

    pub fn show(&mut self, glance: &Glance) {
        match self {
            Self::Quiet => {}
            Self::Live(bar) => {
                bar.set_message(text(glance));
                bar.tick();
            }
            Self::Plain(last) => {
                if last.is_none_or(|at| at.elapsed() >= Duration::from_secs(2)) {
                    *last = Some(Instant::now());
                    // A closed stderr does not stop the measurement.
                    let _ = writeln!(std::io::stderr(), "{}", text(glance));
                }
            }
        }
    }

    /// Removes the live line.
    pub fn end(&self) {
        if let Self::Live(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn text(glance: &Glance) -> String {
    let Glance { progress, viewers, frames_per_s, comments_per_s, phase } = glance;
    let failed = if progress.failed > 0 { format!(", {} failed", progress.failed) } else { String::new() };
    format!(
        "{phase}: {}/{viewers} connected{failed} · {frames_per_s:.0} frames/s · {comments_per_s:.0} comments/s · p99 {:.1} ms",
        progress.live,
        progress.p99_us as f64 / 1_000.0
    )
}
