//! Puts the pages (`web/*.html`, `web/assets/`) into the binary: writes a table of them for
//! `src/api/pages.rs`. A new file there needs no line of code here.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let web = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("web");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", web.display());

    let mut files = Vec::new();
    let is_page = |path: &Path| path.extension().is_some_and(|extension| extension == "html");
    collect(&web, &mut files, false, &is_page)?;
    collect(&web.join("assets"), &mut files, true, &|_| true)?;
    // By name as text, because that is what they are searched by.
    let name = |path: &PathBuf| path.strip_prefix(&web).expect("it is below web").to_str().map(str::to_owned);
    files.sort_by_key(name);

    let mut table = String::from("&[\n");
    for path in files {
        let name = name(&path).expect("names are UTF-8");
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(&path)?);
        let _ = writeln!(
            table,
            "    File {{ name: {name:?}, etag: \"\\\"{:016x}\\\"\", bytes: include_bytes!({path:?}) }},",
            hasher.finish(),
        );
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("pages.rs");
    fs::write(out, table)
}

/// Regular files of `folder` that `wanted` likes; hidden ones are editors' and systems' business.
fn collect(folder: &Path, files: &mut Vec<PathBuf>, deep: bool, wanted: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        } else if path.is_dir() && deep {
            collect(&path, files, deep, wanted)?;
        } else if path.is_file() && wanted(&path) {
            files.push(path);
        }
    }
    Ok(())
}
