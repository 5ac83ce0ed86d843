//! The file as a whole.

use toml::Spanned;

use crate::model::Configuration;

use super::checks;
use super::diagnostic::Diagnostic;
use super::group::{Groups, RawGroup};
use super::instance::RawInstance;
use super::node::{RawDataplane, RawNode};
use super::section::{Problems, Reported};
use super::server::RawServer;
use super::table::{NOWHERE, Several, Single, TableCheck, several, single, table};
use super::value::InterfaceName;

table! {
    /// The configuration of one node.
    struct RawFile in "" {
        node: Single<RawNode> = single(),
        dataplane: Single<RawDataplane> = single(),
        vrrp_instance: Several<RawInstance> = several(),
        virtual_server_group: Several<RawGroup> = several(),
        virtual_server: Several<RawServer> = several(),
    }
}

impl TableCheck for RawFile {
    fn check(&mut self, problems: &mut Problems) {
        checks::instances(&self.vrrp_instance, problems);
        checks::groups(&self.virtual_server_group, problems);
        let groups = Groups::new(&self.virtual_server_group);
        checks::services(&self.virtual_server, &groups, &self.vrrp_instance, problems);
        checks::real_addresses(&self.virtual_server, &groups, &self.vrrp_instance, problems);
        checks::capacities(&self.virtual_server, &groups, &self.vrrp_instance, problems);
        if let Ok(dataplane) = &self.dataplane {
            checks::leases(&self.vrrp_instance, dataplane, problems);
        }
    }
}

impl RawFile {
    /// Every mention of an interface, in the order of the text.
    pub(super) fn interfaces(&self) -> Vec<&Spanned<InterfaceName>> {
        let dataplane = self.dataplane.iter().flat_map(RawDataplane::interfaces);
        let instances = self.vrrp_instance.iter().flatten();
        let mut interfaces: Vec<_> = dataplane
            .chain(instances.flat_map(RawInstance::interfaces))
            .collect();
        interfaces.sort_by_key(|interface| interface.span().start);
        interfaces
    }

    /// What it means.
    pub(super) fn model(self, problems: &mut Problems) -> Result<Configuration, Reported> {
        let groups = Groups::new(&self.virtual_server_group);
        let configuration = Configuration {
            node: self.node?.model()?,
            dataplane: self.dataplane?.model()?,
            vrrp_instances: models(&self.vrrp_instance, RawInstance::model)?,
            virtual_services: models(&self.virtual_server, |server: &RawServer| server.model(&groups))?,
        };
        let headers = self.virtual_server.iter().flatten().map(|server| &server.place);
        checks::weights(configuration.virtual_services.iter().zip(headers), problems);
        // What is wrong elsewhere may be why.
        if configuration.interfaces().is_empty() && !problems.any_error() {
            let first = self.virtual_server.iter().flatten().next();
            let diagnostic = Diagnostic::error(
                first.map_or(NOWHERE, |server| server.place.clone()),
                "there is no interface to work on",
                "on which interface do its packets arrive?",
            );
            let help =
                "name them as `interfaces = [\"eth0\"]` in `[dataplane]`, or add a `[[vrrp_instance]]`";
            return Err(problems.report(diagnostic.help(help)));
        }
        Ok(configuration)
    }
}

/// The models of all tables of a kind, if each has one.
fn models<R, M>(
    tables: &[Result<R, Reported>],
    model: impl Fn(&R) -> Result<M, Reported>,
) -> Result<Vec<M>, Reported> {
    tables
        .iter()
        .map(|table| model(table.as_ref().map_err(|reported| *reported)?))
        .collect()
}
