//! Imports between the files of one crate, and the circles among them.
//!
//! A file imports what its `use` declarations and its paths name, each taken to the deepest module that has a file. A
//! file's imports from its own parent folder (`super::`) do not count, because it belongs to that folder. Unit tests
//! may import anything.
//!
//! Does not know: what a crate may import; layers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Module path → the module paths that it imports: `run::worker` for both `run/worker.rs` and `run/worker/mod.rs`.
pub type Imports = BTreeMap<String, BTreeSet<String>>;

/// The imports of `files`: their paths below the crate's `src/`, and their texts.
pub fn imports(files: &[(&str, &str)]) -> Imports {
    let modules: BTreeMap<String, &str> = files
        .iter()
        .map(|(path, text)| (module(path), *text))
        .filter(|(module, _)| !["lib", "main"].contains(&module.as_str()))
        .collect();
    let found = modules.iter().map(|(module, text)| {
        let named = paths(&product(text)).into_iter().filter_map(|path| {
            let path = absolute(module, &path, &modules)?;
            (1..=path.len()).rev().map(|n| path[..n].join("::")).find(|path| modules.contains_key(path))
        });
        let is_own = |other: &String| module == other || module.starts_with(&format!("{other}::"));
        (module.clone(), named.filter(|other| !is_own(other)).collect())
    });
    found.collect()
}

/// One shortest circle through each file that is in a circle, as `a → b → a`; equal circles once.
pub fn circles(imports: &Imports) -> BTreeSet<String> {
    imports.keys().filter_map(|start| circle(imports, start)).collect()
}

fn circle(imports: &Imports, start: &String) -> Option<String> {
    let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(here) = open.pop_front() {
        for next in imports.get(here).into_iter().flatten() {
            if next == start {
                let mut way = vec![here];
                while *way.last()? != start {
                    way.push(came_from[*way.last()?]);
                }
                way.reverse();
                // The same circle begins with the same file, whichever file it was found from.
                let first = way.iter().enumerate().min_by_key(|(_, module)| **module)?.0;
                way.rotate_left(first);
                way.push(way[0]);
                return Some(way.into_iter().map(String::as_str).collect::<Vec<_>>().join(" → "));
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, here);
                open.push_back(next);
            }
        }
    }
    None
}

fn module(path: &str) -> String {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.replace('/', "::")
}

/// Without comments and without the unit tests at the end.
fn product(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

/// Every path that a text names: the leaves of its `use` trees, and what else begins with `crate`, `super`, `self` or a
/// name before `::`.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = String::new();
    for (n, part) in text.split("use ").enumerate() {
        match part.split_once(';') {
            Some((tree, after)) if n > 0 => {
                leaves(tree, &mut found);
                rest.push_str(after);
            }
            _ => rest.push_str(part),
        }
        rest.push(' ');
    }
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let inline = rest.split(|c| !is_path(c)).filter(|word| word.contains("::"));
    found.extend(inline.map(|word| word.trim_matches(':').to_owned()));
    found
}

/// `a::{b, c::d}` → `a::b`, `a::c::d`.
fn leaves(tree: &str, found: &mut Vec<String>) {
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return found.push(path.split_whitespace().collect());
    };
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&format!("{before}{}", &group[from..at]), found);
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The path from the crate's root; `None` for another crate's.
fn absolute(module: &str, path: &str, modules: &BTreeMap<String, &str>) -> Option<Vec<String>> {
    let mut from: Vec<&str> = module.split("::").collect();
    let mut rest: Vec<&str> = path.split("::").collect();
    match *rest.first()? {
        "crate" => {
            from.clear();
            rest.remove(0);
        }
        "self" => drop(rest.remove(0)),
        "super" => {
            while rest.first() == Some(&"super") {
                rest.remove(0);
                from.pop();
            }
        }
        child if modules.contains_key(&format!("{module}::{child}")) => {}
        _ => return None,
    }
    Some(from.into_iter().chain(rest).map(str::to_owned).collect())
}

#[test]
fn a_planted_circle_is_found_in_every_form_of_import() {
    for (a, b) in [
        ("use crate::b::B;", "use crate::a::A;"),
        ("use crate::{b::{B, C}, c};", "pub use super::a;"),
        ("fn f() -> crate::b::B {}", "use super::{\n    a as other,\n};"),
        ("mod tests;\nuse crate::b;", "use crate::a::{self, A};"),
    ] {
        let found = circles(&imports(&[("a.rs", a), ("b.rs", b), ("c.rs", "use crate::a;")]));
        assert!(found.contains("a → b → a"), "{a:?} and {b:?}: {found:?}");
    }
    let through_a_facade = [
        ("cli.rs", "use crate::plan::PlanArgs;"),
        ("plan/mod.rs", "mod args;\npub use args::PlanArgs;"),
        ("plan/args.rs", "use crate::cli::parse;"),
    ];
    let found = circles(&imports(&through_a_facade));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["cli → plan → plan::args → cli"]);
}

#[test]
fn imports_without_a_circle_pass() {
    for files in [
        [("a.rs", "use crate::b;"), ("b.rs", "// use crate::a;\nuse std::fs;")],
        [("a.rs", "use crate::b;"), ("b.rs", "#[cfg(test)]\nmod tests {\n    use crate::a;\n}")],
        [("a/mod.rs", "mod b;\npub use b::B;"), ("a/b.rs", "use super::A;")],
        [("a.rs", "mod b;\nuse self::b::B;"), ("a/b.rs", "use crate::a::{A, C};")],
    ] {
        assert_eq!(circles(&imports(&files)), BTreeSet::new(), "{files:?}");
    }
}
