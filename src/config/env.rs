//! The environment: every key as `VOLLEY_…`, and `VOLLEY_CONFIG` for the file.

use super::error::{ConfigError, Problem};
use super::keys::{KEYS, Key, PREFIX, ValueKind, nearest};
use super::source::Source;
use super::state::Draft;
use super::value::Wrong;
use std::ffi::OsString;
use std::path::PathBuf;

/// Names the file, as `--config` does.
pub(super) const FILE_VARIABLE: &str = "VOLLEY_CONFIG";

/// The variables that are meant for us, by name so that errors come in a stable order.
pub(super) fn ours(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, OsString)> {
    let mut ours: Vec<_> = variables
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, value)| name.starts_with(PREFIX) && !is_service_link(name, value))
        .collect();
    ours.sort();
    ours
}

/// Kubernetes gives every pod variables about the services of its namespace; those of a service
/// called `volley` or `volley-admin` begin like ours, and must not keep the server from starting.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let words: Vec<&str> = name[PREFIX.len()..].split('_').collect();
    let has = |pair: [&str; 2]| words.windows(2).any(|window| window == pair);
    let is_url =
        value.to_str().is_some_and(|value| ["tcp://", "udp://", "sctp://"].iter().any(|s| value.starts_with(s)));
    let is_numbered = |window: &[&str]| {
        window[0] == "PORT"
            && window[1].bytes().all(|b| b.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].contains(&window[2])
    };
    has(["SERVICE", "HOST"])
        || has(["SERVICE", "PORT"])
        || (words.last() == Some(&"PORT") && is_url)
        || words.windows(3).any(is_numbered)
}

/// Takes the file's name out of the variables.
pub(super) fn take_file(variables: &mut Vec<(String, OsString)>) -> Option<(PathBuf, Source)> {
    let at = variables.iter().position(|(name, _)| name == FILE_VARIABLE)?;
    let (name, value) = variables.remove(at);
    Some((PathBuf::from(value), Source::Env(name)))
}

/// Applies the variables of [`ours`].
pub(super) fn apply(state: &mut Draft, variables: Vec<(String, OsString)>) {
    for (name, value) in variables {
        let source = Source::Env(name.clone());
        let Some(at) = KEYS.iter().position(|key| key.variable() == name) else {
            let problem = Problem::Unknown { nearest: nearest(&name, Key::variable) };
            state.error(ConfigError { key: String::new(), value: None, source, problem });
            continue;
        };
        let key = &KEYS[at];
        let read = match value.to_str() {
            // What a composing tool makes of a variable that is not set: the address would be open.
            Some("") if key.kind == ValueKind::Secret => Err(Wrong::Type("nothing".into())),
            Some(text) => key.kind.read_text(text),
            None => Err(Wrong::Type("bytes that are not UTF-8".into())),
        };
        state.set(at, key.path, &value.to_string_lossy(), source, read);
    }
}
