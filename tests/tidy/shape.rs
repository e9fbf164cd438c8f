//! The shape of types and of documentation: fields of a struct, files with an `impl` of one type, doc comments that
//! only repeat a name.
//!
//! Does not know: what a type is for; types that a macro makes.

use std::collections::{BTreeMap, BTreeSet};

/// Most fields of one struct. A struct with more has groups of fields that change together: make them types.
pub const FIELDS_MAX: usize = 15;

/// Most files with inherent `impl`s of one type.
pub const IMPL_FILES_MAX: usize = 2;

/// Doc comments of at most this many words usually repeat the name that they document.
const SHORT_WORDS: usize = 4;

/// Lines before the unit tests at the end of a file.
fn product(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines()
}

/// What stands after the visibility of an item, if the line is one.
fn after_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
    rest.trim_start()
}

fn name(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

/// The structs of a file with their numbers of named fields.
pub fn fields(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for line in product(text) {
        match &mut open {
            Some(_) if line == "}" => found.extend(open.take()),
            Some((_, count)) => {
                let field = line.strip_prefix("    ").map(after_visibility).unwrap_or_default();
                let after = &field[name(field).len()..];
                *count += usize::from(!name(field).is_empty() && after.starts_with(':') && !after.starts_with("::"));
            }
            None => {
                let Some(rest) = after_visibility(line).strip_prefix("struct ") else { continue };
                if line.ends_with('{') {
                    open = Some((name(rest), 0));
                }
            }
        }
    }
    found
}

/// Types with inherent `impl`s, and the files that have some. A type of the same name in another folder counts with it.
pub fn impl_files<'a>(files: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in files {
        for line in product(text).filter(|line| !line.contains(" for ")) {
            let Some(rest) = line.strip_prefix("impl") else { continue };
            let rest = match rest.strip_prefix('<') {
                Some(generics) => after_generics(generics),
                None => rest,
            };
            found.entry(name(rest.trim_start())).or_default().insert(path);
        }
    }
    found.remove("");
    found
}

/// What follows the `>` that closes a list of generics.
fn after_generics(text: &str) -> &str {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
    }
    text
}

/// Doc comments of a file: how many there are, and how many of them are short.
pub fn docs(text: &str) -> (usize, usize) {
    let (mut all, mut short, mut words) = (0, 0, None);
    for line in product(text).chain([""]) {
        match (line.trim_start().strip_prefix("///"), words) {
            (Some(doc), before) => words = Some(before.unwrap_or(0) + doc.split_whitespace().count()),
            (None, Some(count)) => {
                all += 1;
                short += usize::from(count <= SHORT_WORDS);
                words = None;
            }
            (None, None) => {}
        }
    }
    (all, short)
}

#[test]
fn planted_shapes_are_counted() {
    let text = "pub(in crate::a) struct Big<T> {\n    /// One.\n    pub a: u8,\n    pub(super) b: T,\n    c: u8,\n}\n\
                struct Unit;\nstruct Tuple(u8);\nstruct Small {\n    a: u8,\n}\n#[cfg(test)]\nmod tests {\nstruct T {\n    a: u8,\n}";
    assert_eq!(fields(text), [("Big", 3), ("Small", 1)]);
    let files = [
        ("a.rs", "impl<T: Into<u8>> Big<T> {\nimpl Clone for Big {\nimpl Small {"),
        ("b.rs", "impl<F: Fn() -> u8> Big<F> {"),
        ("c.rs", "impl super::Other {\nimplement\n#[cfg(test)]\nmod tests {\nimpl Big {"),
    ];
    let found = impl_files(&files);
    assert_eq!(found["Big"], BTreeSet::from(["a.rs", "b.rs"]));
    assert_eq!(found["Small"].len(), 1);
    assert_eq!(
        docs("/// The name.\nname: u8,\n\n    /// One two three\n    /// four five.\n    x: u8,\n// no doc\n"),
        (2, 1)
    );
}
