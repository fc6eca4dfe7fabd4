//! `ringlay doctor`: what this host offers and what Ringlay will use of it.
//!
//! It looks and tries, changes nothing that outlives it, and says what it could not look at. Each
//! file examines one thing; `finding` says what an examination yields.

mod engine;
mod finding;
mod network;
mod privileges;
mod render;
mod tunnels;
mod underlay;

use std::process::ExitCode;

use finding::Diagnosis;

/// Arguments of `ringlay doctor`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct DoctorArgs {
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command: success if Ringlay can run here.
pub fn run(args: DoctorArgs) -> ExitCode {
    let diagnosis = examine();
    if args.json {
        let json = serde_json::to_string_pretty(&diagnosis).expect("findings are plain");
        println!("{json}");
    } else {
        print!("{}", render::Text(&diagnosis));
    }
    if diagnosis.can_run() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn examine() -> Diagnosis {
    let mut engine = engine::examine();
    let underlay = underlay::examine();
    engine.uses.push(underlay.used);
    let sections = vec![
        privileges::host(),
        privileges::capabilities(),
        engine.tun,
        engine.io_uring,
        engine.af_xdp,
        tunnels::examine(),
        network::links(),
        underlay.section,
        network::settings(),
    ];
    Diagnosis::new(sections, engine.uses)
}
