//! The tables `[[virtual_server]]`, with their real servers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use crate::model::{
    Check, CheckKind, CheckTiming, HashOptions, Ports, Protocol, RealServer, Scheduler, ServiceAddress,
    VirtualService, Weight,
};

use super::diagnostic::Diagnostic;
use super::forwarding::{self, Words};
use super::group::Groups;
use super::section::{Field, Problems, Reported};
use super::table::{
    Optional, Several, TableCheck, default, optional, own, own_optional, required, required_unless, several,
    table,
};
use super::value::{
    Algorithm, AnyPort, Kind, Name, NewFlowLimit, Port, Retries, Rise, Threshold, Timeout, TunnelType,
};

const PORT_NOTE: &str = "packets reach the real server with the port that the client used";

/// What is hashed under `sh` unless the file says otherwise: as IPVS.
const SOURCE_HASH: HashOptions = HashOptions {
    port: false,
    fallback: false,
};

/// What is hashed under `mh` unless the file says otherwise: connections are spread evenly, and who fails moves nobody
/// else.
const MAGLEV: HashOptions = HashOptions {
    port: true,
    fallback: true,
};

table! {
    /// A service on one of these addresses.
    struct RawServer in "[[virtual_server]]" {
        /// The address that clients use.
        address: Optional<IpAddr> = required_unless("group", r#""10.0.0.3""#),
        /// The port that clients use, or several: they are one service. A port that is a service of its own is not a
        /// range's, and one of a range is not of a service on every port.
        port: Optional<Ports> = required_unless("group", "80"),
        /// Instead of address and port: the virtual_server_group that has them.
        group: Optional<Name> = optional(r#""web""#),
        /// The transport protocol.
        protocol: Field<Protocol> = default(Protocol::Tcp),
        /// Who picks the real server of a new connection: "wrr" (in proportion to the weights), "rr" (each in turn);
        /// by how many connections they have, "wlc" and "lc" (the fewest, in proportion to the weights or not), "sed"
        /// (the shortest expected delay), "nq" (an idle one first), "twos" (the better one of two by chance); by weight,
        /// "fo" (the highest), "ovf" (the highest that has not as many connections); or a hash, the same on all
        /// directors: "sh" (of the client's address), "dh" (of the virtual address: one server for each), "mh" (Maglev:
        /// of the client's address and port; few clients move when servers come and go).
        lb_algo: Field<Algorithm> = default(Algorithm::WeightedRoundRobin),
        /// For "sh": whether the client's port is hashed as well.
        sh_port: Field<bool> = default(SOURCE_HASH.port),
        /// For "sh": whether the clients of a server that is down go to the others and nobody else moves; otherwise all
        /// clients are dealt out anew among those that are up.
        sh_fallback: Field<bool> = default(SOURCE_HASH.fallback),
        /// For "mh": whether the client's port is hashed as well. (IPVS's default is false.)
        mh_port: Field<bool> = default(MAGLEV.port),
        /// For "mh": whether the clients of a server that is down go to the others and nobody else moves; otherwise a
        /// few of the others' do. (IPVS's default is false.)
        mh_fallback: Field<bool> = default(MAGLEV.fallback),
        /// How packets reach the real servers: "dr" (direct routing: as they are), or "tun" (inside of others, to servers
        /// behind a router). Each real server has the virtual address on its loopback or tunnel interface, does not answer
        /// ARP for it, and answers clients straight.
        lb_kind: Field<Kind> = default(Kind::DirectRouting),
        /// For "tun": what is around the packets, an IP header ("ipip"), or headers of IP, UDP and GUE ("gue").
        tun_type: Field<TunnelType> = default(TunnelType::IpInIp),
        /// For "gue": the UDP port that the real servers expect it at.
        tun_port: Optional<Port> = optional("6080"),
        /// For UDP: whether each datagram is scheduled for itself and none is remembered (one-packet scheduling), where
        /// one is all that a client sends, as with DNS.
        ops: Field<bool> = default(false),
        /// How many new connections a second are remembered. While more come, as in a flood, they are placed by a hash, and
        /// no connection is lost by that; "off" sets no limit.
        new_flow_limit: Field<NewFlowLimit> = default(NewFlowLimit(Some(VirtualService::NEW_FLOW_LIMIT))),
        /// The interval between two health checks of a real server.
        delay_loop: Field<Timeout> = default(Timeout(Duration::from_secs(6))),
        real_server: Several<RawRealServer> = several(),
    }
}

table! {
    /// One of the servers behind it.
    struct RawRealServer in "[[virtual_server.real_server]]" {
        /// Its own address, unlike the virtual one.
        address: Field<IpAddr> = required(r#""10.0.0.11""#),
        /// The port of the service; 0 if that has several.
        port: Optional<AnyPort> = optional("80"),
        /// Its share of new connections; 0: known connections go on, new ones go elsewhere.
        weight: Field<Weight> = default(Weight::new(1)).shown("3"),
        /// With how many connections (the closing ones included) it gets no new ones, whatever the scheduler; 0: no limit.
        uthreshold: Field<Threshold> = default(Threshold(0)),
        /// With fewer than how many it gets new ones again; 0: three quarters of the other.
        lthreshold: Field<Threshold> = default(Threshold(0)),
        /// How packets reach it, if not as the others.
        lb_kind: Optional<Kind> = optional(r#""tun""#),
        /// For "tun": what is around the packets, if not as for the others.
        tun_type: Optional<TunnelType> = optional(r#""gue""#),
        /// For "gue": the UDP port that it expects it at, if not that of the others.
        tun_port: Optional<Port> = optional("6080"),
        /// The health check: a TCP connection. All keys have defaults, so `{}` is a check; without `tcp_check`, the
        /// server counts as up.
        tcp_check: Optional<RawCheck> =
            optional(r#"{ connect_timeout = "3s", retry = 3, delay_before_retry = "3s" }"#).shown(),
    }
}

table! {
    /// A health check that opens a TCP connection.
    struct RawCheck in "tcp_check = {}" {
        /// Where to connect to; by default the port of the service, if it has one only.
        connect_port: Optional<Port> = optional("80"),
        /// How long it may take.
        connect_timeout: Field<Timeout> = default(Timeout(Duration::from_secs(5))),
        /// Attempts after a failed one.
        retry: Field<Retries> = default(Retries(1)),
        /// The pause before each of them.
        delay_before_retry: Field<Duration> = default(Duration::from_secs(1)),
        /// Successes in a row that bring the server back.
        rise: Field<Rise> = default(Rise(1)),
    }
}

impl TableCheck for RawServer {
    fn check(&mut self, problems: &mut Problems) {
        self.check_group(problems);
        self.check_scheduler(problems);
        self.check_ops(problems);
    }
}
impl TableCheck for RawRealServer {
    /// Warns of a lower threshold without an upper one, and refuses one that is above it.
    fn check(&mut self, problems: &mut Problems) {
        let (Ok(upper), Ok(lower)) = (&self.uthreshold, &self.lthreshold) else {
            return;
        };
        if upper.get_ref().0 == 0 && lower.get_ref().0 > 0 {
            let diagnostic = Diagnostic::warning(
                lower.span(),
                "lthreshold says when a real server that has reached its uthreshold gets new connections again",
                "without effect",
            );
            problems.report(diagnostic.help("add `uthreshold`, or leave this out"));
        } else if lower.get_ref().0 > upper.get_ref().0 {
            let diagnostic = Diagnostic::error(
                lower.span(),
                "lthreshold is above uthreshold",
                format!("must be at most {}", upper.get_ref().0),
            )
            .beside(upper.span(), "with so many connections it gets no new ones");
            let note =
                "a real server that has reached the upper one gets new connections again below the lower one";
            problems.report(
                diagnostic
                    .note(note)
                    .help("leave `lthreshold` out for three quarters of the other"),
            );
        }
    }
}

impl TableCheck for RawCheck {}

impl RawServer {
    /// Reports what the group says already.
    fn check_group(&mut self, problems: &mut Problems) {
        let Ok(Some(group)) = &self.group else {
            return;
        };
        let said = [
            self.address
                .as_ref()
                .map(|address| address.as_ref().map(Spanned::span)),
            self.port.as_ref().map(|port| port.as_ref().map(Spanned::span)),
        ];
        if let Some(place) = said.into_iter().flatten().flatten().next() {
            let message = "a virtual_server has either a group or an address and a port of its own";
            let diagnostic = Diagnostic::error(place, message, "its group has addresses and ports");
            let help = "remove it, or make it a member of the group";
            self.group = Err(problems.report(diagnostic.beside(group.span(), "the group").help(help)));
        }
    }

    /// Warns of one-packet scheduling for what has more than one packet.
    fn check_ops(&self, problems: &mut Problems) {
        if let (Ok(ops), Ok(protocol)) = (&self.ops, &self.protocol)
            && *ops.get_ref()
            && *protocol.get_ref() != Protocol::Udp
        {
            let message = format!(
                "ops is for udp, and this virtual_server is for {}",
                protocol.get_ref()
            );
            let diagnostic = Diagnostic::warning(ops.span(), message, "without effect")
                .note("segments of one connection must go to one real server");
            problems.report(diagnostic.help("leave it out, or write `protocol = \"udp\"`"));
        }
    }

    /// Warns of what is said about a scheduler that is not the service's.
    fn check_scheduler(&mut self, problems: &mut Problems) {
        let Ok(algorithm) = &self.lb_algo else {
            return;
        };
        for (key, value, default, of, word) in [
            (
                "sh_port",
                &self.sh_port,
                SOURCE_HASH.port,
                Algorithm::SourceHash,
                "sh",
            ),
            (
                "sh_fallback",
                &self.sh_fallback,
                SOURCE_HASH.fallback,
                Algorithm::SourceHash,
                "sh",
            ),
            ("mh_port", &self.mh_port, MAGLEV.port, Algorithm::Maglev, "mh"),
            (
                "mh_fallback",
                &self.mh_fallback,
                MAGLEV.fallback,
                Algorithm::Maglev,
                "mh",
            ),
        ] {
            let Ok(value) = value else {
                continue;
            };
            if *algorithm.get_ref() == of || *value.get_ref() == default {
                continue;
            }
            let diagnostic = Diagnostic::warning(
                value.span(),
                format!("{key} says something about lb_algo `{word}`, which is not the one here"),
                "without effect",
            );
            problems.report(diagnostic.help(format!("leave it out, or write `lb_algo = \"{word}\"`")));
        }
    }
}

/// The ports of a virtual server, and what follows for its real servers.
#[derive(Clone, Copy)]
struct ServicePorts {
    /// The port of its real servers: with direct routing its own, if it can have one only.
    real_server: u16,
    /// The port that is checked unless the check has one of its own: the service's, if it has one only.
    checked: Option<u16>,
}

impl RawServer {
    /// The addresses that could be read, each with its place.
    pub(super) fn ips(&self, groups: &Groups<'_>) -> Vec<(IpAddr, Range<usize>)> {
        match &self.group {
            Ok(Some(group)) => groups.ips(&group.get_ref().0),
            Ok(None) | Err(Reported) => {
                let own = self.address.iter().flatten();
                own.map(|address| (*address.get_ref(), address.span())).collect()
            }
        }
    }

    /// What clients reach it by, each with its place, if all of that could be read.
    pub(super) fn addresses(
        &self,
        groups: &Groups<'_>,
    ) -> Result<Vec<(ServiceAddress, Range<usize>)>, Reported> {
        let protocol = own(&self.protocol)?;
        let addresses = match own_optional(&self.group)? {
            Some(Name(group)) => groups.addresses(&group)?,
            None => {
                let address = self.address.as_ref().map_err(|reported| *reported)?;
                let address = address.as_ref().ok_or(Reported)?;
                let ports = own_optional(&self.port)?.ok_or(Reported)?;
                vec![(*address.get_ref(), ports, address.span())]
            }
        };
        let with_protocol = |(ip, ports, place)| (ServiceAddress { ip, ports, protocol }, place);
        Ok(addresses.into_iter().map(with_protocol).collect())
    }

    /// The ports of its real servers, given what it is reached by. (Those of a group have none: a member more must not
    /// make others of them.)
    fn ports(&self, mut addresses: impl Iterator<Item = ServiceAddress>) -> ServicePorts {
        let checked = addresses.next().and_then(|address| {
            let same = addresses.all(|other| other.ports == address.ports);
            address.ports.only().filter(|_| same)
        });
        let is_group = matches!(self.group, Ok(Some(_)));
        ServicePorts {
            real_server: checked.filter(|_| !is_group).unwrap_or_default(),
            checked,
        }
    }

    /// Who picks the real server.
    fn scheduler(&self) -> Result<Scheduler, Reported> {
        let source_hash = HashOptions {
            port: own(&self.sh_port)?,
            fallback: own(&self.sh_fallback)?,
        };
        let maglev = HashOptions {
            port: own(&self.mh_port)?,
            fallback: own(&self.mh_fallback)?,
        };
        Ok(match own(&self.lb_algo)? {
            Algorithm::WeightedRoundRobin => Scheduler::WeightedRoundRobin,
            Algorithm::RoundRobin => Scheduler::RoundRobin,
            Algorithm::SourceHash => Scheduler::SourceHash(source_hash),
            Algorithm::DestinationHash => Scheduler::DestinationHash,
            Algorithm::Maglev => Scheduler::Maglev(maglev),
            Algorithm::LeastConnection => Scheduler::LeastConnection,
            Algorithm::WeightedLeastConnection => Scheduler::WeightedLeastConnection,
            Algorithm::ShortestExpectedDelay => Scheduler::ShortestExpectedDelay,
            Algorithm::NeverQueue => Scheduler::NeverQueue,
            Algorithm::WeightedFailover => Scheduler::WeightedFailover,
            Algorithm::WeightedOverflow => Scheduler::WeightedOverflow,
            Algorithm::TwoChoices => Scheduler::TwoChoices,
        })
    }

    /// What it means.
    pub(super) fn model(&self, groups: &Groups<'_>) -> Result<VirtualService, Reported> {
        let addresses = self.addresses(groups)?.into_iter();
        let mut addresses: Vec<ServiceAddress> = addresses.map(|(address, _)| address).collect();
        addresses.sort_unstable();
        let ports = self.ports(addresses.iter().copied());
        let mut addresses = addresses.into_iter();
        let address = addresses.next().ok_or(Reported)?;
        let Timeout(delay_loop) = own(&self.delay_loop)?;
        let NewFlowLimit(new_flow_limit) = own(&self.new_flow_limit)?;
        let real_servers: Result<Vec<RealServer>, Reported> = self
            .real_server
            .iter()
            .map(|real_server| match real_server {
                Ok(real_server) => real_server.model(self, ports, delay_loop),
                Err(reported) => Err(*reported),
            })
            .collect();
        Ok(VirtualService {
            address,
            further_addresses: addresses.collect(),
            group: own_optional(&self.group)?.map(|Name(group)| group),
            one_packet: own(&self.ops)? && address.protocol == Protocol::Udp,
            scheduler: self.scheduler()?,
            new_flow_limit,
            real_servers: real_servers?,
        })
    }
}

impl RawRealServer {
    /// What it means in `service`, of these ports, whose real servers are checked every `delay_loop`.
    fn model(
        &self,
        service: &RawServer,
        ports: ServicePorts,
        delay_loop: Duration,
    ) -> Result<RealServer, Reported> {
        if let Err(reported) = &self.port {
            return Err(*reported);
        }
        let address = SocketAddr::new(own(&self.address)?, ports.real_server);
        let checks = match &self.tcp_check {
            Ok(Some(check)) => vec![check.get_ref().model(address.ip(), ports.checked, delay_loop)?],
            Ok(None) => Vec::new(),
            Err(reported) => return Err(*reported),
        };
        Ok(RealServer {
            address,
            forwarding: Words::of(service, self)?.model()?,
            weight: own(&self.weight)?,
            upper_threshold: own(&self.uthreshold)?.0,
            lower_threshold: own(&self.lthreshold)?.0,
            checks,
        })
    }
}

impl RawCheck {
    /// What it means for the real server at `real_server` in a service of this port, if it has one only, and this
    /// `delay_loop`.
    fn model(&self, real_server: IpAddr, port: Option<u16>, delay_loop: Duration) -> Result<Check, Reported> {
        let Timeout(connect_timeout) = own(&self.connect_timeout)?;
        let Retries(retry) = own(&self.retry)?;
        let Rise(rise) = own(&self.rise)?;
        let connect_port = own_optional(&self.connect_port)?.map(|Port(port)| port);
        let port = connect_port.or(port).ok_or(Reported)?;
        Ok(Check {
            timing: CheckTiming {
                delay_loop,
                retry,
                delay_before_retry: own(&self.delay_before_retry)?,
                rise,
            },
            kind: CheckKind::Tcp {
                target: SocketAddr::new(real_server, port),
                connect_timeout,
            },
        })
    }
}

/// Checks what concerns one service: its real servers among each other and against the service.
pub(super) fn check_real_servers(server: &RawServer, groups: &Groups<'_>, problems: &mut Problems) {
    if server.real_server.is_empty() && !problems.any_error() {
        let diagnostic = Diagnostic::warning(
            server.place.clone(),
            "a virtual server without a real server answers nobody",
            "has no real_server",
        );
        problems.report(diagnostic.help("add a `[[virtual_server.real_server]]`"));
    }
    forwarding::check(server, problems);
    let mut seen = HashMap::new();
    let ips = server.ips(groups);
    let ports = server.addresses(groups).ok().map(|addresses| {
        let addresses = addresses.into_iter().map(|(address, _)| address);
        server.ports(addresses)
    });
    for real_server in server.real_server.iter().flatten() {
        if let Some(ports) = ports {
            check_ports(server, ports, real_server, problems);
        }
        let Ok(address) = &real_server.address else {
            continue;
        };
        if Words::of(server, real_server).is_ok_and(Words::needs_one_family) {
            check_family(&ips, address, problems);
        }
        if let Some(first) = seen.get(address.get_ref()) {
            let diagnostic = Diagnostic::error(
                address.span(),
                format!("real server {} is there twice", address.get_ref()),
                "second definition",
            )
            .beside(Range::clone(first), "first defined here");
            problems.report(diagnostic.help("give one of them a higher `weight` instead"));
        } else {
            seen.insert(*address.get_ref(), address.span());
        }
    }
}

/// Checks that a real server has its service's port, and that there is one to check.
fn check_ports(
    server: &RawServer,
    ports: ServicePorts,
    real_server: &RawRealServer,
    problems: &mut Problems,
) {
    let place = match (&server.group, &server.port) {
        (Ok(Some(group)), _) => group.span(),
        (_, Ok(Some(port))) => port.span(),
        _ => return,
    };
    if let Ok(Some(port)) = &real_server.port
        && port.get_ref().0 != ports.real_server
    {
        let (message, beside, help) = if ports.real_server == 0 {
            (
                "a real server of a service on several ports has none of its own",
                "the ports of the service",
                "leave `port` out; which port is checked, `connect_port` in `tcp_check` says",
            )
        } else {
            (
                "the port of a real server differs from its service's",
                "the port of the service",
                "leave `port` out, or let the real server listen on the port of the service",
            )
        };
        let diagnostic = Diagnostic::error(port.span(), message, format!("must be {}", ports.real_server))
            .beside(place.clone(), beside);
        problems.report(diagnostic.note(PORT_NOTE).help(help));
    }
    if let Ok(Some(check)) = &real_server.tcp_check
        && let Ok(None) = &check.get_ref().connect_port
        && ports.checked.is_none()
    {
        let diagnostic = Diagnostic::error(
            check.span(),
            "nothing says which port is to be checked",
            "has no connect_port",
        )
        .beside(place, "the service has several");
        problems.report(diagnostic.help("for example `tcp_check = { connect_port = 80 }`"));
    }
}

/// Checks that a real server's address is of the family that the service's are of.
fn check_family(services: &[(IpAddr, Range<usize>)], real: &Spanned<IpAddr>, problems: &mut Problems) {
    let family = |address: &IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut services = services.iter();
    let Some((service, place)) = services.find(|(service, _)| service.is_ipv4() != real.get_ref().is_ipv4())
    else {
        return;
    };
    let diagnostic = Diagnostic::error(
        real.span(),
        "IPv4 and IPv6 are mixed in one virtual server",
        format!("{} here", family(real.get_ref())),
    )
    .beside(place.clone(), format!("{} here", family(service)));
    let note =
        "with direct routing, the real server gets the client's packet as it is: nothing translates it";
    problems.report(
        diagnostic
            .note(note)
            .help("make a virtual server for each family, or reach this one by `lb_kind = \"tun\"`"),
    );
}
