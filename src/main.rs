//! The `volley` command.

fn main() -> std::process::ExitCode {
    volley::app::main(std::env::args_os())
}
