//! Rules on all files together: circles of imports, names, sizes, and how much there is of what should not grow.
//!
//! Does not know: the rules on one file.

use crate::{circles, names, pages, product, shape, tree, unsafe_blocks};

fn page<'a>(files: &'a [(String, String)], path: &str) -> &'a str {
    files.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str()).expect("a page")
}

#[test]
fn no_file_of_loadgen_imports_itself_over_others() {
    let files = tree();
    let found = circles::circles(&circles::imports(&product(&files, "loadgen/src/")));
    assert!(found.is_empty(), "circles between files of loadgen:\n{found:#?}");
}

#[test]
fn no_file_of_the_server_imports_itself_over_others() {
    let files = tree();
    let found = circles::circles(&circles::imports(&product(&files, "src/")));
    assert!(found.is_empty(), "circles between files of src:\n{found:#?}");
}

#[test]
fn as_many_unsafe_blocks_as_the_architecture_says() {
    const NUMBERS: &[&str] = &["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"];
    let files = tree();
    let blocks: usize = product(&files, "src/").iter().map(|(_, text)| unsafe_blocks(text)).sum();
    let page = page(&files, "ARCHITECTURE.md");
    let said =
        page.split("**Unsafe.** ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a paragraph on unsafe");
    assert_eq!(Some(&said), NUMBERS.get(blocks), "{blocks} `unsafe` blocks in src; ARCHITECTURE.md says {said}");
}

#[test]
fn pages_that_list_tests_and_runs_list_all() {
    let files = tree();
    let tests = pages::unlisted(page(&files, "tests/README.md"), &files, |path| {
        pages::is_program(path, "tests/") || pages::is_program(path, "loadgen/tests/")
    });
    assert!(tests.is_empty(), "give them a row in tests/README.md: {tests:?}");
    let is_run = |path: &str| path.starts_with("benches/runs/") && path.ends_with(".sh");
    let runs = pages::unlisted(page(&files, "benches/README.md"), &files, is_run);
    assert!(runs.is_empty(), "give them a row in benches/README.md: {runs:?}");
}

/// Structs of `src` with more fields, and why they may.
const MANY_FIELDS: &[(&str, &str)] = &[];

/// Types of `src` with `impl`s in more files, and why they may.
const MANY_FILES: &[(&str, &str)] = &[(
    "Worker",
    "most ways of sending can end a session, which needs the tenant, connections, rooms, wheel and report together",
)];

#[test]
fn structs_and_impls_of_the_server_stay_small() {
    let files = tree();
    let product = product(&files, "src/");
    let mut wrong = Vec::new();
    for (path, text) in &product {
        let big = shape::fields(text).into_iter().filter(|(_, count)| *count > shape::FIELDS_MAX);
        let big = big.filter(|(name, _)| !MANY_FIELDS.iter().any(|(known, _)| known == name));
        wrong.extend(big.map(|(name, count)| format!("src/{path}: `{name}` has {count} fields")));
    }
    for (name, files) in shape::impl_files(&product) {
        if files.len() > shape::IMPL_FILES_MAX && !MANY_FILES.iter().any(|(known, _)| *known == name) {
            wrong.push(format!("`{name}` has `impl`s in {files:?}"));
        }
    }
    assert!(wrong.is_empty(), "group what changes together:\n{}", wrong.join("\n"));
}

/// Share of the doc comments of `src` that may have four words or fewer.
const SHORT_DOCS_PERCENT_MAX: usize = 8;

#[test]
fn doc_comments_say_more_than_a_name() {
    let files = tree();
    let counts = product(&files, "src/").into_iter().map(|(_, text)| shape::docs(text));
    let (all, short) = counts.fold((0, 0), |(all, short), (a, s)| (all + a, short + s));
    assert!(short * 100 <= all * SHORT_DOCS_PERCENT_MAX, "{short} of {all} doc comments have four words or fewer");
}

/// The page that everybody reads first stays readable.
const ARCHITECTURE_BYTES_MAX: usize = 21 * 1_024;

#[test]
fn the_architecture_page_stays_short() {
    let bytes = page(&tree(), "ARCHITECTURE.md").len();
    assert!(bytes <= ARCHITECTURE_BYTES_MAX, "ARCHITECTURE.md has {bytes} bytes; details belong into module docs");
}

#[test]
fn no_type_of_the_server_shares_its_name() {
    let files = tree();
    let found = names::defined_twice(&product(&files, "src/"));
    assert!(found.is_empty(), "types of src with the same name:\n{found:#?}");
}
