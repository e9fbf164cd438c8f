//! A configuration while it is being put together, and once it is whole.

use super::error::{ConfigError, ConfigErrors, Problem};
use super::keys::{KEYS, Key, Kind};
use super::model::Config;
use super::value::{Value, Wrong};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// The configuration file.
    File {
        /// As it was given.
        path: Arc<PathBuf>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Env(String),
    /// A flag, as it was written: `--tick`, `--set room.idle_s`.
    Flag(String),
}

impl Origin {
    /// The place of a mistake; for a file with its column, which [`Display`](fmt::Display) leaves out.
    pub(super) fn fmt_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { column, .. } => write!(f, "{self}:{column}"),
            _ => write!(f, "{self}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => {
                write!(f, "{}:{line}", super::error::quoted(&path.display().to_string()))
            }
            Self::Env(name) | Self::Flag(name) => f.write_str(&super::error::quoted(name)),
        }
    }
}

/// Where every value came from, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance(Vec<Origin>);

impl Provenance {
    /// Where the value of `path`, such as `room.idle_s`, came from; `None` when there is no such key.
    pub fn of(&self, path: &str) -> Option<&Origin> {
        KEYS.iter().position(|key| key.path == path).map(|at| &self.0[at])
    }
}

/// A valid configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each came from.
    pub origins: Provenance,
    /// What the operator must not overlook, although it is allowed.
    pub warnings: Vec<String>,
}

/// Takes the sources' settings one by one, weakest source first, and remembers what was wrong.
#[derive(Debug)]
pub(super) struct State {
    config: Config,
    origins: Vec<Origin>,
    /// Keys that some source got wrong: their relations to others say nothing.
    failed: Vec<bool>,
    errors: Vec<ConfigError>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            config: Config::default(),
            origins: vec![Origin::Default; KEYS.len()],
            failed: vec![false; KEYS.len()],
            errors: Vec::new(),
        }
    }
}

impl State {
    /// Gives a number that nobody set another default.
    pub(super) fn default_to(&mut self, path: &str, value: u64) {
        let at = KEYS.iter().position(|key| key.path == path).expect("a key of the table");
        if self.origins[at] == Origin::Default {
            (KEYS[at].set)(&mut self.config, Value::Number(value));
        }
    }

    /// Sets the key at index `at` of the table, or notes why not. `key` and `given` are as the source wrote them.
    pub(super) fn set(&mut self, at: usize, key: &str, given: &str, origin: Origin, value: Result<Value, Wrong>) {
        let row: &Key = &KEYS[at];
        match value.and_then(|value| row.kind.check(value)) {
            Ok(value) => {
                (row.set)(&mut self.config, value);
                self.origins[at] = origin;
            }
            Err(wrong) => {
                self.failed[at] = true;
                self.error(ConfigError {
                    key: key.into(),
                    value: (row.kind != Kind::Secret).then(|| given.into()),
                    origin,
                    problem: wrong.problem(&row.kind),
                });
            }
        }
    }

    pub(super) fn error(&mut self, error: ConfigError) {
        let about_secret = match &error.problem {
            // A misspelled secret's value is one all the same.
            Problem::Unknown { nearest: Some(nearest) } => {
                KEYS.iter().any(|key| key.kind == Kind::Secret && (key.path == nearest || key.variable() == *nearest))
            }
            _ => KEYS.iter().any(|key| key.kind == Kind::Secret && key.path == error.key),
        };
        self.errors.push(ConfigError { value: error.value.filter(|_| !about_secret), ..error });
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Notes that the settings `paths` contradict each other, unless one of them is wrong by itself.
    pub(super) fn conflict(&mut self, paths: [&str; 2], rule: &str) {
        let [a, b] = paths.map(|path| KEYS.iter().position(|key| key.path == path).expect("a key of the table"));
        if self.failed[a] || self.failed[b] {
            return;
        }
        // The blame goes to the one that somebody set; the other is named in the sentence.
        let (blamed, other) = if self.origins[a] == Origin::Default { (b, a) } else { (a, b) };
        let value = |at: usize| (KEYS[at].get)(&self.config).to_string();
        self.errors.push(ConfigError {
            key: KEYS[blamed].path.into(),
            value: Some(value(blamed)),
            origin: self.origins[blamed].clone(),
            problem: Problem::Relation(format!(
                "{} must be {rule} {}; {} is {} ({})",
                KEYS[a].path,
                KEYS[b].path,
                KEYS[other].path,
                value(other),
                self.origins[other]
            )),
        });
    }

    pub(super) fn finish(self) -> Result<Loaded, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(Loaded { config: self.config, origins: Provenance(self.origins), warnings: Vec::new() })
        } else {
            Err(ConfigErrors(self.errors))
        }
    }
}
