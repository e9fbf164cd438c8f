//! Flags that several commands have: how a value is written, and what is said of a wrong one.
//!
//! Does not know: which command a flag belongs to.

use clap::ValueEnum;

/// `--encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WireArg {
    /// Text frames.
    Json,
    /// Binary frames.
    Msgpack,
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
