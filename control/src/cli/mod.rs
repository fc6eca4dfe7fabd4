//! The `ringlay` command line: parses arguments and runs one subcommand.

mod asks;
mod attachment;
mod check;
mod failure;
mod fdb;
mod mtu;
mod neighbour;
mod network;
mod object;
mod port;
mod print;
mod route;
mod run;
mod session;
mod show;
mod stages;
mod stats;
mod table;
mod verbs;
mod vtep;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use self::{failure::Failure, object::VerbOf};
use crate::{
    client::DEFAULT_SOCKET,
    demo, doctor,
    lab::one_packet_loop,
    proto::{Neighbour, Network, Port, Vtep},
};

/// Userspace overlay network dataplane.
#[derive(Debug, Parser)]
#[command(name = "ringlay", version, max_term_width = 100)]
struct Cli {
    /// Socket of the daemon.
    #[arg(long, global = true, env = "RINGLAY_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node until SIGTERM; SIGHUP reloads its configuration.
    Run(run::RunArgs),
    /// Tell whether `run` would take a configuration file.
    Check(check::CheckArgs),
    /// Run two nodes on this machine and traffic through them.
    Demo(demo::DemoArgs),
    /// Tell what this host offers and what Ringlay will use of it.
    Doctor(doctor::DoctorArgs),
    /// Show the running state.
    #[command(subcommand)]
    Show(show::ShowCommand),
    /// Networks, routed or bridged, one for each VNI.
    #[command(subcommand)]
    Network(VerbOf<Network>),
    /// TUN devices by which packets enter and leave a network.
    #[command(subcommand)]
    Port(VerbOf<Port>),
    /// Remote tunnel ends.
    #[command(subcommand)]
    Vtep(VerbOf<Vtep>),
    /// Where prefixes lead.
    #[command(subcommand)]
    Route(route::RouteVerb),
    /// MAC addresses of inner addresses.
    #[command(subcommand, visible_alias = "neigh")]
    Neighbour(VerbOf<Neighbour>),
    /// Where the stations of bridged networks are.
    #[command(subcommand)]
    Fdb(fdb::FdbVerb),
    /// How large packets to each far end may be, and why.
    Mtu(mtu::MtuArgs),
    /// Containers on networks.
    #[command(subcommand)]
    Attachment(attachment::AttachmentVerb),
    /// Print counters.
    Stats(stats::StatsArgs),
    /// Where the workers' time goes: cycles by node of the graph, driver, waiting.
    #[command(subcommand)]
    Stages(stages::StagesVerb),
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// One end of the loop that `demo` compares with.
    #[command(hide = true)]
    LabLoop(one_packet_loop::LoopArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let Cli { socket, command } = Cli::parse();
    let done = match command {
        Command::Demo(args) => return demo::run(args),
        Command::Doctor(args) => return doctor::run(args),
        Command::LabLoop(args) => return one_packet_loop::main(args),
        Command::Run(args) => run::run(&args, &socket),
        Command::Check(args) => check::run(&args),
        Command::Show(command) => show::run(&command, &socket),
        Command::Network(verb) => object::run::<Network>(verb, &socket),
        Command::Port(verb) => object::run::<Port>(verb, &socket),
        Command::Vtep(verb) => object::run::<Vtep>(verb, &socket),
        Command::Route(verb) => route::run(verb, &socket),
        Command::Neighbour(verb) => object::run::<Neighbour>(verb, &socket),
        Command::Fdb(verb) => fdb::run(verb, &socket),
        Command::Mtu(args) => mtu::run(args, &socket),
        Command::Attachment(verb) => attachment::run(verb, &socket),
        Command::Stats(args) => stats::run(&args, &socket),
        Command::Stages(verb) => stages::run(verb, &socket),
        Command::Completions { shell } => completions(shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ringlay", &mut script);
    print::print(&String::from_utf8_lossy(&script))
}
