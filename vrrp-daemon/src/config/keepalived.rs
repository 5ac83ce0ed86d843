//! Words of Keepalived that mean something else here, or nothing yet.

/// What becomes of a word of Keepalived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is said differently: how.
    Other(&'static str),
    /// This version has nothing like it.
    NotBuilt,
}

/// What is said differently.
const OTHERS: &[(&str, &str)] = &[
    (
        "global_defs",
        "what is left of it is in `[node]`, for example `router_id`",
    ),
    ("lvs_id", "write `router_id`"),
    ("lvs_sched", "write `lb_algo`"),
    (
        "lvs_method",
        "write `lb_kind`, and `tun_type` and `tun_port` for what follows TUN",
    ),
    ("preempt", "it is the default; `nopreempt = true` turns it off"),
    ("vrrp_version", "each `[[vrrp_instance]]` has a `version`"),
    (
        "fwmark",
        "nothing marks packets before lbd sees them: name the addresses and ports, or ranges of them, in `member`",
    ),
    (
        "inhibit_on_failure",
        "a server that fails its check gets no new connections",
    ),
];

/// What this version has nothing like.
const NOT_BUILT: &[&str] = &[
    "accept",
    "alpha",
    "bfd_instance",
    "check_unicast_src",
    "debug",
    "dns_check",
    "dont_track_primary",
    "down_timer_adverts",
    "file_check",
    "garp_lower_prio_delay",
    "garp_lower_prio_repeat",
    "garp_master_delay",
    "garp_master_refresh",
    "garp_master_refresh_repeat",
    "garp_master_repeat",
    "ha_suspend",
    "hysteresis",
    "http_get",
    "lvs_flush",
    "lvs_sync_daemon",
    "mcast_dst_ip",
    "mcast_src_ip",
    "misc_check",
    "native_ipv6",
    "notification_email",
    "notification_email_from",
    "notify",
    "notify_backup",
    "notify_down",
    "notify_fault",
    "notify_fifo",
    "notify_master",
    "notify_stop",
    "notify_up",
    "omega",
    "persistence_granularity",
    "persistence_timeout",
    "ping_check",
    "preempt_delay",
    "promote_secondaries",
    "quorum",
    "quorum_down",
    "quorum_up",
    "script_user",
    "smtp_alert",
    "smtp_check",
    "smtp_server",
    "sorry_server",
    "sorry_server_inhibit",
    "ssl_get",
    "static_ipaddress",
    "static_routes",
    "static_rules",
    "strict_mode",
    "track_bfd",
    "track_file",
    "track_interface",
    "track_process",
    "track_script",
    "udp_check",
    "unicast_peer",
    "unicast_src_ip",
    "unicast_ttl",
    "use_vmac",
    "virtual_ipaddress_excluded",
    "virtual_routes",
    "virtual_rules",
    "virtualhost",
    "vrrp_garp_master_delay",
    "vrrp_script",
    "vrrp_skip_check_adv_addr",
    "vrrp_strict",
    "vrrp_sync_group",
    "vrrp_track_process",
    "warmup",
];

/// What becomes of `word`, if Keepalived has it and lbd has not.
pub(super) fn meaning(word: &str) -> Option<Meaning> {
    let word = word.to_lowercase();
    OTHERS
        .iter()
        .find(|(other, _)| *other == word)
        .map(|(_, meaning)| Meaning::Other(meaning))
        .or_else(|| NOT_BUILT.contains(&word.as_str()).then_some(Meaning::NotBuilt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::RawFile;
    use crate::config::key::Key;
    use crate::config::table::Table;

    fn names(keys: Vec<Key>) -> Vec<&'static str> {
        let below = |key: Key| [names(key.keys), vec![key.name]].concat();
        keys.into_iter().flat_map(below).collect()
    }

    /// A word that has become a key is no longer one that is not built.
    #[test]
    fn no_key_is_said_to_be_unknown() {
        for name in names(RawFile::list_keys()) {
            assert_eq!(meaning(name), None, "{name}");
        }
    }
}
