//! Checks across tables: what each table alone cannot know.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use lb_common::maps;
use toml::Spanned;

use crate::model::shares::{Percent, ScheduleLimit};
use crate::model::{Ports, Protocol, Scheduler, ServiceAddress, VirtualService};

use super::diagnostic::Diagnostic;
use super::group::{Groups, RawGroup};
use super::instance::RawInstance;
use super::node::RawDataplane;
use super::section::{Problems, Reported};
use super::server::RawServer;
use super::value::{InterfaceName, Switch};
use crate::model::{AddressFamily, VirtualRouterName};

/// Reports instances that get in each other's way.
pub(super) fn instances(instances: &[Result<RawInstance, Reported>], problems: &mut Problems) {
    let mut names: HashMap<&str, Range<usize>> = HashMap::new();
    let mut routers = HashMap::new();
    for instance in instances.iter().flatten() {
        if let Ok(name) = &instance.name {
            if let Some(first) = names.get(name.get_ref().0.as_str()) {
                let message = format!(
                    "two vrrp_instances are named `{}`",
                    name.get_ref().0.escape_debug()
                );
                let diagnostic = Diagnostic::error(name.span(), message, "second definition")
                    .beside(first.clone(), "first defined here")
                    .help("status and logs tell them apart by name: choose another");
                problems.report(diagnostic);
            } else {
                names.insert(&name.get_ref().0, name.span());
            }
        }
        if let (Ok(interface), Ok(id)) = (&instance.interface, &instance.virtual_router_id) {
            let name = VirtualRouterName {
                interface: interface.get_ref().0.clone(),
                virtual_router_id: *id.get_ref(),
                family: instance.family().unwrap_or(AddressFamily::Ipv4),
            };
            if let Some(first) = routers.get(&name) {
                let message = format!(
                    "virtual_router_id {} is used twice on `{}`",
                    id.get_ref(),
                    name.interface
                );
                let diagnostic = Diagnostic::error(id.span(), message, "second definition")
                    .beside(Range::clone(first), "first defined here")
                    .note("routers on one network tell virtual routers apart by this number only")
                    .help("choose another, the same on all routers of this instance");
                problems.report(diagnostic);
            } else {
                routers.insert(name, id.span());
            }
        }
    }
    virtual_addresses(instances, problems);
}

/// Reports virtual addresses that are there twice.
fn virtual_addresses(instances: &[Result<RawInstance, Reported>], problems: &mut Problems) {
    let mut seen: HashMap<IpAddr, (usize, Range<usize>)> = HashMap::new();
    for (number, instance) in instances.iter().flatten().enumerate() {
        for virtual_address in instance.addresses() {
            let Ok(address) = virtual_address.get_ref().ip() else {
                continue;
            };
            let Some((owner, first)) = seen.get(&address) else {
                seen.insert(address, (number, virtual_address.span()));
                continue;
            };
            let diagnostic = if *owner == number {
                let message = format!("virtual address {address} is there twice");
                Diagnostic::error(virtual_address.span(), message, "second definition").help("remove one")
            } else {
                let message = format!("virtual address {address} is in two vrrp_instances");
                Diagnostic::error(virtual_address.span(), message, "second definition")
                    .note("each elects its own master: the address could be on two nodes at once")
                    .help("leave it in one of them")
            };
            problems.report(diagnostic.beside(first.clone(), "first defined here"));
        }
    }
}

/// Reports instances whose interface the program is not on, with nothing to hear the successor by.
pub(super) fn leases(
    instances: &[Result<RawInstance, Reported>],
    dataplane: &RawDataplane,
    problems: &mut Problems,
) {
    // Without any, the program is on the interfaces of the instances; and where virtual addresses are, in any case.
    let interfaces: Vec<&InterfaceName> = dataplane.interfaces().map(Spanned::get_ref).collect();
    if interfaces.is_empty() {
        return;
    }
    for instance in instances.iter().flatten() {
        let (Ok(interface), Ok(lease)) = (&instance.interface, &instance.lease) else {
            continue;
        };
        let interface_name = interface.get_ref();
        let has_address = instance.addresses().any(|address| {
            let device = address.get_ref().device();
            device.is_none_or(|device| device.get_ref() == interface_name)
        });
        if *lease.get_ref() == Switch::On && !has_address && !interfaces.contains(&interface_name) {
            let message = format!("the program does not hear a successor on `{}`", interface_name.0);
            let diagnostic = Diagnostic::warning(
                interface.span(),
                message,
                "not among the dataplane's interfaces",
            )
            .note(
                "if this daemon dies, its node goes on answering for the addresses until its lease runs out, \
                 beside the next master",
            )
            .help("add the interface to `interfaces` in `[dataplane]`, or accept it with `lease = \"off\"`");
            problems.report(diagnostic);
        }
    }
}

