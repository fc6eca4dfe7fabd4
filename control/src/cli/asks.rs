//! How the service of each kind of object is asked. Shows nothing: see [`super::object`].

use tonic::transport::Channel;

use super::{
    failure::Failure,
    object::Object,
    verbs::{DeleteOptions, NetworkFilter, NoFilter},
};
use crate::proto::{self, FdbEntry, Neighbour, Network, Port, Route, Vtep};

/// A kind whose service can be asked for one, to apply one, and to delete one.
pub(super) trait Asked: Object {
    /// Asks for one.
    async fn find(channel: Channel, key: Self::Key) -> Result<Self, Failure>;

    /// Creates it, or replaces the one that the source has already.
    async fn apply(self, channel: Channel, exist_ok: bool) -> Result<(), Failure>;

    /// Deletes one.
    async fn delete(
        channel: Channel,
        key: Self::Key,
        options: DeleteOptions,
    ) -> Result<(), Failure>;
}

/// A kind of which all fit one answer.
pub(super) trait Listed: Asked {
    /// What limits a list.
    type Filter: clap::Args;

    /// Asks for all that pass the filter.
    async fn list(
        channel: Channel,
        filter: Self::Filter,
        all_sources: bool,
    ) -> Result<Vec<Self>, Failure>;
}

/// Implements [`Asked`], and [`Listed`] with `list`: names the service's client, its methods with their
/// requests, and the field that has the object, in a reply as in a request. A list names what limits it,
/// and the field of its reply.
macro_rules! asked {
    ($kind:ident by $service:ident::$client:ident {
        find: $find:ident($find_request:ident) -> $field:ident,
        apply: $apply:ident($apply_request:ident),
        delete: $delete:ident($delete_request:ident),
        $(list: $list:ident($list_request:ident, $filter:ident { $($limit:ident)? }) -> $all:ident,)?
    }) => {
        impl Asked for $kind {
            async fn find(channel: Channel, key: Self::Key) -> Result<Self, Failure> {
                let request = proto::$find_request {
                    key: Some(key.into()),
                };
                let mut client = proto::$service::$client::new(channel);
                let reply = client.$find(request).await?;
                Ok(reply.into_inner().$field.unwrap_or_default())
            }

            async fn apply(self, channel: Channel, exist_ok: bool) -> Result<(), Failure> {
                let request = proto::$apply_request {
                    $field: Some(self),
                    exist_ok: Some(exist_ok),
                };
                let mut client = proto::$service::$client::new(channel);
                client.$apply(request).await?;
                Ok(())
            }

            async fn delete(
                channel: Channel,
                key: Self::Key,
                options: DeleteOptions,
            ) -> Result<(), Failure> {
                let request = proto::$delete_request {
                    key: Some(key.into()),
                    source: options.source,
                    missing_ok: options.missing_ok,
                };
                let mut client = proto::$service::$client::new(channel);
                client.$delete(request).await?;
                Ok(())
            }
        }

        $(impl Listed for $kind {
            type Filter = $filter;

            async fn list(
                channel: Channel,
                filter: $filter,
                all_sources: bool,
            ) -> Result<Vec<Self>, Failure> {
                let $filter { $($limit)? } = filter;
                let request = proto::$list_request { $($limit,)? all_sources };
                let mut client = proto::$service::$client::new(channel);
                let reply = client.$list(request).await?;
                Ok(reply.into_inner().$all)
            }
        })?
    };
}

asked!(Network by network_service_client::NetworkServiceClient {
    find: get_network(GetNetworkRequest) -> network,
    apply: apply_network(ApplyNetworkRequest),
    delete: delete_network(DeleteNetworkRequest),
    list: list_networks(ListNetworksRequest, NoFilter {}) -> networks,
});

asked!(Port by port_service_client::PortServiceClient {
    find: get_port(GetPortRequest) -> port,
    apply: apply_port(ApplyPortRequest),
    delete: delete_port(DeletePortRequest),
    list: list_ports(ListPortsRequest, NetworkFilter { network }) -> ports,
});

asked!(Vtep by vtep_service_client::VtepServiceClient {
    find: get_vtep(GetVtepRequest) -> vtep,
    apply: apply_vtep(ApplyVtepRequest),
    delete: delete_vtep(DeleteVtepRequest),
    list: list_vteps(ListVtepsRequest, NetworkFilter { network }) -> vteps,
});

// No list: there may be many, so they come by a stream (`route::list`).
asked!(Route by route_service_client::RouteServiceClient {
    find: get_route(GetRouteRequest) -> route,
    apply: apply_route(ApplyRouteRequest),
    delete: delete_route(DeleteRouteRequest),
});

asked!(Neighbour by neighbour_service_client::NeighbourServiceClient {
    find: get_neighbour(GetNeighbourRequest) -> neighbour,
    apply: apply_neighbour(ApplyNeighbourRequest),
    delete: delete_neighbour(DeleteNeighbourRequest),
    list: list_neighbours(ListNeighboursRequest, NetworkFilter { network }) -> neighbours,
});

asked!(FdbEntry by fdb_service_client::FdbServiceClient {
    find: get_fdb_entry(GetFdbEntryRequest) -> entry,
    apply: apply_fdb_entry(ApplyFdbEntryRequest),
    delete: delete_fdb_entry(DeleteFdbEntryRequest),
    list: list_fdb_entries(ListFdbEntriesRequest, NetworkFilter { network }) -> entries,
});
