//! `ringlay route import`: sends the routes of a file to the daemon, which puts all of them in
//! force or none. Does not judge them, beyond what it must understand to send them.

mod input;
mod lines;
mod pack;
mod progress;
mod report;

use std::{path::Path, path::PathBuf, thread, time::Instant};

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use self::{
    input::Input,
    pack::{Numbering, Packer, Stop},
    progress::Progress,
    report::{Outcome, Times},
};
use super::{Failure, session};
use crate::{
    client::error_detail,
    proto::{
        LoadBegin, LoadRoutesRequest, LoadStage, load_routes_request::Part,
        load_routes_response::Event, route_service_client::RouteServiceClient,
    },
};

/// Pieces that may wait to be sent: as much is read ahead.
const PIECES_AHEAD: usize = 8;

/// What to load, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// A file; `-` is standard input.
    ///
    /// Lines of text: `PREFIX NEXTHOP`. A next hop is the address of a VTEP, or of several separated by commas
    /// (equal-cost), with `via ADDRESS` behind if it is a router; or `port NAME`; or `drop`. What
    /// follows a `#` is a comment.
    file: PathBuf,
    /// The network of all routes.
    #[arg(long)]
    network: String,
    /// Whose routes they are: grpc, cni, cluster or import.
    #[arg(long, default_value = "import")]
    source: String,
    /// Delete the routes of this source and network that are not in the file.
    #[arg(long)]
    replace: bool,
    /// Only print what would change.
    #[arg(long)]
    dry_run: bool,
    /// What the file is.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Formats of route files. Each may be compressed with gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As the first bytes say.
    Auto,
    /// Lines of text.
    Text,
}

/// What the reading thread leaves behind.
struct Read {
    numbering: Numbering,
    /// Why it stopped before the end, if it did.
    result: Result<(), Stop>,
}

pub(super) fn run(args: &ImportArgs, socket: &Path) -> Result<(), Failure> {
    let input = Input::open(&args.file)?;
    let started = Instant::now();
    let (sender, requests) = mpsc::channel(PIECES_AHEAD);
    let begin = LoadBegin {
        network: args.network.clone(),
        source: args.source.clone(),
        replace: args.replace,
        dry_run: args.dry_run,
    };
    thread::scope(|scope| {
        let reader = thread::Builder::new()
            .name("ringlay-read".to_owned())
            .spawn_scoped(scope, || read(input, args.format, begin, sender))?;
        let talked = session(socket, async |channel| {
            Ok(talk(channel, requests, started, args).await)
        });
        let read = reader
            .join()
            .map_err(|_| Failure::new("the thread that reads the file panicked"))?;
        finish(args, talked?, read)
    })
}

/// What the file says is wrong with it comes before what the daemon says.
fn finish(args: &ImportArgs, talked: Result<Outcome, Status>, read: Read) -> Result<(), Failure> {
    let file = args.file.display();
    match (read.result, talked) {
        (Err(Stop::Bad(error)), _) => Err(Failure::usage(format_args!(
            "{file}{error}; nothing was loaded"
        ))),
        (_, Ok(outcome)) => outcome.print(args.json),
        (_, Err(status)) => {
            let detail = error_detail(&status).unwrap_or_default();
            let record = detail.field.strip_prefix("record ");
            let Some(record) = record.and_then(|record| record.parse().ok()) else {
                return Err(status.into());
            };
            let line = read.numbering.line(record);
            let message = status.message();
            let message = message.split_once(": ").map_or(message, |(_, rest)| rest);
            Err(Failure::usage(format_args!(
                "{file}:{line}: {message}; {}; nothing was loaded",
                detail.hint
            )))
        }
    }
}

/// Reads all and sends it on.
fn read(
    input: Input,
    format: Format,
    begin: LoadBegin,
    sender: mpsc::Sender<LoadRoutesRequest>,
) -> Read {
    let mut packer = Packer::new(sender);
    let result = packer
        .send(Part::Begin(begin))
        .and_then(|()| match format {
            Format::Auto | Format::Text => lines::read(input, &mut packer),
        })
        .and_then(|()| packer.finish());
    Read {
        numbering: packer.into_numbering(),
        result,
    }
}

/// Passes the routes on, and shows what the daemon says.
async fn talk(
    channel: Channel,
    requests: mpsc::Receiver<LoadRoutesRequest>,
    started: Instant,
    args: &ImportArgs,
) -> Result<Outcome, Status> {
    let mut client = RouteServiceClient::new(channel);
    let replies = client.load_routes(ReceiverStream::new(requests)).await?;
    let mut replies = replies.into_inner();
    let mut progress = Progress::new(started);
    let mut outcome = Outcome::new(args.dry_run);
    let mut confirmed = None;
    while let Some(reply) = replies.message().await? {
        match reply.event {
            Some(Event::Progress(news)) => {
                progress.show(&news);
                if news.stage() == LoadStage::Confirmed {
                    confirmed = Some(started.elapsed());
                }
            }
            Some(Event::Difference(difference)) => outcome.add(difference),
            Some(Event::Result(result)) => {
                let total = started.elapsed();
                let forwarding = confirmed.unwrap_or(total);
                outcome.set(result, Times { forwarding, total });
            }
            None => {}
        }
    }
    Ok(outcome)
}