/// Reports real servers whose address is a virtual one.
pub(super) fn real_addresses(
    servers: &[Result<RawServer, Reported>],
    groups: &Groups<'_>,
    instances: &[Result<RawInstance, Reported>],
    problems: &mut Problems,
) {
    let services = servers.iter().flatten();
    let mut virtual_addresses: HashMap<IpAddr, Range<usize>> =
        services.flat_map(|server| server.ips(groups)).collect();
    for address in instances.iter().flatten().flat_map(RawInstance::addresses) {
        if let Ok(ip) = address.get_ref().ip() {
            virtual_addresses.entry(ip).or_insert_with(|| address.span());
        }
    }
    for real_server in servers
        .iter()
        .flatten()
        .flat_map(|server| &server.real_server)
        .flatten()
    {
        let Ok(address) = &real_server.address else {
            continue;
        };
        if let Some(place) = virtual_addresses.get(address.get_ref()) {
            let message = format!("real server {} has a virtual address", address.get_ref());
            let diagnostic =
                Diagnostic::error(address.span(), message, "must be an address that only it has")
                    .beside(place.clone(), "virtual here")
                    .note("packets are sent to the MAC address behind a real server's own address");
            problems.report(diagnostic);
        }
    }
}

/// Reports groups that are there twice.
pub(super) fn groups(groups: &[Result<RawGroup, Reported>], problems: &mut Problems) {
    let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
    for name in groups.iter().flatten().flat_map(|group| &group.name) {
        let text = name.get_ref().0.as_str();
        if let Some(first) = seen.get(text) {
            let message = format!("two virtual_server_groups are named `{}`", text.escape_debug());
            let diagnostic = Diagnostic::error(name.span(), message, "second definition")
                .beside(first.clone(), "first defined here")
                .help("make the members of one of them members of the other, or choose another name");
            problems.report(diagnostic);
        } else {
            seen.insert(text, name.span());
        }
    }
}

/// Reports services that are there twice or in part, and those that no instance makes highly available.
pub(super) fn services(
    servers: &[Result<RawServer, Reported>],
    groups: &Groups<'_>,
    instances: &[Result<RawInstance, Reported>],
    problems: &mut Problems,
) {
    let mut seen = Seen::default();
    for server in servers.iter().flatten() {
        if let Ok(Some(group)) = &server.group {
            groups.check(group, problems);
        }
        super::server::check_real_servers(server, groups, problems);
        for (service, place) in server.addresses(groups).into_iter().flatten() {
            seen.check(service, place, problems);
        }
        let ips = server.ips(groups);
        let uncovered = ips.iter().find(|(ip, _)| !may_cover(instances, *ip));
        // What is wrong elsewhere may be why.
        if let Some((ip, place)) = uncovered
            && !problems.any_error()
        {
            let message = format!("{ip} is in no vrrp_instance");
            let diagnostic = Diagnostic::warning(place.clone(), message, "not highly available")
                .note("lbd forwards its packets, but neither adds the address nor announces it nor moves it")
                .help("add it to the `virtual_ipaddress` of a `[[vrrp_instance]]`");
            problems.report(diagnostic);
        }
    }
}

/// Ports of one address and protocol that are one service, and their place.
type PlacedPorts = (Ports, Range<usize>);

/// The addresses of the services so far, each with its place.
#[derive(Default)]
struct Seen {
    all: HashMap<ServiceAddress, Range<usize>>,
    /// The ranges of ports of each address.
    ranges: HashMap<(IpAddr, Protocol), Vec<PlacedPorts>>,
}

impl Seen {
    /// Reports that `service` is there already, or that some of its ports are another one's that has more beside them.
    fn check(&mut self, service: ServiceAddress, place: Range<usize>, problems: &mut Problems) {
        if let Some(first) = self.all.get(&service) {
            let message = format!("virtual server {service} is there twice");
            let diagnostic = Diagnostic::error(place, message, "second definition")
                .beside(first.clone(), "first defined here")
                .help("move its real servers into one of them, or change the port or the protocol");
            problems.report(diagnostic);
            return;
        }
        if service.ports.only().is_none() {
            let ranges = self.ranges.entry((service.ip, service.protocol)).or_default();
            if let Some((other, first)) = ranges.iter().find(|(other, _)| other.crosses(service.ports)) {
                let message = format!("ports of {service} are ports of another virtual server, too");
                let diagnostic = Diagnostic::error(
                    place.clone(),
                    message,
                    format!("on ports {}", service.ports),
                )
                .beside(first.clone(), format!("on ports {other}"))
                .note("of two ranges, packets are for the one that is a part of the other; here neither is")
                .help("end one of them before the other begins");
                problems.report(diagnostic);
            }
            ranges.push((service.ports, place.clone()));
        }
        self.all.insert(service, place);
    }
}

