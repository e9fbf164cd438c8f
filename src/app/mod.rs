//! The process: the order in which its parts start, and how it ends.
//!
//! Follows the lifecycle: configuration → addresses → shards → HTTP → announce → wait → drain. Every configuration
//! error is found before an address is bound.
//!
//! Does not know: a room's rules, a frame's bytes, the meaning of a request. It only joins the parts.

mod admin;
mod descriptors;
#[cfg(feature = "echo")]
mod echo;
mod log_command;
mod log_pool;
pub mod logging;
mod mail;
pub mod node;
mod opening_rooms;
mod page_cache;
mod post_mail;
mod post_router;
mod shard_rooms;
mod signals;
mod tenant;

pub use node::{Node, StartError};

use crate::config::cli::{Args, Command, EXIT_CONFIG};
use crate::config::{self, LogFormat};
use crate::console;
use signals::Signals;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the `volley` command with these arguments.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    logging::report_panics();
    let _last_words = LastWords;
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

/// Writes what is still queued for the standard streams when the process ends, even by a panic.
struct LastWords;

impl Drop for LastWords {
    fn drop(&mut self) {
        console::flush();
    }
}

/// `volley serve`: runs until SIGTERM or SIGINT, then drains.
fn serve(args: &Args) -> ExitCode {
    let mut loaded = match config::load_process(args) {
        Ok(loaded) => loaded,
        Err(errors) => return fail(EXIT_CONFIG, &errors.to_string()),
    };
    logging::init(&loaded.config.log);
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(1, &format!("cannot start: signals cannot be received: {error}")),
    };
    #[cfg(feature = "faults")]
    crate::faults::on::check();
    let capacity = match descriptors::raise(&mut loaded) {
        Ok(sentence) => sentence,
        Err(errors) => return fail(EXIT_CONFIG, &errors.to_string()),
    };
    let (config, exposed) = (loaded.config, loaded.warnings);
    let json = config.log.format == LogFormat::Json;
    let no_limits = config.no_rate_limits;
    let no_key = config.addresses.admin_key.reveal().is_none();
    let node = match Node::start(config) {
        Ok(node) => node,
        Err(error) => return fail(1, &error.to_string()),
    };
    if let Err(error) = signals.expect_the_end() {
        return fail(1, &format!("cannot start: signals cannot be received: {error}"));
    }
    let warnings = [
        no_limits.then_some("rate limits and the display budget are off (--no-rate-limits): for benchmarks only"),
        (no_key && !node.admin_address().ip().is_loopback()).then_some(
            "anyone who can reach the admin address may post as the host: set admin_key, or keep the address on loopback",
        ),
    ];
    let warnings: Vec<String> = warnings.into_iter().flatten().map(Into::into).chain(exposed).collect();
    announce(&node, &capacity, &warnings, json);
    signals.until_asked_to_stop();
    tracing::info!("draining: no new connections; each client gets a time to come back");
    let Some(left) = signals.while_draining(|| node.drain()) else {
        return fail(1, "the drain ended by a panic; the log has the details");
    };
    tracing::info!(left, "stopped");
    ExitCode::SUCCESS
}

/// Prints the addresses of a node that is ready, and the warnings.
fn announce(node: &Node, capacity: &str, warnings: &[String], json: bool) {
    let (public, admin) = (node.public_address(), node.admin_address());
    tracing::info!(%public, %admin, capacity, "ready");
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if json {
        return;
    }
    let mut text = format!(
        "\n  Volley is ready: {capacity}\n\n  live rooms   http://{public}/\n  a room       http://{public}/rooms/demo\n  \
         WebSocket    ws://{public}/v1/rooms/demo/ws\n  metrics      http://{admin}/metrics\n\n"
    );
    for warning in warnings {
        text.push_str(&format!("  WARNING: {warning}\n\n"));
    }
    console::out().line(text.as_bytes());
}

/// Prints on standard output. Exits with 1 if that fails: a part of the output must not look like all of it.
fn say(text: &str) -> ExitCode {
    match console::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &format!("cannot write to standard output: {error}")),
    }
}

/// Writes an error to standard error.
fn fail(code: u8, what: &str) -> ExitCode {
    console::err().line(format!("volley: {what}\n").as_bytes());
    ExitCode::from(code)
}
