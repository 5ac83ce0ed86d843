//! What the tables of virtual and real servers say of the way between the two.

use std::ops::Range;

use toml::Spanned;

use crate::model::{Forwarding, Tunnel};

use super::diagnostic::Diagnostic;
use super::section::{Problems, Reported};
use super::server::{RawRealServer, RawServer};
use super::table::{own, own_optional};
use super::value::{Kind, Port, TunnelType};

const TUNNEL: &str = "lb_kind = \"tun\"";
const GUE: &str = "tun_type = \"gue\"";

/// The words that hold for one real server: its own, else those of its service.
#[derive(Clone, Copy)]
pub(super) struct Words {
    kind: Kind,
    tunnel: TunnelType,
    port: Option<Port>,
}

impl Words {
    pub(super) fn of(server: &RawServer, real_server: &RawRealServer) -> Result<Self, Reported> {
        let service = Self::of_service(server)?;
        Ok(Self {
            kind: own_optional(&real_server.lb_kind)?.unwrap_or(service.kind),
            tunnel: own_optional(&real_server.tun_type)?.unwrap_or(service.tunnel),
            port: own_optional(&real_server.tun_port)?.or(service.port),
        })
    }

    fn of_service(server: &RawServer) -> Result<Self, Reported> {
        Ok(Self {
            kind: own(&server.lb_kind)?,
            tunnel: own(&server.tun_type)?,
            port: own_optional(&server.tun_port)?,
        })
    }

    /// What they mean; [`check`] has reported what they lack.
    pub(super) fn model(self) -> Result<Forwarding, Reported> {
        Ok(match (self.kind, self.tunnel, self.port) {
            (Kind::DirectRouting, ..) => Forwarding::DirectRouting,
            (Kind::Tunnel, TunnelType::IpInIp, _) => Forwarding::Tunnel(Tunnel::IpInIp),
            (Kind::Tunnel, TunnelType::Gue, Some(Port(port))) => Forwarding::Tunnel(Tunnel::Gue { port }),
            (Kind::Tunnel, TunnelType::Gue, None) => return Err(Reported),
        })
    }

    /// Whether the real server's address must be of the family of its service's.
    pub(super) fn needs_one_family(self) -> bool {
        self.kind == Kind::DirectRouting
    }

    /// Whether there is a tunnel of UDP.
    fn is_gue(self) -> bool {
        self.kind == Kind::Tunnel && self.tunnel == TunnelType::Gue
    }
}

/// Reports what is missing for the ways of a service to its real servers, and what has no effect on any of them.
pub(super) fn check(server: &RawServer, problems: &mut Problems) {
    let words = server.real_server.iter().flatten();
    let words: Vec<Words> = words
        .flat_map(|real_server| Words::of(server, real_server))
        .collect();
    for real_server in server.real_server.iter().flatten() {
        let Ok(words) = Words::of(server, real_server) else {
            continue;
        };
        if words.is_gue() && words.port.is_none() {
            let place = gue_at(server, real_server);
            let diagnostic = Diagnostic::error(place, "a tunnel of GUE needs a tun_port", "has none")
                .note("there is no port that all agree on; the real server names it in `ip fou add port`");
            problems
                .report(diagnostic.help("add the UDP port of the real server, such as `tun_port = 6080`"));
            // Said once for a service: it is the same word.
            if real_server.tun_type.as_ref().is_ok_and(Option::is_none) {
                break;
            }
        }
    }
    let is_tunnel = |words: &Words| words.kind == Kind::Tunnel;
    let is_gue = |words: &Words| words.is_gue();
    let Ok(of_service) = Words::of_service(server) else {
        return;
    };
    if words.is_empty() {
        return;
    }
    let any_tunnel = words.iter().any(is_tunnel);
    if of_service.tunnel != TunnelType::IpInIp
        && !any_tunnel
        && let Ok(tun_type) = &server.tun_type
    {
        without_effect("tun_type", TUNNEL, tun_type, problems);
    }
    if let Ok(Some(tun_port)) = &server.tun_port
        && !words.iter().any(is_gue)
    {
        without_effect(
            "tun_port",
            if any_tunnel { GUE } else { TUNNEL },
            tun_port,
            problems,
        );
    }
    for real_server in server.real_server.iter().flatten() {
        let Ok(words) = Words::of(server, real_server) else {
            continue;
        };
        if let Ok(Some(tun_type)) = &real_server.tun_type
            && !is_tunnel(&words)
        {
            without_effect("tun_type", TUNNEL, tun_type, problems);
        }
        if let Ok(Some(tun_port)) = &real_server.tun_port
            && !words.is_gue()
        {
            let wanted = if is_tunnel(&words) { GUE } else { TUNNEL };
            without_effect("tun_port", wanted, tun_port, problems);
        }
    }
}

/// Where it is said that a real server's tunnel is one of GUE.
fn gue_at(server: &RawServer, real_server: &RawRealServer) -> Range<usize> {
    match (&real_server.tun_type, &server.tun_type) {
        (Ok(Some(own)), _) => own.span(),
        (_, Ok(of_service)) => of_service.span(),
        _ => server.place.clone(),
    }
}

fn without_effect<T>(key: &str, wanted: &str, value: &Spanned<T>, problems: &mut Problems) {
    let diagnostic = Diagnostic::warning(
        value.span(),
        format!("{key} says something about `{wanted}`, which is not so here"),
        "without effect",
    );
    problems.report(diagnostic.help(format!("leave it out, or write `{wanted}`")));
}
