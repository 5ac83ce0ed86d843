//! The tables `[[virtual_server]]`, with their real servers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use crate::model::{
    Check, CheckKind, CheckTiming, HashOptions, Protocol, RealServer, Scheduler, ServiceAddress,
    VirtualService, Weight,
};

use super::diagnostic::Diagnostic;
use super::section::{Field, Problems, Reported};
use super::table::{
    Optional, Several, TableCheck, default, optional, own, own_optional, required, several, table,
};
use super::value::{Algorithm, Forwarding, Port, Retries, Rise, Timeout};

const PORT_NOTE: &str =
    "with direct routing, packets reach the real server with the port that the client used";

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
        address: Field<IpAddr> = required(r#""10.0.0.3""#),
        /// The port that clients use.
        port: Field<Port> = required("80"),
        /// The transport protocol.
        protocol: Field<Protocol> = default(Protocol::Tcp),
        /// Who picks the real server of a new connection: "wrr" (in proportion to the weights), "rr" (each in turn), or
        /// a hash, the same on all directors: "sh" (of the client's address), "dh" (of the virtual address: one server
        /// for each), "mh" (Maglev: of the client's address and port; few clients move when servers come and go).
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
        /// How packets reach the real servers: "dr" (direct routing). Each real server has the virtual address on its
        /// loopback interface, does not answer ARP for it, and answers clients straight.
        lb_kind: Field<Forwarding> = default(Forwarding::DirectRouting),
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
        /// With direct routing, the port of the service.
        port: Optional<Port> = optional("80"),
        /// Its share of new connections; 0: known connections go on, new ones go elsewhere.
        weight: Field<Weight> = default(Weight::new(1)).shown("3"),
        /// The health check: a TCP connection. All keys have defaults, so `{}` is a check; without `tcp_check`, the
        /// server counts as up.
        tcp_check: Optional<RawCheck> =
            optional(r#"{ connect_timeout = "3s", retry = 3, delay_before_retry = "3s" }"#).shown(),
    }
}

table! {
    /// A health check that opens a TCP connection.
    struct RawCheck in "tcp_check = {}" {
        /// Where to connect to; by default the port of the service.
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
    /// Warns of what is said about a scheduler that is not the service's.
    fn check(&mut self, problems: &mut Problems) {
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
impl TableCheck for RawRealServer {}
impl TableCheck for RawCheck {}

impl RawServer {
    /// What names the service, if that could be read.
    pub(super) fn service_address(&self) -> Result<ServiceAddress, Reported> {
        let Port(port) = own(&self.port)?;
        Ok(ServiceAddress {
            ip: own(&self.address)?,
            port,
            protocol: own(&self.protocol)?,
        })
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
        })
    }

    /// What it means.
    pub(super) fn model(&self) -> Result<VirtualService, Reported> {
        let address = self.service_address()?;
        own(&self.lb_kind)?;
        let Timeout(delay_loop) = own(&self.delay_loop)?;
        let real_servers: Result<Vec<RealServer>, Reported> = self
            .real_server
            .iter()
            .map(|real_server| match real_server {
                Ok(real_server) => real_server.model(address.port, delay_loop),
                Err(reported) => Err(*reported),
            })
            .collect();
        Ok(VirtualService {
            address,
            scheduler: self.scheduler()?,
            real_servers: real_servers?,
        })
    }
}

impl RawRealServer {
    /// What it means in a service of port `service_port` whose real servers are checked every `delay_loop`.
    fn model(&self, service_port: u16, delay_loop: Duration) -> Result<RealServer, Reported> {
        if let Err(reported) = &self.port {
            return Err(*reported);
        }
        let address = SocketAddr::new(own(&self.address)?, service_port);
        let checks = match &self.tcp_check {
            Ok(Some(check)) => vec![check.get_ref().model(address, delay_loop)?],
            Ok(None) => Vec::new(),
            Err(reported) => return Err(*reported),
        };
        Ok(RealServer {
            address,
            weight: own(&self.weight)?,
            checks,
        })
    }
}

impl RawCheck {
    /// What it means for the real server at `real_server` in a service of this `delay_loop`.
    fn model(&self, real_server: SocketAddr, delay_loop: Duration) -> Result<Check, Reported> {
        let Timeout(connect_timeout) = own(&self.connect_timeout)?;
        let Retries(retry) = own(&self.retry)?;
        let Rise(rise) = own(&self.rise)?;
        let port = own_optional(&self.connect_port)?.map_or(real_server.port(), |Port(port)| port);
        Ok(Check {
            timing: CheckTiming {
                delay_loop,
                retry,
                delay_before_retry: own(&self.delay_before_retry)?,
                rise,
            },
            kind: CheckKind::Tcp {
                target: SocketAddr::new(real_server.ip(), port),
                connect_timeout,
            },
        })
    }
}

/// Checks what concerns one service: its real servers among each other and against the service.
pub(super) fn check_real_servers(server: &RawServer, problems: &mut Problems) {
    if server.real_server.is_empty() && !problems.any_error() {
        let diagnostic = Diagnostic::warning(
            server.place.clone(),
            "a virtual server without a real server answers nobody",
            "has no real_server",
        );
        problems.report(diagnostic.help("add a `[[virtual_server.real_server]]`"));
    }
    let mut seen = HashMap::new();
    for real_server in server.real_server.iter().flatten() {
        if let (Ok(port), Ok(Some(real_port))) = (&server.port, &real_server.port)
            && port.get_ref() != real_port.get_ref()
        {
            let diagnostic = Diagnostic::error(
                real_port.span(),
                "the port of a real server differs from its service's",
                format!("must be {}", port.get_ref().0),
            )
            .beside(port.span(), "the port of the service");
            let help = "leave `port` out, or let the real server listen on the port of the service";
            problems.report(diagnostic.note(PORT_NOTE).help(help));
        }
        let Ok(address) = &real_server.address else {
            continue;
        };
        if let Ok(service) = &server.address {
            check_family(service, address, problems);
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

/// Checks that a real server's address is of the service's family.
fn check_family(service: &Spanned<IpAddr>, real: &Spanned<IpAddr>, problems: &mut Problems) {
    let family = |address: &IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    if service.get_ref().is_ipv4() == real.get_ref().is_ipv4() {
        return;
    }
    let diagnostic = Diagnostic::error(
        real.span(),
        "IPv4 and IPv6 are mixed in one virtual server",
        format!("{} here", family(real.get_ref())),
    )
    .beside(service.span(), format!("{} here", family(service.get_ref())));
    let note =
        "with direct routing, the real server gets the client's packet as it is: nothing translates it";
    problems.report(
        diagnostic
            .note(note)
            .help("make a virtual server for each family"),
    );
}
