//! The tables `[[virtual_server]]`, with their real servers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use crate::model::{Protocol, RealServer, Scheduler, ServiceAddress, TcpCheck, VirtualService, Weight};

use super::diagnostic::Diagnostic;
use super::instance::own;
use super::section::{Field, Problems, Reported, Section, Value};
use super::value::{address, choice, duration, integer, positive_duration};

/// The schedulers of IPVS that are not built.
const LATER_SCHEDULERS: &[&str] = &[
    "lc", "wlc", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "lblc", "lblcr",
];

const PORT_NOTE: &str =
    "with direct routing, packets reach the real server with the port that the client used";

/// A virtual service as it was written, with the places that the checks across tables point at.
pub(super) struct RawServer {
    pub(super) address: Field<IpAddr>,
    pub(super) port: Field<u16>,
    pub(super) protocol: Field<Protocol>,
    /// Where the table begins.
    pub(super) header: Range<usize>,
    pub(super) real_servers: Vec<Result<RawRealServer, Reported>>,
    scheduler: Field<Scheduler>,
    forward: Field<()>,
    delay_loop: Field<Duration>,
}

/// A real server as it was written.
pub(super) struct RawRealServer {
    pub(super) address: Field<IpAddr>,
    pub(super) port: Result<Option<Spanned<u16>>, Reported>,
    weight: Field<u16>,
    check: Result<Option<RawCheck>, Reported>,
}

/// A `tcp_check` as it was written.
#[derive(Clone, Copy)]
struct RawCheck {
    connect_port: Option<u16>,
    connect_timeout: Duration,
    retry: u32,
    delay_before_retry: Duration,
    rise: u32,
}

impl RawServer {
    /// Reads a table `[[virtual_server]]`.
    pub(super) fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let mut section = Section::open(value, "virtual_server", "[[virtual_server]]", problems)?;
        let raw = Self {
            header: section.span(),
            address: section.required("address", "\"10.0.0.3\"", address),
            port: section.required("port", "80", port),
            protocol: section.defaulted(
                "protocol",
                Protocol::Tcp,
                choice(
                    "protocol",
                    &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)],
                    &["sctp"],
                ),
            ),
            scheduler: section.defaulted(
                "lb_algo",
                Scheduler::WeightedRoundRobin,
                choice(
                    "lb_algo",
                    &[
                        ("wrr", Scheduler::WeightedRoundRobin),
                        ("rr", Scheduler::RoundRobin),
                    ],
                    LATER_SCHEDULERS,
                ),
            ),
            forward: section.defaulted("lb_kind", (), choice("lb_kind", &[("dr", ())], &["nat", "tun"])),
            delay_loop: section.defaulted(
                "delay_loop",
                Duration::from_secs(6),
                positive_duration("delay_loop", "6s"),
            ),
            real_servers: section.tables(
                "real_server",
                "[[virtual_server.real_server]]",
                RawRealServer::read,
            ),
        };
        section.close();
        Ok(raw)
    }

    /// What names the service, if that could be read.
    pub(super) fn service_address(&self) -> Result<ServiceAddress, Reported> {
        Ok(ServiceAddress {
            address: own(&self.address)?,
            port: own(&self.port)?,
            protocol: own(&self.protocol)?,
        })
    }

    /// What it means.
    pub(super) fn model(&self) -> Result<VirtualService, Reported> {
        let address = self.service_address()?;
        own(&self.forward)?;
        let real_servers: Result<Vec<RealServer>, Reported> = self
            .real_servers
            .iter()
            .map(|real_server| match real_server {
                Ok(real_server) => real_server.model(address.port),
                Err(reported) => Err(*reported),
            })
            .collect();
        Ok(VirtualService {
            address,
            scheduler: own(&self.scheduler)?,
            delay_loop: own(&self.delay_loop)?,
            real_servers: real_servers?,
        })
    }
}

impl RawRealServer {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let mut section = Section::open(value, "real_server", "[[virtual_server.real_server]]", problems)?;
        let raw = Self {
            address: section.required("address", "\"10.0.0.11\"", address),
            port: section.optional("port", port),
            weight: section.defaulted(
                "weight",
                1,
                integer(
                    "weight",
                    0..=u16::MAX,
                    "weights are relative to each other; 0 drains: known connections go on, no new ones come",
                ),
            ),
            check: section
                .optional("tcp_check", RawCheck::read)
                .map(|check| check.map(Spanned::into_inner)),
        };
        section.close();
        Ok(raw)
    }

    /// What it means in a service of port `service_port`.
    fn model(&self, service_port: u16) -> Result<RealServer, Reported> {
        if let Err(reported) = &self.port {
            return Err(*reported);
        }
        Ok(RealServer {
            address: own(&self.address)?,
            weight: Weight::new(own(&self.weight)?),
            check: self.check?.map(|check| TcpCheck {
                port: check.connect_port.unwrap_or(service_port),
                connect_timeout: check.connect_timeout,
                retry: check.retry,
                delay_before_retry: check.delay_before_retry,
                rise: check.rise,
            }),
        })
    }
}

impl RawCheck {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let mut section = Section::open(value, "tcp_check", "tcp_check = {}", problems)?;
        let connect_port = section.optional("connect_port", port);
        let connect_timeout = section.defaulted(
            "connect_timeout",
            Duration::from_secs(5),
            positive_duration("connect_timeout", "5s"),
        );
        let retry = section.defaulted(
            "retry",
            1,
            integer(
                "retry",
                0..=u32::MAX,
                "how many more attempts follow a failed one",
            ),
        );
        let delay_before_retry =
            section.defaulted("delay_before_retry", Duration::from_secs(1), duration("1s"));
        let rise = section.defaulted(
            "rise",
            1,
            integer(
                "rise",
                1..=u32::MAX,
                "how many successes in a row bring a server back",
            ),
        );
        section.close();
        Ok(Self {
            connect_port: connect_port?.map(Spanned::into_inner),
            connect_timeout: connect_timeout?.into_inner(),
            retry: retry?.into_inner(),
            delay_before_retry: delay_before_retry?.into_inner(),
            rise: rise?.into_inner(),
        })
    }
}

fn port(value: &Value<'_>, problems: &mut Problems) -> Result<u16, Reported> {
    integer(
        "port",
        1..=u16::MAX,
        "ports are 1 to 65535; a service of all ports is not supported",
    )(value, problems)
}

/// Checks what concerns one service: its real servers among each other and against the service.
pub(super) fn check_real_servers(server: &RawServer, problems: &mut Problems) {
    if server.real_servers.is_empty() {
        let diagnostic = Diagnostic::warning(
            server.header.clone(),
            "a virtual server without a real server answers nobody",
            "has no real_server",
        );
        problems.report(diagnostic.help("add a `[[virtual_server.real_server]]`"));
    }
    let mut seen = HashMap::new();
    for real_server in server.real_servers.iter().flatten() {
        if let (Ok(port), Ok(Some(real_port))) = (&server.port, &real_server.port)
            && port.get_ref() != real_port.get_ref()
        {
            let diagnostic = Diagnostic::error(
                real_port.span(),
                "the port of a real server differs from its service's",
                format!("must be {}", port.get_ref()),
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
