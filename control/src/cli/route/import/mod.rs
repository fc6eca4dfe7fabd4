//! `ringlay route import`: sends the routes of a file to the daemon, which puts all of them in
//! force or none. Does not judge them, beyond what it must understand to send them.

mod input;
mod lines;
mod mrt;
mod pack;
mod progress;
mod report;

use std::{
    io::BufRead,
    net::IpAddr,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use self::{
    input::Input,
    mrt::NextHops,
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
    /// A RIB dump in MRT format (TABLE_DUMP_V2), or lines of text: `PREFIX NEXTHOP`. A next hop is
    /// the address of a VTEP, or of several separated by commas (equal-cost), with `via ADDRESS`
    /// behind if it is a router, or `direct`; or `port NAME`; or `drop`. What follows a `#` is a
    /// comment.
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
    /// What the file is. Either may be compressed with gzip or bzip2.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// For MRT: where the routes lead, whatever their BGP next hop, as in a text file.
    #[arg(long, value_name = "NEXTHOP", conflicts_with = "map")]
    to: Option<String>,
    /// For MRT: a file with the next hop for each BGP next hop, `BGP-NEXTHOP NEXTHOP` a line; a BGP
    /// next hop `*` stands for all others. Without it and `--to`, BGP next hops are VTEPs.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// For MRT: take the routes of this peer. Without it, the first of each prefix.
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Formats of route files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As the first bytes say.
    Auto,
    /// Lines of text.
    Text,
    /// A RIB dump of a BGP daemon.
    Mrt,
}

/// What the reading thread leaves behind.
struct Read {
    numbering: Numbering,
    /// Why it stopped before the end, if it did.
    result: Result<(), Stop>,
}

pub(super) fn run(args: &ImportArgs, socket: &Path) -> Result<(), Failure> {
    let next_hops = next_hops(args)?;
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
            .spawn_scoped(scope, || read(input, args, &next_hops, begin, sender))?;
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

/// Where BGP next hops are to lead.
fn next_hops(args: &ImportArgs) -> Result<NextHops, Failure> {
    match (&args.to, &args.map) {
        (Some(words), _) => {
            lines::parse_path(words)
                .map_err(|problem| Failure::usage(format_args!("--to: {problem}")))?;
            Ok(NextHops::All(words.clone()))
        }
        (None, Some(map)) => NextHops::read(map),
        (None, None) => Ok(NextHops::Same),
    }
}

/// Reads all and sends it on.
fn read(
    input: Input,
    args: &ImportArgs,
    next_hops: &NextHops,
    begin: LoadBegin,
    sender: mpsc::Sender<LoadRoutesRequest>,
) -> Read {
    let mut packer = Packer::new(sender);
    let result = packer
        .send(Part::Begin(begin))
        .and_then(|()| read_routes(input, args, next_hops, &mut packer))
        .and_then(|()| packer.finish());
    Read {
        numbering: packer.into_numbering(),
        result,
    }
}

fn read_routes(
    mut input: Input,
    args: &ImportArgs,
    next_hops: &NextHops,
    packer: &mut Packer,
) -> Result<(), Stop> {
    let start = input.fill_buf();
    let start = start.map_err(|error| Stop::Bad(format!(": {error}")))?;
    let is_mrt = match args.format {
        Format::Auto => mrt::is_mrt(start),
        Format::Text => false,
        Format::Mrt => true,
    };
    if is_mrt {
        return mrt::read(input, next_hops, args.peer, packer);
    }
    if args.to.is_some() || args.map.is_some() || args.peer.is_some() {
        let problem = ": is text, for which --to, --map and --peer mean nothing";
        return Err(Stop::Bad(problem.to_owned()));
    }
    lines::read(input, packer)
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
