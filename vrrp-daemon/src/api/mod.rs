//! What the daemon and its commands say to each other over the control socket.
//!
//! One request per connection: the client writes a [`Request`] as one line of JSON, the daemon answers with a
//! [`Response`] as one line of JSON and closes. These are the only types of the daemon that derive `Serialize`;
//! `lbd status --json` prints [`Status`] as it is, so its fields may grow in number but never change their names.

mod problem;
mod status;
mod timestamp;

use serde::{Deserialize, Serialize};

pub use problem::{Problem, ProblemCode};
pub use status::{
    AddressStatus, AdvertisementCounts, AttachedMode, CheckStatus, ColdStatus, ConfigurationStatus,
    DataplaneStatus, EpisodeCause, EpisodeStatus, InstanceState, InstanceStatus, InterfaceStatus, LastCheck,
    RealServerState, RealServerStatus, RefusedReload, Status, VirtualServerState, VirtualServerStatus,
};
pub use timestamp::Timestamp;

/// What a command asks of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Report what the daemon is doing. Answered with [`Response::Status`].
    Status,
    /// Read the configuration file again and carry it out. Answered with [`Response::Done`] or
    /// [`Response::Refused`].
    Reload,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// What the daemon is doing.
    Status(Box<Status>),
    /// What was asked is done.
    Done {
        /// What a person should know about it (perhaps several lines); may be empty.
        message: String,
    },
    /// What was asked was not done, and nothing has changed.
    Refused {
        /// Why, for a person; perhaps several lines.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the design: other programs read this shape.
    const STATUS: &str = r#"{"node":"lb1","version":"0.1.0","uptime_seconds":12.3,
 "vrrp_instances":[{"name":"VI_1","interface":"eth0","virtual_router_id":51,"version":2,"state":"master","priority":150,"effective_priority":150,"master_address":"10.0.0.1","virtual_addresses":["10.0.0.3"],"transitions":1,"last_transition":"2026-01-02T03:04:05Z","reason":null,"advert_interval_seconds":1.0,"preempt":true,"addresses":[{"address":"10.0.0.3","prefix_length":24,"device":"eth0","label":null}],"advertisements":{"sent":12,"received":3,"refused":1}}],
 "dataplane":{"interfaces":[{"name":"eth0","attached":true,"mode":"native","program_id":7}],"flows":123,"flow_table_size":1048576,"xdp_mode":"auto","attach":"on_master","verdicts":{"forward_new":10},"packets_lost":4},
 "virtual_servers":[{"address":"10.0.0.3","port":80,"last_port":null,"group":null,"further_addresses":[],"protocol":"tcp","scheduler":"wrr","ops":false,"forward":"dr","state":"up","weight_error":0.25,"new_flow_limit":100000,"episode":{"cause":"table_full","since":"2026-01-02T03:04:05Z","seconds_left":59.5},"connections":10,"packets":100,"bytes":6400,
   "real_servers":[{"address":"10.0.0.11","port":80,"weight":3,"effective_weight":3,"scheduled_weight":2.5,"state":"up","forward":"dr","mac":"02:00:00:00:00:0b","active_connections":2,"inactive_connections":1,"connections":7,"packets":70,"bytes":4480,"last_check":{"ok":true,"message":"connected","at":"2026-01-02T03:04:05Z"},"checks":[{"kind":"tcp_check","target":"10.0.0.11:80","connect_timeout_seconds":5.0,"delay_loop_seconds":6.0,"retry":1,"delay_before_retry_seconds":1.0,"rise":1,"last_check":{"ok":true,"message":"connected","at":"2026-01-02T03:04:05Z"}}]}]}],
 "configuration":{"path":"/etc/lbd/lbd.toml","loaded_at":"2026-01-02T03:04:05Z","refused_reload":{"at":"2026-01-02T03:04:05Z","message":"no"}},
 "cold":{"checks":3,"neighbours":1,"links":["eth1"],"until":null},
 "problems":[{"code":"pins_private","subject":"/sys/fs/bpf/lbd","message":"they go when this daemon dies","since":"2026-01-02T03:04:05Z"}]}"#;

    #[test]
    fn the_status_has_the_shape_of_the_design() {
        let status: Status = serde_json::from_str(STATUS).unwrap();
        let expected: String = STATUS.lines().map(str::trim_start).collect();
        assert_eq!(serde_json::to_string(&status).unwrap(), expected);
    }

    #[test]
    fn what_is_unknown_is_null() {
        let mut status: Status = serde_json::from_str(STATUS).unwrap();
        status.vrrp_instances[0].master_address = None;
        status.vrrp_instances[0].last_transition = None;
        status.virtual_servers[0].real_servers[0].mac = None;
        status.virtual_servers[0].real_servers[0].last_check = None;
        let json: serde_json::Value = serde_json::to_value(&status).unwrap();
        assert!(json["vrrp_instances"][0]["last_transition"].is_null());
        let text = json.to_string();
        for key in ["master_address", "last_transition", "mac", "last_check"] {
            assert!(text.contains(&format!("\"{key}\":null")), "{key}");
        }
    }

    #[test]
    fn requests_and_answers_are_one_line_each() {
        assert_eq!(serde_json::to_string(&Request::Status).unwrap(), "\"status\"");
        assert_eq!(serde_json::to_string(&Request::Reload).unwrap(), "\"reload\"");
        let refused = Response::Refused {
            message: "two\nlines".to_owned(),
        };
        assert_eq!(
            serde_json::to_string(&refused).unwrap(),
            r#"{"refused":{"message":"two\nlines"}}"#
        );
    }
}
