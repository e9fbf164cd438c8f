//! A configuration while it is being put together, and once it is whole.

use super::error::{ConfigError, ConfigErrors, Problem};
use super::keys::{KEYS, Key, ValueKind};
use super::model::Config;
use super::quoted::is_shown;
use super::source::Source;
use super::value::{Value, Wrong};

/// Where every value came from, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance(Vec<Source>);

impl Provenance {
    /// Where the value of `path`, such as `room.idle_s`, came from; `None` when there is no such key.
    pub fn of(&self, path: &str) -> Option<&Source> {
        KEYS.iter().position(|key| key.path == path).map(|at| &self.0[at])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub config: Config,
    pub sources: Provenance,
    /// What the operator must not overlook, although it is allowed.
    pub warnings: Vec<String>,
}

/// Takes the sources' settings one by one, weakest source first, and remembers what was wrong.
#[derive(Debug)]
pub(super) struct Draft {
    config: Config,
    sources: Vec<Source>,
    /// Keys that some source got wrong: their relations to others say nothing.
    failed: Vec<bool>,
    errors: Vec<ConfigError>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            config: Config::default(),
            sources: vec![Source::Default; KEYS.len()],
            failed: vec![false; KEYS.len()],
            errors: Vec::new(),
        }
    }
}

impl Draft {
    /// Gives a number that nobody set another default.
    pub(super) fn default_to(&mut self, path: &str, value: u64) {
        let at = KEYS.iter().position(|key| key.path == path).expect("a key of the table");
        if self.sources[at] == Source::Default {
            (KEYS[at].set)(&mut self.config, Value::Number(value));
        }
    }

    /// Sets the key at index `at` of the table, or notes why not. `key` and `given` are as the source wrote them.
    pub(super) fn set(&mut self, at: usize, key: &str, given: &str, source: Source, value: Result<Value, Wrong>) {
        let row: &Key = &KEYS[at];
        match value.and_then(|value| row.kind.check(value)) {
            Ok(value) => {
                (row.set)(&mut self.config, value);
                self.sources[at] = source;
            }
            Err(wrong) => {
                self.failed[at] = true;
                self.error(ConfigError {
                    key: key.into(),
                    value: (row.kind != ValueKind::Secret).then(|| given.into()),
                    source,
                    problem: wrong.problem(&row.kind),
                });
            }
        }
    }

    /// Notes a mistake. Its value is repeated only when it can be no secret, even one in the place of a different value.
    pub(super) fn error(&mut self, error: ConfigError) {
        let is_unknown = matches!(error.problem, Problem::Unknown { .. });
        let is_secret = KEYS.iter().any(|key| key.kind == ValueKind::Secret && key.path == error.key);
        let value = error.value.filter(|value| !is_unknown && !is_secret && is_shown(value));
        self.error_as_it_is(ConfigError { value, ..error });
    }

    /// Notes a mistake whose value may be repeated.
    pub(super) fn error_as_it_is(&mut self, error: ConfigError) {
        self.errors.push(error);
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
        let (blamed, other) = if self.sources[a] == Source::Default { (b, a) } else { (a, b) };
        let value = |at: usize| (KEYS[at].get)(&self.config).to_string();
        self.errors.push(ConfigError {
            key: KEYS[blamed].path.into(),
            value: Some(value(blamed)),
            source: self.sources[blamed].clone(),
            problem: Problem::Relation(format!(
                "{} must be {rule} {}; {} is {} ({})",
                KEYS[a].path,
                KEYS[b].path,
                KEYS[other].path,
                value(other),
                self.sources[other]
            )),
        });
    }

    /// Notes that a setting is wrong as a whole though each part of it is right.
    pub(super) fn reject(&mut self, path: &str, why: String) {
        let at = KEYS.iter().position(|key| key.path == path).expect("a key of the table");
        let (value, source) = (Some((KEYS[at].get)(&self.config).to_string()), self.sources[at].clone());
        self.errors.push(ConfigError { key: path.into(), value, source, problem: Problem::Relation(why) });
    }

    pub(super) fn finish(self) -> Result<Loaded, ConfigErrors> {
        if self.errors.is_empty() {
            Ok(Loaded { config: self.config, sources: Provenance(self.sources), warnings: Vec::new() })
        } else {
            Err(ConfigErrors(self.errors))
        }
    }
}
