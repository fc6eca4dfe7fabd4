//! `RouteService.ListRoutes`: walks the routes in pieces, and lets go of the engine in between. A
//! piece is from one moment; a route that changes meanwhile may be seen before or after.

use std::{net::IpAddr, ops::Bound};

use ipnet::IpNet;
use tokio::sync::mpsc;
use tonic::Status;

use super::{backend::Backend, parse, status::invalid, view};
use crate::{
    app::Engine,
    object::{Name, Path, Source, Target},
    proto::{self, ListRoutesRequest, ListRoutesResponse},
    rib::RouteRef,
};

/// Routes of a piece: well below the usual limit of 4 MiB a message.
const ROUTES_A_PIECE: usize = 4096;

/// Routes that are looked at before others may use the engine again.
const LOOKS_A_PIECE: usize = 65_536;

/// The source that is shown for prefixes which ports bring along.
const CONNECTED: &str = "connected";

/// What is listed, and how far it is.
#[derive(Debug)]
pub(super) struct Listing {
    network: Option<Name>,
    all: bool,
    within: Option<IpNet>,
    address: Option<IpAddr>,
    source: Option<Source>,
    /// Networks that are still to come, the next one last; none before the beginning.
    networks: Option<Vec<Name>>,
    /// Where to go on in the next network.
    from: Bound<IpNet>,
}

impl Listing {
    pub(super) fn new(request: &ListRoutesRequest) -> Result<Self, Status> {
        let within = match request.prefix.as_str() {
            "" => None,
            text => Some(parse::prefix("prefix", text)?),
        };
        let address = parse::optional("address", &request.address)?;
        if within.is_some() && address.is_some() {
            return Err(invalid("address", "excludes prefix"));
        }
        let mut listing = Self {
            network: parse::network_filter(&request.network)?,
            all: request.all_sources,
            within,
            address,
            source: parse::optional("source", &request.source)?,
            networks: None,
            from: Bound::Unbounded,
        };
        listing.from = listing.first();
        Ok(listing)
    }

    /// Sends all pieces, as fast as they are taken.
    pub(super) async fn send(
        mut self,
        backend: Backend,
        sender: mpsc::Sender<Result<ListRoutesResponse, Status>>,
    ) {
        let mut begun = false;
        loop {
            let piece = backend
                .read(move |engine| {
                    let routes = self.piece(engine);
                    let instance = view::instance(engine);
                    (ListRoutesResponse { instance, routes }, self)
                })
                .await;
            let (piece, rest) = match piece {
                Ok(piece) => piece,
                Err(status) => return drop(sender.send(Err(status)).await),
            };
            self = rest;
            let done = self.networks.as_ref().is_none_or(Vec::is_empty);
            // The instance is told even when there is no route.
            let worth = !piece.routes.is_empty() || (done && !begun);
            if worth && sender.send(Ok(piece)).await.is_err() {
                return;
            }
            begun |= worth;
            if done {
                return;
            }
        }
    }

    fn first(&self) -> Bound<IpNet> {
        self.within.map_or(Bound::Unbounded, Bound::Included)
    }

    fn piece(&mut self, engine: &Engine) -> Vec<proto::Route> {
        let networks = self.networks.take();
        let mut networks = networks.unwrap_or_else(|| self.begin(engine));
        let mut routes = Vec::new();
        if let Some(address) = self.address {
            let found = networks.drain(..).rev();
            routes.extend(found.filter_map(|network| taken(engine, &network, address)));
        } else if let Some(network) = networks.last()
            && self.walk(engine, &network.clone(), &mut routes)
        {
            networks.pop();
            self.from = self.first();
        }
        self.networks = Some(networks);
        routes
    }

    /// The networks to walk, the first one last.
    fn begin(&self, engine: &Engine) -> Vec<Name> {
        let rib = engine.rib();
        let mut networks: Vec<_> = match (&self.network, self.address) {
            (Some(network), _) => vec![network.clone()],
            (None, Some(_)) => rib.networks().map(|(_, it)| it.name.clone()).collect(),
            (None, None) => rib.routed_networks().cloned().collect(),
        };
        networks.reverse();
        networks
    }

    /// Takes the next routes of a network; returns whether they were its last.
    fn walk(&mut self, engine: &Engine, network: &Name, routes: &mut Vec<proto::Route>) -> bool {
        let rest = engine.rib().routes_after(network, self.from, self.all);
        for (looked, route) in rest.enumerate() {
            if self
                .within
                .is_some_and(|within| is_past(within, route.prefix))
            {
                return true;
            }
            // The layers of one prefix stay together.
            let again = matches!(self.from, Bound::Excluded(last) if last == route.prefix);
            if !again && (routes.len() >= ROUTES_A_PIECE || looked >= LOOKS_A_PIECE) {
                return false;
            }
            self.from = Bound::Excluded(route.prefix);
            if self.fits(&route) {
                routes.push(view::route_ref(route));
            }
        }
        true
    }

    fn fits(&self, route: &RouteRef<'_>) -> bool {
        let within = self
            .within
            .is_none_or(|within| within.contains(&route.prefix));
        within && self.source.is_none_or(|source| source == route.source)
    }
}

/// Whether no prefix from this one on is within another.
fn is_past(within: IpNet, prefix: IpNet) -> bool {
    prefix.addr() > within.broadcast() || prefix.addr().is_ipv4() != within.addr().is_ipv4()
}

/// What a packet to an address goes by.
fn taken(engine: &Engine, network: &Name, address: IpAddr) -> Option<proto::Route> {
    let rib = engine.rib();
    let route = rib.longest_route(network, address);
    let length = route.map(|route| route.prefix.prefix_len());
    let nets = rib
        .ports_of(network)
        .flat_map(|port| port.addresses.iter().map(move |net| (port, *net)));
    // An address of our own comes before a route, a connected prefix behind an equal one.
    let ports = nets.filter_map(|(port, net)| {
        if net.addr() == address {
            return Some((port, IpNet::from(address), true));
        }
        let longer = length.is_none_or(|length| net.prefix_len() > length);
        (net.contains(&address) && longer).then_some((port, net.trunc(), false))
    });
    match ports.max_by_key(|(_, prefix, own)| (*own, prefix.prefix_len())) {
        Some((port, prefix, _)) => {
            let path = Path {
                target: Target::Port(port.name.clone()),
                via: None,
                direct: false,
            };
            Some(view::show_route(CONNECTED, network, prefix, &path))
        }
        None => route.map(view::route_ref),
    }
}
