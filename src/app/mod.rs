//! The process: what is started in which order, and how it ends.
//!
//! Reads as the lifecycle: configuration → addresses → shards → HTTP → announce → wait → drain. Everything that can be
//! refused is refused before an address is taken.
//!
//! Does not know: a room's rules, a frame's bytes, a request's meaning; it only joins those who do.

mod desk;
mod homes;
mod library;
mod log_command;
pub mod logging;
mod mail;
pub mod node;
mod openings;
mod posts;
mod tenant;

pub use node::{Node, StartError};

use crate::config::cli::{Args, Command, EXIT_CONFIG};
use crate::config::{self, LogFormat};
use crate::shutdown::Shutdown;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The `volley` command: does what the command line says.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match config::cli::parse(arguments) {
        Ok(Command::Serve(args)) => serve(&args),
        Ok(Command::ShowConfig(args)) => match config::load_process(&args) {
            Ok(loaded) => say(&config::show::to_toml(&loaded)),
            Err(errors) => fail(EXIT_CONFIG, &errors.to_string()),
        },
        Ok(Command::ShowLog(args)) => log_command::run(&args, false),
        Ok(Command::VerifyLog(args)) => log_command::run(&args, true),
        Ok(Command::DocumentConfig) => say(&config::show::to_markdown()),
        Err(exit) if exit.code == 0 => say(&exit.text),
        Err(exit) => fail(exit.code, &exit.text),
    }
}

/// `volley serve`: runs until SIGTERM or SIGINT, then drains.
fn serve(args: &Args) -> ExitCode {
    let mut loaded = match config::load_process(args) {
        Ok(loaded) => loaded,
        Err(errors) => return fail(EXIT_CONFIG, &errors.to_string()),
    };
    logging::init(&loaded.config.log);
    #[cfg(feature = "faults")]
    crate::faults::on::check();
    let capacity = match node::raise_capacity(&mut loaded) {
        Ok(sentence) => sentence,
        Err(errors) => return fail(EXIT_CONFIG, &errors.to_string()),
    };
    let (config, exposed) = (loaded.config, loaded.warnings);
    let json = config.log.format == LogFormat::Json;
    let no_limits = config.no_rate_limits;
    let no_key = config.admin_key.reveal().is_none();
    let node = match Node::start(config) {
        Ok(node) => node,
        Err(error) => return fail(1, &error.to_string()),
    };
    // Before anybody is told that it runs: a signal that comes at once drains too.
    let signals = node.block_on(async { Signals::new() });
    let warnings = [
        no_limits.then_some("rate limits and the display budget are off (--no-rate-limits): for benchmarks only"),
        (no_key && !node.admin_address().ip().is_loopback()).then_some(
            "whoever reaches the admin address may post as the host: set admin_key, or keep the address on loopback",
        ),
    ];
    let warnings: Vec<String> = warnings.into_iter().flatten().map(Into::into).chain(exposed).collect();
    announce(&node, &capacity, &warnings, json);
    node.block_on(until_asked_to_stop(signals));
    tracing::info!("draining: no new connections; everybody is told when to come back");
    let left = node.drain();
    tracing::info!(left, "stopped");
    ExitCode::SUCCESS
}

/// One line per address, when it is ready, and what the operator must not overlook.
fn announce(node: &Node, capacity: &str, warnings: &[String], json: bool) {
    let (public, admin) = (node.public_address(), node.admin_address());
    tracing::info!(%public, %admin, capacity, "ready");
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if json {
        return;
    }
    let mut out = std::io::stdout().lock();
    // Nobody reads it: then it need not be said.
    let _ = writeln!(
        out,
        "\n  Volley is ready: {capacity}\n\n  live rooms   http://{public}/\n  a room       http://{public}/rooms/demo\n  \
         WebSocket    ws://{public}/v1/rooms/demo/ws\n  metrics      http://{admin}/metrics\n"
    );
    for warning in warnings {
        let _ = writeln!(out, "  WARNING: {warning}\n");
    }
    let _ = out.flush();
}

/// SIGTERM and SIGINT, caught from its making on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// On a runtime. `None`, and an error in the log, when the system refuses.
    fn new() -> Option<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        match (terminate, interrupt) {
            (Ok(terminate), Ok(interrupt)) => Some(Self { terminate, interrupt }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "signals cannot be received; stop this process with SIGKILL");
                None
            }
        }
    }
}

async fn until_asked_to_stop(signals: Option<Signals>) {
    let Some(Signals { mut terminate, mut interrupt }) = signals else {
        return Shutdown::default().begun().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Prints on standard output.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // A closed pipe (`volley config | head`) is no error.
    let _ = out.write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says what is wrong on standard error.
fn fail(code: u8, what: &str) -> ExitCode {
    let mut err = std::io::stderr().lock();
    // Without a standard error the exit code has to do.
    let _ = writeln!(err, "volley: {what}");
    ExitCode::from(code)
}
