//! Log lines, as text or JSON, on standard error. At info level they have no token and no comment's text.

use crate::config::{LogConfig, LogFormat};
use crate::console;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;

/// Starts logging. A filter that does not parse was refused with the configuration.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| console::LogLine)
        // Otherwise the library would report a failed write with `eprintln!`, which panics if that fails too.
        .log_internal_errors(false);
    // A test may have set up logging of its own before.
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(console::is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Turns panics into log lines. The standard library's own hook writes to standard error itself, which may block.
pub fn report_panics() {
    std::panic::set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let what = panic.payload_as_str().unwrap_or("no message");
    let at = panic.location().map_or_else(String::new, ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if tracing::event_enabled!(tracing::Level::ERROR) {
        tracing::error!(thread, at, backtrace, "panicked: {what}");
    } else {
        // Logging has not started, or its filter drops errors: the panic is written without it.
        let backtrace = backtrace.unwrap_or_default();
        console::err().line(format!("volley: thread {thread} panicked at {at}: {what}\n{backtrace}").as_bytes());
    }
}
