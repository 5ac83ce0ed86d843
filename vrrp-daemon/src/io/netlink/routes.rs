//! Route look-up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};

use super::{Error, Netlink};

/// How packets to an address leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The index of the interface, 0 if there is none.
    pub(super) interface: u32,
    /// Whether the address is this machine's own, a broadcast address, or anything else that no neighbour has.
    pub(super) kind: RouteType,
    /// The next hop, if the address is not on a network of the interface.
    pub(super) gateway: Option<IpAddr>,
    /// The address of this machine that they would come from.
    pub(super) source: Option<IpAddr>,
    /// The longest packet that the way is known to take, if it is not what the interface says.
    pub(super) mtu: Option<u32>,
}

impl Netlink {
    /// The index of the interface that packets to `destination` leave by, 0 if there is none.
    ///
    /// # Errors
    /// The kernel's refusal, or a closed socket.
    pub async fn interface_to(&self, destination: IpAddr) -> Result<u32, Error> {
        match self.route(destination).await {
            Ok(route) => Ok(route.map_or(0, |route| route.interface)),
            Err(error) => Err(Error::of(format!("find the route to {destination}"), error)),
        }
    }

    /// Asks the kernel how it would send to `destination`.
    pub(super) async fn route(&self, destination: IpAddr) -> Result<Option<Route>, rtnetlink::Error> {
        let mut question = RouteMessage::default();
        let (family, length, address) = match destination {
            IpAddr::V4(address) => (AddressFamily::Inet, Ipv4Addr::BITS, RouteAddress::Inet(address)),
            IpAddr::V6(address) => (AddressFamily::Inet6, Ipv6Addr::BITS, RouteAddress::Inet6(address)),
        };
        question.header.address_family = family;
        question.header.destination_prefix_length = length as u8;
        question.attributes.push(RouteAttribute::Destination(address));

        let mut answers = self.handle.route().get(question).execute();
        let Some(answer) = answers.try_next().await? else {
            return Ok(None);
        };
        let mut route = Route {
            interface: 0,
            kind: answer.header.kind,
            gateway: None,
            source: None,
            mtu: None,
        };
        for attribute in &answer.attributes {
            if let RouteAttribute::Oif(index) = attribute {
                route.interface = *index;
            } else if let RouteAttribute::Gateway(RouteAddress::Inet(gateway))
            | RouteAttribute::Via(RouteVia::Inet(gateway)) = attribute
            {
                route.gateway = Some(IpAddr::V4(*gateway));
            } else if let RouteAttribute::Gateway(RouteAddress::Inet6(gateway))
            | RouteAttribute::Via(RouteVia::Inet6(gateway)) = attribute
            {
                route.gateway = Some(IpAddr::V6(*gateway));
            } else if let RouteAttribute::PrefSource(RouteAddress::Inet(source)) = attribute {
                route.source = Some(IpAddr::V4(*source));
            } else if let RouteAttribute::PrefSource(RouteAddress::Inet6(source)) = attribute {
                route.source = Some(IpAddr::V6(*source));
            } else if let RouteAttribute::Metrics(metrics) = attribute {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
        }
        Ok(Some(route))
    }
}
