//! The `volley` command with fault hooks (`src/faults.rs`), for `loadgen chaos`. Never ships.

fn main() -> std::process::ExitCode {
    volley::app::main(std::env::args_os())
}
