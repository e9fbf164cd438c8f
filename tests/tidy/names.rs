//! A type's name says one thing in one crate.
//!
//! Does not know: what a name means; types that a macro makes.

use std::collections::BTreeMap;

/// Names of types that are defined in more than one place, with the files. Unit tests may reuse names, and so may
/// types inside a function.
pub fn defined_twice<'a>(files: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, text) in files {
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for name in product.lines().filter_map(defined) {
            places.entry(name).or_default().push(path);
        }
    }
    places.retain(|_, files| files.len() > 1);
    places
}

/// The type that an unindented line defines.
fn defined(line: &str) -> Option<&str> {
    let mut rest = line;
    if let Some(visible) = rest.strip_prefix("pub") {
        rest = visible
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map_or(visible, |(_, rest)| rest)
            .trim_start();
    }
    let rest = ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|kind| rest.strip_prefix(kind))?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}

#[test]
fn no_type_of_loadgen_shares_its_name() {
    let files = crate::tree();
    let found = defined_twice(&crate::product(&files, "loadgen/src/"));
    assert!(found.is_empty(), "types of loadgen with the same name:\n{found:#?}");
}

#[test]
fn a_planted_namesake_is_found() {
    let found = defined_twice(&[
        ("a.rs", "pub struct Line<'a> {\nfn f() {\n    struct Inner;\n}"),
        ("b.rs", "pub(in crate::x) enum Line {\n#[cfg(test)]\nmod tests {\nstruct Plan;"),
        ("c.rs", "struct Plan;\nstruct Inner;\ntype Alias = u8;\nlet Alias = 1;"),
    ]);
    assert_eq!(found, BTreeMap::from([("Line", vec!["a.rs", "b.rs"])]));
}
