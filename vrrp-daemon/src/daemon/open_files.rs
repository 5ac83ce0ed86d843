//! How many files the daemon may have open at once, and who may have them.

use tracing::warn;

use crate::io::limits;
use crate::model::Configuration;

/// What it has open whatever is configured: maps and the program, netlink, ARP and control sockets are 80; clients of
/// the last, and some to spare.
const STANDING: u64 = 256;

/// For each interface: a socket for advertisements, the link of the program, and a program of help.
const FOR_EACH_INTERFACE: u64 = 4;

/// How many files may be needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needed {
    /// For checks: all real servers may be slow to answer, and each check under way has a socket.
    checks: u64,
    /// For everything else.
    others: u64,
}

impl Needed {
    fn of(configuration: &Configuration) -> Self {
        let real_servers = configuration
            .virtual_services
            .iter()
            .flat_map(|service| &service.real_servers);
        let checks: usize = real_servers.map(|real_server| real_server.checks.len()).sum();
        let interfaces = configuration.interfaces().len() + configuration.vrrp_instances.len();
        Self {
            checks: checks as u64,
            others: STANDING + FOR_EACH_INTERFACE * interfaces as u64,
        }
    }

    /// How many checks may be under way at once where `allowed` files may be open: others come first, for without the
    /// program on its interface a director is none. Where there are fewer than these may need, they can do with three
    /// quarters.
    fn checks_at_once(self, allowed: u64) -> usize {
        let rest = allowed.saturating_sub(self.others).max(allowed / 4).max(1);
        usize::try_from(rest).unwrap_or(usize::MAX)
    }
}

/// Has the kernel allow what `configuration` may need, as far as it does. Returns how many checks may be under way at
/// once, and what a person should know.
pub(super) fn allow(configuration: &Configuration) -> (usize, Option<String>) {
    let needed = Needed::of(configuration);
    let all = needed.checks + needed.others;
    match limits::allow_open_files(all) {
        Ok(files) => (needed.checks_at_once(files.allowed), files.complaint(all)),
        Err(error) => {
            warn!(%error, "cannot raise the limit of open files");
            (needed.checks_at_once(0), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn each_check_needs_a_file() {
        let needed = |checked: &str| {
            let text = format!(
                "[[virtual_server]]\naddress = \"10.0.0.3\"\nport = 80\n\
                 [[virtual_server.real_server]]\naddress = \"10.0.0.11\"\n{checked}\n\
                 [[virtual_server.real_server]]\naddress = \"10.0.0.12\"\n{checked}\n\
                 [dataplane]\ninterfaces = [\"eth0\"]\n"
            );
            let loaded = config::parse(&text).expect("the configuration is valid");
            Needed::of(&loaded.configuration)
        };
        let others = STANDING + FOR_EACH_INTERFACE;
        assert_eq!(needed(""), Needed { checks: 0, others });
        assert_eq!(needed("tcp_check = {}"), Needed { checks: 2, others });
    }

    #[test]
    fn checks_leave_to_others_what_these_need() {
        let needed = Needed {
            checks: 1000,
            others: 260,
        };
        assert_eq!(needed.checks_at_once(2000), 1740);
        assert_eq!(needed.checks_at_once(600), 340);
        assert_eq!(needed.checks_at_once(128), 32);
        assert_eq!(needed.checks_at_once(0), 1);
    }
}
