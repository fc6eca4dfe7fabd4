//! The `ringlay` command line: parses arguments and runs one subcommand.

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{client::DEFAULT_SOCKET, demo, doctor, lab::one_packet_loop};

/// Exit status of wrong usage and wrong configuration.
pub const EXIT_USAGE: u8 = 2;

/// Userspace overlay network dataplane.
#[derive(Debug, Parser)]
#[command(name = "ringlay", version, max_term_width = 100)]
struct Cli {
    /// Socket of the daemon to talk to.
    #[arg(long, global = true, env = "RINGLAY_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run two nodes on this machine and traffic through them.
    Demo(demo::DemoArgs),
    /// One end of the loop that `demo` compares with.
    #[command(hide = true)]
    LabLoop(one_packet_loop::LoopArgs),
    /// Tell what this host offers and what Ringlay will use of it.
    Doctor(doctor::DoctorArgs),
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::LabLoop(args) => one_packet_loop::main(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "ringlay",
                &mut std::io::stdout(),
            );
            ExitCode::SUCCESS
        }
    }
}
