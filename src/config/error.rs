//! Errors in a configuration, worded so that the operator can correct them without a manual.

use super::quoted::quoted;
use super::source::Source;
use std::fmt;

/// Most errors that are printed: a file that is not a configuration may have thousands.
const ERRORS_SHOWN_MAX: usize = 50;

/// One mistake: where, which key, which value, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key as it was given; empty for a syntax error, which is not one key's, and for an unknown variable.
    pub key: String,
    /// The value as it was given, if it can be no secret.
    pub value: Option<String>,
    pub source: Source,
    /// What is wrong and what would be right.
    pub problem: Problem,
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read; mend the path or its permissions.
    #[error("the file cannot be used: {0}")]
    Unreadable(String),
    /// The file is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// The same key twice in one source; remove one.
    #[error("given twice ({0}); keep one")]
    Duplicate(String),
    #[error("unknown key{}", Suggestion(.nearest.as_deref()))]
    Unknown {
        /// The nearest key that exists, written as this source writes it.
        nearest: Option<String>,
    },
    /// The value is of another type.
    #[error("expected {expected}, found {found}")]
    Type { expected: String, found: String },
    /// A number outside the key's range.
    #[error("out of range; allowed is {0}")]
    Range(String),
    /// Two settings that exclude each other.
    #[error("{0}")]
    Relation(String),
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => f.write_str("; `volley config` lists all keys"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt_place(f)?;
        match (&self.key, &self.value) {
            (_, _) if matches!(self.problem, Problem::Syntax(_)) => {}
            (key, Some(value)) if key.is_empty() => write!(f, ": \"\" = {}", quoted(value))?,
            (key, Some(value)) => write!(f, ": {} = {}", quoted(key), quoted(value))?,
            // The place says it all: a variable's name, or a flag that holds neither key nor value.
            (key, None) if key.is_empty() => {}
            (key, None) => write!(f, ": {}", quoted(key))?,
        }
        write!(f, ": {}", self.problem)
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    /// One line per mistake, without a line feed at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().take(ERRORS_SHOWN_MAX).enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        if self.0.len() > ERRORS_SHOWN_MAX {
            write!(f, "\n… and {} more", self.0.len() - ERRORS_SHOWN_MAX)?;
        }
        Ok(())
    }
}
