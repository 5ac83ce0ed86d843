//! `lbd status`: what it shows, gathered from where it is.

mod cold;
mod instances;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::super::channel::{InstanceReport, InterfaceReport, Report};
use super::super::director_loop::DirectorLoop;
use super::problems::{self, calendar};
use crate::api::{
    AttachedMode, CheckStatus, ConfigurationStatus, DataplaneStatus, EpisodeCause, EpisodeStatus,
    InterfaceStatus, LastCheck, Problem, RealServerState, RealServerStatus, Response, Status,
    VirtualServerState, VirtualServerStatus,
};
use crate::director::{self, Director, ServiceState, Way, service_key};
use crate::health::{self, Watched};
use crate::io::bpf::{Error, Statistics};
use crate::model::shares::ScheduleLimit;
use crate::model::{
    Attach, CheckKind, RealServer, RealServerId, RealSlot, VirtualRouterName, VirtualService, VrrpInstance,
    XdpMode,
};
use cold::cold;
use instances::{forwarding_for, instance};

impl DirectorLoop {
    /// Counters and flows take as long to read as there are real servers and flows: another thread does it, and
    /// answers.
    pub(super) fn answer_status(&self, answer: oneshot::Sender<Response>) {
        let snapshot = Snapshot {
            director: &self.director,
            report: &self.report.borrow(),
            problems: &[self.problems.clone(), self.losses.problems()].concat(),
            packets_lost: self.losses.total(),
            configuration: self.configuration_status(),
            schedule_limit: self.director.schedule_limit(),
        };
        let draft = snapshot.draft(self.started.elapsed().as_secs_f64());
        let statistics = self.statistics.clone();
        tokio::task::spawn_blocking(move || {
            let response = match draft.complete(&statistics) {
                Ok(status) => Response::Status(Box::new(status)),
                Err(error) => Response::Refused {
                    message: format!("{:#}", anyhow::Error::from(error)),
                },
            };
            answer.send(response).ok();
        });
    }
}

impl DirectorLoop {
    fn configuration_status(&self) -> ConfigurationStatus {
        ConfigurationStatus {
            path: self.config_path.display().to_string(),
            loaded_at: self.loaded_at.into(),
            refused_reload: self.refused_reload.clone(),
        }
    }
}

/// All that the status is drawn from but for what the program counts.
struct Snapshot<'a> {
    director: &'a Director,
    report: &'a Report,
    problems: &'a [Problem],
    packets_lost: u64,
    configuration: ConfigurationStatus,
    schedule_limit: ScheduleLimit,
}

/// A status that lacks what the program counts, and where to find that.
struct Draft {
    status: Status,
    /// Of each service, in the order of the status.
    services: Vec<Counted>,
}

/// Where a service and its real servers are counted.
struct Counted {
    index: Option<u32>,
    real_servers: Vec<Option<RealSlot>>,
    /// For how long this node has forwarded its packets, if it does: connections that were silent for longer are
    /// another node's, or over.
    forwarding_for: Option<Duration>,
}

impl Draft {
    /// The status with what the program counts.
    fn complete(mut self, statistics: &Statistics) -> Result<Status, Error> {
        let counted = self.services.iter().flat_map(|service| {
            let slots = service.real_servers.iter().flatten();
            slots.filter_map(|slot| Some((*slot, service.forwarding_for?)))
        });
        let flows = statistics.flows(&counted.collect());
        self.status.dataplane.flows = flows.total;
        let verdicts = statistics.verdicts()?.into_iter();
        self.status.dataplane.verdicts = verdicts
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| (verdict.name().to_owned(), count))
            .collect();
        for (service, counted) in self.status.virtual_servers.iter_mut().zip(&self.services) {
            if let Some(index) = counted.index {
                let counters = statistics.service(index)?;
                service.connections = counters.connections;
                service.packets = counters.packets;
                service.bytes = counters.bytes;
            }
            for (real_server, slot) in service.real_servers.iter_mut().zip(&counted.real_servers) {
                let Some(slot) = slot else { continue };
                let counters = statistics.real_server(*slot)?;
                real_server.connections = counters.connections;
                real_server.packets = counters.packets;
                real_server.bytes = counters.bytes;
                let connections = flows.real_servers.get(slot).copied().unwrap_or_default();
                real_server.active_connections = connections.active;
                real_server.inactive_connections = connections.inactive;
            }
        }
        Ok(self.status)
    }
}

