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
mod origins;
mod relations;
mod state;
mod value;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, ConfigErrors};
pub use model::{
    Admission, Compression, Config, Connection, Data, Durability, LogConfig, LogFormat, Merge, Rate, Rates, Room,
    Secret,
};
pub use state::{Loaded, Origin, Provenance};

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
    if let Some(Origin::File { path, .. }) = loaded.origins.of("admin_key") {
        loaded.warnings.extend(disk::exposure(path));
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
    let mut state = state::State::default();
    let mut variables = env::ours(variables);
    let named = env::take_file(&mut variables, &mut state);
    let path = args.config.clone().map(|path| (path, Origin::Flag("--config".into()))).or(named);
    if let Some((path, origin)) = path {
        apply_file(&mut state, path, origin, read_file);
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
    state: &mut state::State,
    path: PathBuf,
    origin: Origin,
    read_file: impl Fn(&Path) -> io::Result<String>,
) {
    match read_file(&path) {
        Ok(text) => file::apply(state, &path, &text),
        Err(error) => state.error(ConfigError {
            key: "config".into(),
            value: Some(path.display().to_string()),
            origin,
            problem: error::Problem::Unreadable(error.to_string()),
        }),
    }
}