/// Reports what the tables of the XDP program have no room for.
pub(super) fn capacities(
    servers: &[Result<RawServer, Reported>],
    groups: &Groups<'_>,
    instances: &[Result<RawInstance, Reported>],
    problems: &mut Problems,
) {
    let headers = servers.iter().flatten().map(|server| (1, server.place.clone()));
    capacity("virtual servers", maps::SERVICES.capacity, headers, problems);
    let blocks = servers.iter().flatten().map(|server| {
        let addresses = server.addresses(groups).unwrap_or_default().into_iter();
        let blocks = addresses.map(|(address, _)| address.ports.blocks().count());
        (blocks.sum::<usize>().saturating_sub(1), server.place.clone())
    });
    let what = "further addresses and parts of ranges of ports";
    capacity(what, maps::SERVICE_PORTS.capacity, blocks, problems);
    let headers = servers
        .iter()
        .flatten()
        .map(|server| (server.real_server.len(), server.place.clone()));
    capacity("real servers", maps::REALS.capacity, headers, problems);
    let names = instances.iter().flatten().flat_map(|instance| &instance.name);
    let names = names.map(|name| (1, name.span()));
    capacity("VRRP instances", maps::LEASES.capacity, names, problems);
    let addresses = instances.iter().flatten().flat_map(RawInstance::addresses);
    let addresses = addresses.map(|address| (1, address.span()));
    capacity("virtual addresses", maps::ADDRESSES.capacity, addresses, problems);
}

/// Reports the first of `places`, each with how many entries it needs, that exceeds `capacity`.
fn capacity(
    what: &str,
    capacity: u32,
    places: impl Iterator<Item = (usize, Range<usize>)>,
    problems: &mut Problems,
) {
    let mut room = capacity as usize;
    for (needed, span) in places {
        let Some(rest) = room.checked_sub(needed) else {
            let message = format!("there is room for {capacity} {what}");
            problems.report(Diagnostic::error(
                span,
                message,
                "no room for this and what follows",
            ));
            return;
        };
        room = rest;
    }
}

/// Reports that weights cannot be kept exactly, at the service that suffers most; each comes with the place of its
/// table.
pub(super) fn weights<'a>(
    services: impl Iterator<Item = (&'a VirtualService, &'a Range<usize>)> + Clone,
    problems: &mut Problems,
) {
    let limit = ScheduleLimit::of(maps::RING_SLOTS, services.clone().map(|(service, _)| service));
    let rounded: Vec<_> = services
        .filter_map(|(service, header)| {
            let error = limit.rounding(service.scheduler, &service.weights()).error;
            (error > service.scheduler.tolerance()).then_some((error, service, header))
        })
        .collect();
    // Of equals the first.
    let Some((error, service, header)) = rounded
        .iter()
        .rev()
        .max_by(|(error, ..), (other, ..)| error.total_cmp(other))
    else {
        return;
    };
    let percent = Percent(*error);
    let address = service.address;
    let real_servers = service.real_servers.len();
    let room = service
        .scheduler
        .room(real_servers, limit.slots(service.scheduler, real_servers));
    let diagnostic = Diagnostic::warning(
        Range::clone(header),
        format!("the weights of {address} are rounded: shares differ by {percent} from what they say"),
        match service.scheduler {
            Scheduler::Maglev(_) => format!("its table has {room} slots"),
            _ => format!("at most {room} turns fit here"),
        },
    )
    .help(match service.scheduler {
        Scheduler::Maglev(_) => "weights that differ less are kept better",
        _ => "smaller weights in about the same proportion are exact, such as 3 and 2 for 60001 and 40000",
    });
    problems.report(match rounded.len() - 1 {
        0 => diagnostic,
        1 => diagnostic.note("those of another virtual server are too, but not more"),
        others => diagnostic.note(format!(
            "those of {others} other virtual servers are too, but none more"
        )),
    });
}

/// Whether an instance has `address`, or has one that could not be read and might be it.
fn may_cover(instances: &[Result<RawInstance, Reported>], address: IpAddr) -> bool {
    instances.iter().any(|instance| match instance {
        Ok(instance) => instance.may_have(address),
        Err(Reported) => true,
    })
}
