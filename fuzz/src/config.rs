//! The configuration, from each of its sources.
//!
//! Promises: no text panics; a mistake names its place, its key and the reason, on one line without control characters;
//! an accepted configuration is printed as a file with the same meaning.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use volley::config::cli::{self, Args, Command};
use volley::config::error::Problem;
use volley::config::keys::KEYS;
use volley::config::{ConfigError, ConfigErrors, Loaded, Source, load, show};

const FILE: &str = "volley.toml";

/// The input is a file.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match load_file(text) {
        Ok(loaded) => prints_what_it_means(&loaded),
        Err(errors) => {
            is_readable(&errors);
            errors.0.iter().for_each(|error| names_its_place(error, text));
        }
    }
}

/// Each line of the input is one setting, and its first byte the source. `E`: an environment variable, without
/// `VOLLEY_`; `S`: `--set`; `A`: an argument as a shell passes it; others: the flag of a key.
pub fn sources(data: &[u8]) {
    let (mut arguments, mut variables) = (vec![OsString::from("volley")], Vec::new());
    for line in data.split(|byte| *byte == b'\n') {
        let Some((source, rest)) = line.split_first() else { continue };
        let rest = OsStr::from_bytes(rest);
        match source {
            b'E' => variables.push(variable(rest)),
            b'S' => arguments.extend(["--set".into(), rest.to_owned()]),
            b'A' => arguments.push(rest.to_owned()),
            other => {
                let flags = [
                    "--listen",
                    "--admin",
                    "--data",
                    "--tick",
                    "--shards",
                    "--drain",
                    "--log-format",
                    "--log",
                    "--config",
                ];
                arguments.extend([flags[usize::from(*other) % flags.len()].into(), rest.to_owned()]);
            }
        }
    }
    // An environment never has a name twice.
    variables.sort();
    variables.dedup_by(|a, b| a.0 == b.0);
    let args = match cli::parse(arguments) {
        Ok(Command::Serve(args) | Command::ShowConfig(args) | Command::ShowLog(args) | Command::VerifyLog(args)) => {
            args
        }
        Ok(Command::DocumentConfig) => return,
        Err(exit) => {
            assert!([0, cli::EXIT_USAGE].contains(&exit.code) && !exit.text.trim().is_empty(), "{exit:?}");
            return;
        }
    };
    let read_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    match load(&args, variables.clone().into_iter(), read_file) {
        Ok(loaded) => {
            prints_what_it_means(&loaded);
            for (path, source) in KEYS.iter().map(|key| (key.path, loaded.sources.of(key.path))) {
                let source = source.unwrap_or_else(|| panic!("{path} is a key"));
                assert!(was_given(source, &args, &variables), "{path} comes from {source}");
            }
        }
        Err(errors) => {
            is_readable(&errors);
            for error in &errors.0 {
                assert!(was_given(&error.source, &args, &variables), "{error:?}");
                let shown = error.to_string();
                assert!(!error.key.is_empty() || shown.contains("unknown key") || shown.contains("no `=`"), "{shown}");
                repeats_no_stranger(error);
            }
        }
    }
}

/// `NAME=value` as an environment has it: no name contains a `=`, and neither contains a zero byte.
fn variable(line: &OsStr) -> (OsString, OsString) {
    let bytes = line.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
    let (name, value) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    let mut whole = OsString::from("VOLLEY_");
    whole.push(OsStr::from_bytes(name));
    (whole, OsStr::from_bytes(value).to_owned())
}

/// Whether the input has such a setting: a mistake must not name a source without one.
fn was_given(source: &Source, args: &Args, variables: &[(OsString, OsString)]) -> bool {
    match source {
        Source::Default => true,
        Source::File { .. } => false,
        Source::Env(name) => variables.iter().any(|(given, _)| given.to_string_lossy() == *name),
        Source::Flag(flag) => match flag.strip_prefix("--set") {
            // Its name is not a key, and may be hidden.
            Some("") => !args.set.is_empty(),
            Some(key) => {
                args.set.iter().any(|set| set.split_once('=').is_some_and(|(given, _)| given.trim() == &key[1..]))
            }
            None => true,
        },
    }
}

fn load_file(text: &str) -> Result<Loaded, ConfigErrors> {
    let args = Args { config: Some(PathBuf::from(FILE)), ..Args::default() };
    load(&args, std::iter::empty(), |_| Ok(text.to_owned()))
}

/// Asserts that `volley config` prints a file with the same configuration.
fn prints_what_it_means(loaded: &Loaded) {
    let printed = show::to_toml(loaded);
    let mut again = load_file(&printed).unwrap_or_else(|errors| panic!("{errors} in\n{printed}"));
    // Everything but the secret.
    if let Some(secret) = loaded.config.addresses.admin_key.reveal() {
        assert!(
            !printed.contains(&format!("admin_key = \"{secret}\""))
                && again.config.addresses.admin_key.reveal().is_none()
        );
        again.config.addresses.admin_key = loaded.config.addresses.admin_key.clone();
    }
    assert_eq!(again.config, loaded.config, "{printed}");
}

/// Asserts one line per mistake, none of them empty, and no character that moves a terminal's cursor.
fn is_readable(errors: &ConfigErrors) {
    let shown = errors.to_string();
    let lines: Vec<&str> = shown.split('\n').collect();
    let expected = if errors.0.len() > 50 { 51 } else { errors.0.len() };
    assert!(!errors.0.is_empty());
    assert_eq!(lines.len(), expected, "one line per mistake: {shown:?}");
    for line in lines {
        assert!(!line.trim().is_empty() && !line.chars().any(char::is_control), "{line:?}");
        // Value, key, nearest key and reason are each bounded.
        assert!(line.chars().count() < 1_000, "{line:?}");
    }
}

/// Asserts that the value of an unknown key is not shown, because it may be a secret.
fn repeats_no_stranger(error: &ConfigError) {
    assert!(!matches!(error.problem, Problem::Unknown { .. }) || error.value.is_none(), "{error:?}");
}

/// Asserts that line and column are those of the key.
fn names_its_place(error: &ConfigError, text: &str) {
    let (line, column) = match &error.source {
        Source::File { line, column, path } => {
            assert_eq!(**path, Path::new(FILE));
            (*line, *column)
        }
        // Two default values never contradict each other.
        other => panic!("a file's mistake is blamed on {other}: {error:?}"),
    };
    let rest = text.splitn(line, '\n').last().filter(|_| text.split('\n').count() >= line);
    let rest = rest.unwrap_or_else(|| panic!("there is no line {line}: {error:?}"));
    let chars = rest.split('\n').next().unwrap_or_default().chars().count();
    assert!(column <= chars + 1, "there is no column {column}: {error:?}");
    if matches!(error.problem, Problem::Syntax(_)) {
        return;
    }
    assert!(!error.key.is_empty(), "{error:?}");
    repeats_no_stranger(error);
    if error.key == "(a name that is not shown)" {
        return;
    }
    // A bare name is in the file as it is; a quoted one may be spelled differently, even over two lines.
    let name = error.key.rsplit('.').next().unwrap_or_default();
    if !error.key.contains(['"', '\'']) && !text.contains('\\') {
        let there: String = rest.chars().skip(column - 1).collect();
        assert!(
            there.trim_start_matches(['"', '\'', '\r', '\n', '\u{feff}']).starts_with(name),
            "{error:?} at {there:?}"
        );
    }
}
