//! The `volley` command.

use std::process::ExitCode;
use volley::app;
use volley::config::cli::{self, Command};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve(args)) => app::serve(&args),
        Ok(Command::Config(show)) => cli::show(&show),
        Err(exit) => exit.into(),
    }
}
