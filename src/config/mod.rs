//! The effective configuration: typed, validated, and where each value came from.
//!
//! Four sources, each stronger than the one before: the defaults, a TOML file, the environment
//! (`VOLLEY_…`), the flags. One table, [`keys::KEYS`], says what there is; it drives the three
//! parsers, `volley config` and `docs/configuration.md`. Every mistake of all sources is reported
//! at once, with its key, its value and its place, before anything is bound.
//!
//! Does not know: what anybody does with it. Only this module reads the environment.

pub mod capacity;
pub mod cli;
pub mod error;
pub mod keys;
pub mod show;

mod disk;
mod env;
mod file;
mod model;
mod quoted;
mod relations;
mod slips;
mod source;
mod state;
mod usage;
mod value;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, ConfigErrors, Problem};
pub use model::{
    Addresses, AdmissionConfig, Compression, Config, Connection, Data, DefaultMerge, Durability, LogConfig, LogFormat,
    Rate, Rates, Room, Secret,
};
pub use source::Source;
pub use state::{Loaded, Provenance};

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The effective configuration of this process: its flags, its environment, its file.
///
/// # Errors
/// Everything that is wrong, in the order file, environment, flags.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn load_process(args: &cli::Args) -> Result<Loaded, ConfigErrors> {
    let mut loaded = load(args, std::env::vars_os(), disk::read_bounded)?;
    match loaded.sources.of("admin_key") {
        Some(Source::File { path, .. }) => loaded.warnings.extend(disk::exposure(path)),
        Some(Source::Flag(flag)) => loaded.warnings.push(format!(
            "others on this machine can see the key on the command line (`{flag}`): put it into a file that only Volley can \
             read, or into VOLLEY_ADMIN_KEY"
        )),
        _ => {}
    }
    Ok(loaded)
}

/// The effective configuration of the given sources.
///
/// # Errors
/// Everything that is wrong, in the order file, environment, flags.
pub fn load(
    args: &cli::Args,
    variables: impl Iterator<Item = (OsString, OsString)>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, ConfigErrors> {
    let mut state = state::Draft::default();
    let mut variables = env::ours(variables);
    let named = env::take_file(&mut variables);
    let path = args.config.clone().map(|path| (path, Source::Flag("--config".into()))).or(named);
    if let Some((path, source)) = path {
        apply_file(&mut state, path, source, read_file);
    }
    env::apply(&mut state, variables);
    cli::apply(&mut state, args);
    if state.config().data == Data::Memory {
        model::MEMORY_DEFAULTS.iter().for_each(|(path, value)| state.default_to(path, *value));
    }
    relations::check(&mut state);
    state.finish()
}

fn apply_file(
    state: &mut state::Draft,
    path: PathBuf,
    source: Source,
    read_file: impl Fn(&Path) -> io::Result<String>,
) {
    let shown = path.display().to_string();
    let problem = if shown.is_empty() {
        Problem::Type { expected: "the path of a TOML file".into(), found: "nothing".into() }
    } else if let Some(slip) = slips::file_slip(&shown) {
        Problem::Relation(slip.into())
    } else {
        match read_file(&path) {
            // A byte order mark, as some editors write it, is no part of the text.
            Ok(text) => return file::apply(state, &path, text.strip_prefix('\u{feff}').unwrap_or(&text)),
            Err(error) => Problem::Unreadable(error.to_string()),
        }
    };
    // Here the place of a secret is not told apart by its length alone.
    let value = Some(shown).filter(|path| quoted::is_path(path));
    state.error_as_it_is(ConfigError { key: "config".into(), value, source, problem });
}
