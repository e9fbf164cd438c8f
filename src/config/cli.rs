//! The command line. Values are kept as text here: flags, file and environment share one reader.

use super::error::{ConfigError, Problem};
use super::keys::{KEYS, ValueKind, nearest, position, shown};
use super::source::Source;
use super::state::Draft;
use super::usage;
use super::value::Wrong;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The command line makes no sense (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// The configuration is wrong, or this machine cannot carry it (`EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve(Args),
    /// Print the effective configuration as TOML.
    ShowConfig(Args),
    /// Print the documentation of all keys as Markdown.
    DocumentConfig,
    /// Print the rooms of the log.
    ShowLog(Args),
    /// Look through the log for damage.
    VerifyLog(Args),
}

/// Ends the process before it began: help, the version, or a usage error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: u8,
    /// What to print, to stdout when the code is 0, else to stderr.
    pub text: String,
}

/// A live-stream danmaku (bullet comment) broadcaster.
#[derive(Debug, Parser)]
#[command(name = "volley", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Verb>,
    #[command(flatten)]
    args: Args,
}

const AFTER_HELP: &str = "Every key of `volley config` is also an environment variable: tick_ms is VOLLEY_TICK_MS.
Exit codes: 0 clean, 64 usage, 78 configuration, 1 otherwise.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server (also without any command)
    Serve,
    /// Print the effective configuration, and where each value came from
    Config {
        /// Print the documentation of all keys instead
        #[arg(long)]
        markdown: bool,
    },
    /// Print the rooms of the log on disk: heads, sizes, epochs. Only reads; a server may be running on it
    Log {
        #[command(subcommand)]
        action: Option<LogVerb>,
    },
}

#[derive(Debug, Subcommand)]
enum LogVerb {
    /// Check every record; exit code 1 when something is damaged
    Verify,
}

/// The flags, as they were written. A `--set` may hold a secret: [`Debug`](fmt::Debug) leaves them out.
#[derive(Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Args {
    /// Read this TOML file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Public address: pages and WebSockets [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Admin address: metrics and health [default: 127.0.0.1:8081]
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub admin: Option<String>,
    /// Where the log lives [default: ./volley-data]
    #[arg(long, global = true, value_name = "DIR|memory")]
    pub data: Option<String>,
    /// `fsync` or `write`: when a comment counts as kept [default: fsync]
    #[arg(long, global = true, value_name = "WHEN")]
    pub durability: Option<String>,
    /// The rooms' tick, 5 to 2000 ms [default: 100]
    #[arg(long, global = true, value_name = "MS", allow_hyphen_values = true)]
    pub tick: Option<String>,
    /// Threads that serve connections; 0: one per core [default: 0]
    #[arg(long, global = true, value_name = "N", allow_hyphen_values = true)]
    pub shards: Option<String>,
    /// How long SIGTERM spreads the clients' return over [default: 10s]
    #[arg(long, global = true, value_name = "MS", allow_hyphen_values = true)]
    pub drain: Option<String>,
    /// For benchmarks: admission limits and display budget off
    #[arg(long, global = true)]
    pub no_rate_limits: bool,
    /// `text` or `json` [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged, such as `info` or `warn,volley=debug` [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// Set any key, such as `--set room.idle_s=10m`
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("config", &self.config).field("set", &self.set.len()).finish_non_exhaustive()
    }
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// What to print and the exit code: 0 for `--help` and `--version`, else [`EXIT_USAGE`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Exit> {
    let cli = Cli::try_parse_from(arguments).map_err(|error| Exit {
        code: if error.use_stderr() { EXIT_USAGE } else { 0 },
        text: if error.use_stderr() { usage::message::<Cli>(error) } else { error.render().to_string() },
    })?;
    Ok(match cli.command {
        None | Some(Verb::Serve) => Command::Serve(cli.args),
        Some(Verb::Config { markdown: false }) => Command::ShowConfig(cli.args),
        Some(Verb::Config { markdown: true }) => Command::DocumentConfig,
        Some(Verb::Log { action: None }) => Command::ShowLog(cli.args),
        Some(Verb::Log { action: Some(LogVerb::Verify) }) => Command::VerifyLog(cli.args),
    })
}

/// Applies the flags. Two flags that set the same key are a mistake: neither is the stronger one.
pub(super) fn apply(state: &mut Draft, args: &Args) {
    let no_rate_limits = args.no_rate_limits.then(|| "true".to_owned());
    let named = [
        ("--listen", "listen", &args.listen),
        ("--admin", "admin", &args.admin),
        ("--data", "data", &args.data),
        ("--durability", "durability", &args.durability),
        ("--tick", "tick_ms", &args.tick),
        ("--shards", "shards", &args.shards),
        ("--drain", "drain_ms", &args.drain),
        ("--no-rate-limits", "no_rate_limits", &no_rate_limits),
        ("--log-format", "log.format", &args.log_format),
        ("--log", "log.filter", &args.log),
    ];
    let mut seen: Vec<Option<String>> = vec![None; KEYS.len()];
    for (flag, path, value) in named {
        if let Some(text) = value {
            set(state, &mut seen, flag.into(), path, text);
        }
    }
    for (at, setting) in args.set.iter().enumerate() {
        match setting.split_once('=') {
            Some((path, text)) => {
                let path = path.trim();
                let flag = format!("--set {path}");
                set(state, &mut seen, if position(path).is_some() { flag } else { "--set".into() }, path, text.trim());
            }
            // It may be a value without its name.
            None => state.error(ConfigError {
                key: String::new(),
                value: None,
                source: Source::Flag("--set".into()),
                problem: Problem::Type {
                    expected: "KEY=VALUE".into(),
                    found: format!("no `=` in number {} of the --set flags", at + 1),
                },
            }),
        }
    }
}

fn set(state: &mut Draft, seen: &mut [Option<String>], flag: String, path: &str, text: &str) {
    let source = Source::Flag(flag.clone());
    let Some(at) = position(path) else {
        let near = nearest(path, |key| key.path.into());
        let key = shown(path, near.as_deref());
        return state.error(ConfigError { key, value: None, source, problem: Problem::Unknown { nearest: near } });
    };
    let error = |problem| ConfigError { key: path.into(), value: Some(text.into()), source: source.clone(), problem };
    if let Some(first) = &seen[at] {
        return state.error(error(Problem::Duplicate(format!("also by `{first}`"))));
    }
    seen[at] = Some(flag);
    let value = if text.is_empty() && KEYS[at].kind == ValueKind::Secret {
        // A variable of a script that was not set: the address would be open.
        Err(Wrong::Type("nothing".into()))
    } else {
        KEYS[at].kind.read_text(text)
    };
    state.set(at, path, text, source.clone(), value);
}
