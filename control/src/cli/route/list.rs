//! `ringlay route list`: prints routes as they come, however many there are.

use std::{io, io::Write, path::Path};

use clap::Args;

use super::{Failure, NetworkFilter, Object, session};
use crate::proto::{ListRoutesRequest, Route, route_service_client::RouteServiceClient};

/// Limits the list.
#[derive(Debug, Args)]
pub(in crate::cli) struct RouteFilter {
    #[command(flatten)]
    only: NetworkFilter,
    /// Only those within this prefix, itself included.
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only the one that packets to this address take.
    #[arg(
        long = "match",
        value_name = "ADDRESS",
        default_value = "",
        hide_default_value = true,
        conflicts_with_all = ["prefix", "source", "all_sources"]
    )]
    address: String,
    /// Only those of this source.
    #[arg(long, default_value = "", hide_default_value = true)]
    source: String,
}

impl RouteFilter {
    pub(super) fn request(self, all_sources: bool) -> ListRoutesRequest {
        ListRoutesRequest {
            network: self.only.network,
            all_sources,
            prefix: self.prefix,
            address: self.address,
            source: self.source,
        }
    }
}

pub(super) fn run(request: ListRoutesRequest, json: bool, socket: &Path) -> Result<(), Failure> {
    session(socket, async |channel| {
        let mut client = RouteServiceClient::new(channel);
        let mut pieces = client.list_routes(request).await?.into_inner();
        let mut printer = Printer::new(json);
        while let Some(piece) = pieces.message().await? {
            if !printer.piece(&piece.routes)? {
                return Ok(());
            }
        }
        printer.end()
    })
}

/// Prints lines, or the items of a JSON array.
struct Printer {
    out: io::BufWriter<io::Stdout>,
    json: bool,
    first: bool,
}

impl Printer {
    fn new(json: bool) -> Self {
        Self {
            out: io::BufWriter::new(io::stdout()),
            json,
            first: true,
        }
    }

    /// Prints some routes; returns whether somebody still reads.
    fn piece(&mut self, routes: &[Route]) -> Result<bool, Failure> {
        still_read(self.write(routes))
    }

    fn write(&mut self, routes: &[Route]) -> io::Result<()> {
        for route in routes {
            if !self.json {
                writeln!(self.out, "{}", route.line())?;
                continue;
            }
            let before = if self.first { "[\n  " } else { ",\n  " };
            self.first = false;
            write!(self.out, "{before}{}", route.value())?;
        }
        self.out.flush()
    }

    fn end(mut self) -> Result<(), Failure> {
        let end = match (self.json, self.first) {
            (false, _) => "",
            (true, true) => "[]\n",
            (true, false) => "\n]\n",
        };
        let done = self.out.write_all(end.as_bytes());
        still_read(done.and_then(|()| self.out.flush())).map(drop)
    }
}

/// A reader that goes away, such as `head`, is no failure.
fn still_read(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}