impl Snapshot<'_> {
    /// Everything but what the program counts.
    fn draft(&self, uptime_seconds: f64) -> Draft {
        let configuration = self.director.configuration();
        let handles = self.director.plane().handles();
        let reports: HashMap<VirtualRouterName, &InstanceReport> = self
            .report
            .instances
            .iter()
            .map(|report| (report.instance.router_name(), &**report))
            .collect();
        let report_of = |instance: &VrrpInstance| reports.get(&instance.router_name()).copied();
        let guards: HashMap<IpAddr, Option<&InstanceReport>> = configuration
            .vrrp_instances
            .iter()
            .flat_map(|instance| {
                let addresses = instance.virtual_addresses.iter();
                addresses.map(move |address| (address.address.addr(), report_of(instance)))
            })
            .collect();
        let now = SystemTime::now();
        let services = configuration.virtual_services.iter().map(|service| {
            let entry = self.director.plane().services.get(&service_key(service.address));
            let real_servers = service.real_servers.iter().map(|real_server| {
                let id = RealServerId {
                    service: service.address,
                    address: real_server.address,
                };
                handles.get(&id).map(|handle| handle.slot)
            });
            Counted {
                index: entry.map(|entry| entry.index),
                real_servers: real_servers.collect(),
                forwarding_for: service
                    .addresses()
                    .filter_map(|address| match guards.get(&address.ip) {
                        // Served by every node, always.
                        None => Some(Duration::MAX),
                        Some(guard) => guard.and_then(|report| forwarding_for(report, now)),
                    })
                    .max(),
            }
        });
        let services = services.collect();
        let status = Status {
            node: configuration.node.router_id.clone().unwrap_or_else(host_name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds,
            vrrp_instances: configuration
                .vrrp_instances
                .iter()
                .map(|configured| instance(configured, report_of(configured)))
                .collect(),
            dataplane: DataplaneStatus {
                interfaces: self.report.interfaces.iter().map(interface).collect(),
                flows: 0,
                flow_table_size: configuration.dataplane.flow_table_size,
                xdp_mode: match configuration.dataplane.xdp_mode {
                    XdpMode::Auto => "auto".to_owned(),
                    XdpMode::Native => "native".to_owned(),
                    XdpMode::Generic => "generic".to_owned(),
                },
                attach: match configuration.dataplane.attach {
                    Attach::OnMaster => "on_master".to_owned(),
                    Attach::Always => "always".to_owned(),
                },
                verdicts: BTreeMap::new(),
                packets_lost: self.packets_lost,
            },
            virtual_servers: configuration
                .virtual_services
                .iter()
                .map(|service| self.virtual_server(service))
                .collect(),
            configuration: Some(self.configuration.clone()),
            cold: self.director.cold().map(cold),
            problems: problems::gather(self.problems, self.director, self.report, &self.configuration),
        };
        Draft { status, services }
    }

    fn virtual_server(&self, service: &VirtualService) -> VirtualServerStatus {
        let known = self.director.known();
        let real_servers = service.real_servers.iter();
        let weights: Vec<u16> = real_servers
            .map(|real_server| known.view(service, real_server).share.effective_weight.get())
            .collect();
        let rounding = self.director.rounding(service, self.schedule_limit, &weights);
        VirtualServerStatus {
            address: service.address.ip,
            port: service.address.ports.first(),
            last_port: match service.address.ports.only() {
                Some(_) => None,
                None => Some(service.address.ports.last()),
            },
            group: service.group.clone(),
            further_addresses: service
                .further_addresses
                .iter()
                .map(|address| address.endpoint())
                .collect(),
            protocol: service.address.protocol.to_string(),
            scheduler: service.scheduler.name().to_owned(),
            ops: service.one_packet,
            forward: forward(service).to_owned(),
            state: match self.director.state_of(service) {
                ServiceState::Up => VirtualServerState::Up,
                ServiceState::Down => VirtualServerState::Down,
            },
            weight_error: rounding.error,
            new_flow_limit: service.new_flow_limit,
            episode: self.director.episode(service.address).map(episode),
            connections: 0,
            packets: 0,
            bytes: 0,
            real_servers: service
                .real_servers
                .iter()
                .zip(rounding.weights)
                .map(|(real_server, weight)| self.real_server(service, real_server, weight))
                .collect(),
        }
    }

    fn real_server(
        &self,
        service: &VirtualService,
        real_server: &RealServer,
        scheduled_weight: f64,
    ) -> RealServerStatus {
        let id = RealServerId {
            service: service.address,
            address: real_server.address,
        };
        let known = self.director.known();
        let view = known.view(service, real_server);
        RealServerStatus {
            address: real_server.address.ip(),
            port: real_server.address.port(),
            weight: real_server.weight.get(),
            effective_weight: view.share.effective_weight.get(),
            scheduled_weight,
            state: match view.share.state {
                director::RealServerState::Up => RealServerState::Up,
                director::RealServerState::Down => RealServerState::Down,
                director::RealServerState::Drained => RealServerState::Drained,
                director::RealServerState::Unresolved => RealServerState::Unresolved,
            },
            forward: match view.way {
                Some(Way::Local) => "local",
                Some(Way::Neighbour(..)) | None => real_server.forwarding.name(),
            }
            .to_owned(),
            mac: match view.way {
                Some(Way::Neighbour(neighbour, _)) => Some(mac(neighbour.destination_mac)),
                Some(Way::Local) | None => None,
            },
            active_connections: 0,
            inactive_connections: 0,
            connections: 0,
            packets: 0,
            bytes: 0,
            last_check: self.director.monitors().last_check(&id).map(last_check),
            checks: self.director.monitors().checks(&id).map(check).collect(),
        }
    }
}

