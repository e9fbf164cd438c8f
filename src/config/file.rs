//! The TOML file: each leaf with its line and column.

use super::error::{ConfigError, Problem};
use super::keys::{KEYS, nearest, position, shown};
use super::quoted::{is_name, quoted};
use super::source::Source;
use super::state::Draft;
use super::value::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Applies a whole file. A syntax error does not hide the other mistakes as far as the parser recovers.
pub(super) fn apply(state: &mut Draft, path: &Path, text: &str) {
    let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut reader = FileReader { state, path: Arc::new(path.to_path_buf()), text, line_starts };
    let (document, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut broken_line = 0;
    for error in errors {
        let line = reader.position(error.span().map_or(0, |span| span.start)).0;
        // What the parser says after the first mistake of a line is about its own confusion.
        if line != broken_line {
            reader.syntax(&error);
        }
        broken_line = line;
    }
    reader.table(document.get_ref(), "");
}

struct FileReader<'a> {
    state: &'a mut Draft,
    path: Arc<PathBuf>,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl FileReader<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str) {
        // In the order of the file, which is the order in which somebody mends it.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let own = spelled(name.get_ref());
            let path = if prefix.is_empty() { own.into_owned() } else { format!("{prefix}.{own}") };
            self.entry(&path, name.span().start, value);
        }
    }

    fn entry(&mut self, path: &str, start: usize, value: &Spanned<DeValue<'_>>) {
        let source = self.source(start);
        let given = self.text.get(value.span()).unwrap_or_default();
        if let Some(at) = position(path) {
            self.state.set(at, path, given, source, KEYS[at].kind.read_toml(value.get_ref()));
            return;
        }
        let is_section = KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
        let near = match (is_section, value.get_ref()) {
            (true, DeValue::Table(table)) => return self.table(table, path),
            (true, _) => {
                let problem = Problem::Type { expected: "a section".into(), found: "a single value".into() };
                return self.state.error(ConfigError { key: path.into(), value: None, source, problem });
            }
            (false, DeValue::Table(_)) => nearest_section(path),
            (false, _) => nearest(path, |key| key.path.into()),
        };
        let key = shown(path, near.as_deref());
        self.state.error(ConfigError { key, value: None, source, problem: Problem::Unknown { nearest: near } });
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let source = self.source(span.start);
        let error = if error.message() == "duplicate key" {
            let problem = Problem::Duplicate("a key or a section may stand once in a file".into());
            let name = self.text.get(span).unwrap_or_default().trim();
            let is_ours = |name: &str| KEYS.iter().any(|key| key.path.split('.').any(|part| part == name));
            ConfigError { key: shown(name, Some(name).filter(|name| is_ours(name))), value: None, source, problem }
        } else {
            // The rest of the line may hold a secret, whatever stands before it.
            let line_start = self.line_starts[self.position(span.start).0 - 1];
            let line = self.text[line_start..].lines().next().unwrap_or_default();
            let name = line.split_once('=').map(|(name, _)| name.trim()).filter(|name| is_name(name));
            let of = name.map_or_else(String::new, |name| format!(", in the line of `{name}`"));
            let problem = Problem::Syntax(format!("{}{of}", quoted(error.message())));
            ConfigError { key: String::new(), value: None, source, problem }
        };
        self.state.error(error);
    }

    fn source(&self, byte: usize) -> Source {
        let (line, column) = self.position(byte);
        Source::File { path: Arc::clone(&self.path), line, column }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let before = self.text.get(self.line_starts[line - 1]..byte).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

/// A key's name as a path has it. What needs quotes keeps them: `"room.idle_s"` is one name with a dot in it, not the key
/// `idle_s` of the section `room`.
fn spelled(name: &str) -> Cow<'_, str> {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { Cow::Borrowed(name) } else { Cow::Owned(Value::Text(name.into()).to_string()) }
}

/// The section nearest to an unknown one.
fn nearest_section(path: &str) -> Option<String> {
    // A key's own nearest would name a whole path; its section is what was meant.
    nearest(path, |key| key.path.rsplit_once('.').map_or(key.path, |(section, _)| section).into())
}
