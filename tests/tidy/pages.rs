//! Pages that list files must list all of them.
//!
//! Does not know: the description of a file.

/// Those of `files` that `is_listed` selects and the page does not name.
pub fn unlisted<'a>(page: &str, files: &'a [(String, String)], is_listed: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let paths = files.iter().map(|(path, _)| path.as_str()).filter(|path| is_listed(path));
    paths.filter(|path| !page.contains(&format!("`{path}"))).collect()
}

/// A test or benchmark: a file in `folder`, or the `main.rs` of a folder there.
pub fn is_program(path: &str, folder: &str) -> bool {
    let inner = path.strip_prefix(folder).and_then(|inner| inner.strip_suffix(".rs"));
    inner.is_some_and(|inner| !inner.contains('/') || inner.ends_with("/main") && inner.matches('/').count() == 1)
}

#[test]
fn a_file_that_a_page_leaves_out_is_found() {
    let files =
        ["tests/a.rs", "tests/b/main.rs", "tests/b/part.rs", "tests/c.rs"].map(|path| (path.into(), String::new()));
    let found = unlisted("| x | `tests/a.rs` |\n`tests/b/main.rs`", &files, |path| is_program(path, "tests/"));
    assert_eq!(found, ["tests/c.rs"]);
}