/// How packets reach the real servers of a service, in one word.
fn forward(service: &VirtualService) -> &'static str {
    let mut words = service
        .real_servers
        .iter()
        .map(|real_server| real_server.forwarding.name());
    match words.next() {
        None => "dr",
        Some(first) if words.all(|word| word == first) => first,
        Some(_) => "mixed",
    }
}

fn interface(report: &InterfaceReport) -> InterfaceStatus {
    let attached = report.attached;
    InterfaceStatus {
        name: report.name.clone(),
        attached: attached.is_some(),
        mode: attached.map(|program| {
            if program.native {
                AttachedMode::Native
            } else {
                AttachedMode::Generic
            }
        }),
        program_id: attached.map(|program| program.id),
    }
}

fn check(watched: &Watched) -> CheckStatus {
    let CheckKind::Tcp {
        target,
        connect_timeout,
    } = watched.kind();
    let timing = watched.timing();
    CheckStatus {
        kind: watched.kind().name().to_owned(),
        target: *target,
        connect_timeout_seconds: connect_timeout.as_secs_f64(),
        delay_loop_seconds: timing.delay_loop.as_secs_f64(),
        retry: timing.retry,
        delay_before_retry_seconds: timing.delay_before_retry.as_secs_f64(),
        rise: timing.rise,
        last_check: watched.last_check().map(last_check),
    }
}

fn episode((episode, since): (director::Episode, Instant)) -> EpisodeStatus {
    EpisodeStatus {
        cause: match episode.cause {
            director::Cause::Limit => EpisodeCause::NewFlowLimit,
            director::Cause::TableFull => EpisodeCause::TableFull,
        },
        since: calendar(since),
        seconds_left: episode.left.as_secs_f64(),
    }
}

fn last_check(check: &health::LastCheck) -> LastCheck {
    let (ok, message) = match &check.outcome {
        Ok(()) => (true, "connected".to_owned()),
        Err(message) => (false, message.clone()),
    };
    LastCheck {
        ok,
        message,
        at: calendar(check.at),
    }
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
