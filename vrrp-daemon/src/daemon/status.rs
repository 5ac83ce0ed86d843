//! What `lbd status` shows, gathered from where it is.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use super::channel::{InstanceReport, InterfaceReport, Report};
use crate::api::{
    AttachedMode, DataplaneStatus, InstanceState, InstanceStatus, InterfaceStatus, LastCheck, Problem,
    RealServerState, RealServerStatus, Status, Timestamp, VirtualServerState, VirtualServerStatus,
};
use crate::director::{self, Inputs, Plane, RealHandle, ServiceState, service_key};
use crate::health::{self, Monitors};
use crate::io::bpf::{Error, Flows, Tables};
use crate::model::{Configuration, RealServer, RealServerId, VirtualService};
use crate::vrrp::State;

/// All that the status is drawn from.
pub(super) struct Snapshot<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) uptime: Duration,
    pub(super) report: &'a Report,
    pub(super) plane: &'a Plane,
    pub(super) tables: &'a Tables,
    pub(super) monitors: &'a Monitors,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) problems: &'a [Problem],
}

/// A status that lacks the flows, and where each belongs.
pub(super) struct Draft {
    status: Status,
    /// The handle of each real server, in the order of the status.
    handles: Vec<Vec<Option<RealHandle>>>,
}

impl Draft {
    /// The status with what the flow tables hold.
    pub(super) fn with_flows(mut self, flows: &Flows) -> Status {
        self.status.dataplane.flows = flows.total;
        for (service, handles) in self.status.virtual_servers.iter_mut().zip(&self.handles) {
            for (real_server, handle) in service.real_servers.iter_mut().zip(handles) {
                let active = handle.and_then(|handle| flows.active.get(&handle).copied());
                real_server.active_connections = active.unwrap_or(0);
            }
        }
        self.status
    }
}

impl Snapshot<'_> {
    /// Everything but the flows.
    ///
    /// # Errors
    /// If a counter cannot be read.
    pub(super) fn draft(&self) -> Result<Draft, Error> {
        let known = self.plane.handles();
        let mut virtual_servers = Vec::new();
        let mut handles = Vec::new();
        for service in &self.configuration.virtual_services {
            let service_handles: Vec<_> = service
                .real_servers
                .iter()
                .map(|real_server| {
                    let id = RealServerId {
                        service: service.address,
                        address: real_server.address,
                    };
                    known.get(&id).copied()
                })
                .collect();
            virtual_servers.push(self.virtual_server(service, &service_handles)?);
            handles.push(service_handles);
        }
        let status = Status {
            node: self
                .configuration
                .node
                .router_id
                .clone()
                .unwrap_or_else(host_name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.uptime.as_secs_f64(),
            vrrp_instances: self
                .report
                .instances
                .iter()
                .map(|report| instance(report))
                .collect(),
            dataplane: DataplaneStatus {
                interfaces: self.report.interfaces.iter().map(interface).collect(),
                flows: 0,
                flow_table_size: self.configuration.dataplane.flow_table_size,
            },
            virtual_servers,
            problems: self.problems.to_vec(),
        };
        Ok(Draft { status, handles })
    }

    fn virtual_server(
        &self,
        service: &VirtualService,
        handles: &[Option<RealHandle>],
    ) -> Result<VirtualServerStatus, Error> {
        let key = service_key(service.address);
        let counters = match self.plane.services.get(&key) {
            Some(entry) => self.tables.service_counters(entry.index)?,
            None => lb_common::Counters::default(),
        };
        let shares = service
            .real_servers
            .iter()
            .map(|real_server| self.inputs.view(service, real_server).share);
        let real_servers = service
            .real_servers
            .iter()
            .zip(handles)
            .map(|(real_server, handle)| self.real_server(service, real_server, *handle))
            .collect::<Result<_, _>>()?;
        Ok(VirtualServerStatus {
            address: service.address.ip,
            port: service.address.port,
            protocol: service.address.protocol.to_string(),
            scheduler: service.scheduler.name().to_owned(),
            forward: "dr".to_owned(),
            state: match ServiceState::of(shares, self.plane.schedule(&key)) {
                ServiceState::Up => VirtualServerState::Up,
                ServiceState::Down => VirtualServerState::Down,
            },
            connections: counters.connections,
            packets: counters.packets,
            bytes: counters.bytes,
            real_servers,
        })
    }

    fn real_server(
        &self,
        service: &VirtualService,
        real_server: &RealServer,
        handle: Option<RealHandle>,
    ) -> Result<RealServerStatus, Error> {
        let id = RealServerId {
            service: service.address,
            address: real_server.address,
        };
        let counters = match handle {
            Some(handle) => self.tables.real_counters(handle.slot)?,
            None => lb_common::Counters::default(),
        };
        let view = self.inputs.view(service, real_server);
        Ok(RealServerStatus {
            address: real_server.address.ip(),
            port: real_server.address.port(),
            weight: real_server.weight.get(),
            effective_weight: view.share.effective_weight.get(),
            state: match view.share.state {
                director::RealServerState::Up => RealServerState::Up,
                director::RealServerState::Down => RealServerState::Down,
                director::RealServerState::Drained => RealServerState::Drained,
                director::RealServerState::Unresolved => RealServerState::Unresolved,
            },
            mac: view.neighbour.map(|neighbour| mac(neighbour.destination_mac)),
            active_connections: 0,
            connections: counters.connections,
            packets: counters.packets,
            bytes: counters.bytes,
            last_check: self.monitors.last_check(&id).map(last_check),
        })
    }
}

fn instance(report: &InstanceReport) -> InstanceStatus {
    let instance = &report.instance;
    InstanceStatus {
        name: instance.name.clone(),
        interface: instance.interface.clone(),
        virtual_router_id: instance.virtual_router_id.get(),
        version: instance.version.number(),
        state: match report.state {
            State::Init => InstanceState::Init,
            State::Backup => InstanceState::Backup,
            State::Master => InstanceState::Master,
            State::Fault => InstanceState::Fault,
        },
        priority: instance.priority.get(),
        effective_priority: report.effective_priority.get(),
        master_address: report.master_address,
        virtual_addresses: instance
            .virtual_addresses
            .iter()
            .map(|address| address.address.addr())
            .collect(),
        transitions: report.transitions,
        last_transition: report.last_transition.map(Timestamp::from),
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

fn last_check(check: &health::LastCheck) -> LastCheck {
    // The monitors count in `Instant`, people in calendar time.
    let at = SystemTime::now() - Instant::now().saturating_duration_since(check.at);
    let (ok, message) = match &check.outcome {
        Ok(()) => (true, "connected".to_owned()),
        Err(message) => (false, message.clone()),
    };
    LastCheck {
        ok,
        message,
        at: Timestamp::from(at),
    }
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|octet| format!("{octet:02x}")).join(":")
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
