//! Flags that several commands have: their forms, and the errors for wrong values.
//!
//! Does not know: which command a flag belongs to.

use clap::ValueEnum;
use clap::error::{ContextKind, ContextValue};

/// `--encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WireArg {
    /// Text frames.
    Json,
    /// Binary frames.
    Msgpack,
}

/// A usage error without stray arguments: a key in the wrong place would otherwise end in a script's log.
pub fn without_strays(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        let is_stray = |text: &str| !text.starts_with("--") && !text.starts_with('<') && !text.starts_with('[');
        if matches!(error.get(kind), Some(ContextValue::String(text)) if is_stray(text)) {
            error.insert(kind, ContextValue::String("(not shown)".into()));
            // "To pass … as a value" would repeat the argument.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// `FEWEST..MOST` characters of a text, or one number for both.
///
/// # Errors
/// What to give instead.
pub fn parse_range(text: &str) -> Result<(usize, usize), String> {
    let (fewest, most) = text.split_once("..").unwrap_or((text, text));
    let parse = |s: &str| s.parse::<usize>().map_err(|_| "give FEWEST..MOST, such as 12..30".to_owned());
    match (parse(fewest)?, parse(most)?) {
        (fewest, most) if (1..=most).contains(&fewest) && most <= 512 => Ok((fewest, most)),
        _ => Err("give 1 to 512 characters, the fewest first".into()),
    }
}

/// A share as `10%` or `0.1`.
///
/// # Errors
/// What to give instead.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|p| p / 100.0),
        None => text.parse(),
    };
    match share {
        Ok(share) if share > 0.0 && share <= 0.9 => Ok(share),
        _ => Err("give a share above 0% and up to 90%, such as 10%".into()),
    }
}
