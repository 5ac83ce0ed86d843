//! `lbd check-config`.

use std::path::Path;

use super::file::{self, count};
use super::output;

/// Reports every problem of the file; in one line what it configures, if it can be used.
pub(super) fn run(path: &Path) -> anyhow::Result<()> {
    let loaded = file::load(path, output::report)?;
    let configuration = loaded.configuration;
    let real_servers = configuration
        .virtual_services
        .iter()
        .map(|service| service.real_servers.len())
        .sum();
    output::print(&format!(
        "{} is valid: {}, {}, {}, on {}\n",
        path.display(),
        count(configuration.vrrp_instances.len(), "VRRP instance"),
        count(configuration.virtual_services.len(), "virtual server"),
        count(real_servers, "real server"),
        configuration.interfaces().join(", "),
    ))
}
