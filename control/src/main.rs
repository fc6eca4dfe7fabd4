//! The `ringlay` command: the daemon and its clients.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringlay_control::cli::main()
}
