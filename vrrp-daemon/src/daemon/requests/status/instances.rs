//! Virtual routers, as the status shows them.

use std::time::{Duration, SystemTime};

use super::super::problems;
use crate::api::{AddressStatus, AdvertisementCounts, InstanceState, InstanceStatus, Timestamp};
use crate::daemon::channel::InstanceReport;
use crate::model::VrrpInstance;
use crate::vrrp::State;

/// An instance, with what was told of it. Before anything was, it is about to begin.
pub(super) fn instance(configured: &VrrpInstance, report: Option<&InstanceReport>) -> InstanceStatus {
    let state = report.map_or(State::Init, |report| report.state);
    InstanceStatus {
        name: configured.name.clone(),
        interface: configured.interface.clone(),
        virtual_router_id: configured.virtual_router_id.get(),
        version: configured.version.number(),
        state: match state {
            State::Init => InstanceState::Init,
            State::Backup => InstanceState::Backup,
            State::Master => InstanceState::Master,
            State::Fault => InstanceState::Fault,
        },
        priority: configured.priority.get(),
        effective_priority: report
            .map_or(configured.priority, |report| report.effective_priority)
            .get(),
        master_address: report.and_then(|report| report.master_address),
        virtual_addresses: configured
            .virtual_addresses
            .iter()
            .map(|address| address.address.addr())
            .collect(),
        transitions: report.map_or(0, |report| report.transitions),
        last_transition: report
            .and_then(|report| report.last_transition)
            .map(Timestamp::from),
        reason: report.and_then(problems::why_out),
        advert_interval_seconds: configured.advert_int.duration().as_secs_f64(),
        preempt: configured.preempt,
        addresses: configured
            .virtual_addresses
            .iter()
            .map(|address| AddressStatus {
                address: address.address.addr(),
                prefix_length: address.address.prefix_len(),
                device: address.device.as_ref().unwrap_or(&configured.interface).clone(),
                label: address.label.clone(),
            })
            .collect(),
        advertisements: report.map_or_else(AdvertisementCounts::default, |report| AdvertisementCounts {
            sent: report.counters.sent(),
            received: report.counters.received(),
            refused: report.counters.refused(),
        }),
    }
}

/// For how long this node has forwarded the packets of the services that this virtual router guards, if it does. One
/// that is master from its start on may go on with a predecessor's connections.
pub(super) fn forwarding_for(report: &InstanceReport, now: SystemTime) -> Option<Duration> {
    match (report.state, report.last_transition) {
        (State::Master, Some(since)) if report.transitions > 1 => {
            Some(now.duration_since(since).unwrap_or_default())
        }
        (State::Master, _) => Some(Duration::MAX),
        (State::Init | State::Backup | State::Fault, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::model::Configuration;

    const AT: SystemTime = SystemTime::UNIX_EPOCH;

    fn configured() -> Configuration {
        let text = "[[vrrp_instance]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvirtual_router_id = 1\n\
                    virtual_ipaddress = [\"10.0.0.3/24\"]\n";
        config::parse(text)
            .expect("the configuration is valid")
            .configuration
    }

    fn report(state: State, transitions: u64) -> InstanceReport {
        let configured = &configured().vrrp_instances[0];
        InstanceReport {
            instance: Arc::new(configured.clone()),
            state,
            obstacles: Vec::new(),
            effective_priority: configured.priority,
            master_address: None,
            transitions,
            last_transition: Some(AT),
            problems: Vec::new(),
            counters: Arc::default(),
        }
    }

    #[test]
    fn an_instance_that_nothing_was_told_of_yet_is_listed_as_it_is_configured() {
        let status = instance(&configured().vrrp_instances[0], None);
        assert_eq!(status.state, InstanceState::Init);
        assert_eq!((status.priority, status.effective_priority), (100, 100));
        assert_eq!(status.virtual_addresses.len(), 1);
        assert_eq!(status.reason, None);
    }

    #[test]
    fn connections_from_before_this_mastership_are_not_this_nodes() {
        let later = AT + Duration::from_secs(5);
        let time = |state, transitions| {
            let report = report(state, transitions);
            forwarding_for(&report, later)
        };
        assert_eq!(time(State::Backup, 3), None);
        assert_eq!(time(State::Fault, 3), None);
        assert_eq!(time(State::Master, 4), Some(Duration::from_secs(5)));
        assert_eq!(
            time(State::Master, 1),
            Some(Duration::MAX),
            "it resumed a predecessor's"
        );
    }
}
