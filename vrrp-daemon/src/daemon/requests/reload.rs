//! `lbd reload`, and SIGHUP: reading the configuration file again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::super::by_name;
use super::super::director_loop::DirectorLoop;
use super::super::news::News;
use super::super::open_files;
use crate::api::{RefusedReload, Response};
use crate::config::{self, Diagnostic};
use crate::director::flow_clock;
use crate::model::Configuration;

impl DirectorLoop {
    /// Reads the configuration file again and carries it out, or leaves everything as it is and says why.
    pub(in crate::daemon) async fn reload(&mut self) -> Response {
        let _reloading = self.manager.reloading();
        match self.try_to_reload().await {
            Ok(message) => {
                self.loaded_at = SystemTime::now();
                self.refused_reload = None;
                self.news.tell(News::Reloaded {
                    message: message.clone(),
                });
                Response::Done { message }
            }
            Err(message) => {
                self.refused_reload = Some(RefusedReload {
                    at: SystemTime::now().into(),
                    message: message.clone(),
                });
                self.news.tell(News::ReloadRefused {
                    message: message.clone(),
                });
                Response::Refused { message }
            }
        }
    }

    async fn try_to_reload(&mut self) -> Result<String, String> {
        let links = self
            .netlink
            .links()
            .await
            .map_err(|error| format!("cannot list the interfaces: {error}"))?;
        let names: BTreeSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let present = self.director.configuration();
        let reloaded = read(&self.config_path, present, |name| names.contains(name))?;
        let changes = self
            .director
            .reload(reloaded.configuration, by_name(links), Instant::now())
            .map_err(|refusal| refusal.to_string())?;
        let (checks_at_once, complaint) = open_files::allow(self.director.configuration());
        self.probes.allow(checks_at_once);
        let timeouts = self.set_timeouts().await;
        Ok([reloaded.name + " is in force", changes.to_string()]
            .into_iter()
            .chain(reloaded.remarks)
            .chain(complaint)
            .chain(timeouts.err())
            .collect::<Vec<_>>()
            .join("\n"))
    }
}

impl DirectorLoop {
    /// Has connections be remembered for as long as is configured now.
    async fn set_timeouts(&self) -> Result<(), String> {
        let clock = flow_clock(self.director.configuration().dataplane.flow_timeouts);
        let flows = Arc::clone(&self.flows);
        let set = tokio::task::spawn_blocking(move || flows.set_clock(clock));
        let set = set.await.map_err(|error| error.to_string());
        set.and_then(|set| set.map_err(|error| error.to_string()))
            .map_err(|error| {
                format!("dataplane.lvs_timeouts could not be set, a reload tries again: {error}")
            })
    }
}

/// A configuration that may take the place of the present one.
struct Reloaded {
    /// The name of the file.
    name: String,
    /// What to do from now on.
    configuration: Configuration,
    /// What a person should know about it.
    remarks: Vec<String>,
}

/// Reads the file at `path` to take the place of `present`. What only a restart can change stays as it is, and the
/// message says so.
///
/// # Errors
/// What is wrong with the file, for people: every problem, with its place.
fn read(path: &Path, present: &Configuration, exists: impl Fn(&str) -> bool) -> Result<Reloaded, String> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let text = config::decode(bytes).map_err(|error| format!("{name} {error}"))?;
    let render = |diagnostics: &[Diagnostic]| config::render(diagnostics, &name, &text, false);
    let missing = config::missing_interfaces(&text, exists);
    let mut loaded = match config::parse(&text) {
        Ok(loaded) => loaded,
        Err(problems) => return Err(render(&[problems, missing].concat())),
    };
    let lists = &mut loaded.configuration.dataplane.access;
    config::read_lists(lists, |path| fs::read(path), false)?;
    let warnings = [loaded.warnings, missing].concat();
    let mut remarks = Vec::new();
    if !warnings.is_empty() {
        remarks.push(render(&warnings));
    }
    let mut configuration = loaded.configuration;
    for key in keep_fixed(&mut configuration, present) {
        remarks.push(format!(
            "{key} has changed in the file: that needs a restart of lbd"
        ));
    }
    Ok(Reloaded {
        name,
        configuration,
        remarks,
    })
}

/// Puts back what a running daemon cannot change, and names it.
fn keep_fixed(configuration: &mut Configuration, present: &Configuration) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let (node, dataplane) = (&mut configuration.node, &mut configuration.dataplane);
    keep(
        &mut node.control_socket,
        &present.node.control_socket,
        "node.control_socket",
        &mut kept,
    );
    keep(
        &mut node.pin_dir,
        &present.node.pin_dir,
        "node.pin_dir",
        &mut kept,
    );
    keep(
        &mut node.state_dir,
        &present.node.state_dir,
        "node.state_dir",
        &mut kept,
    );
    keep(
        &mut dataplane.flow_table_size,
        &present.dataplane.flow_table_size,
        "dataplane.flow_table_size",
        &mut kept,
    );
    keep(
        &mut dataplane.flow_names,
        &present.dataplane.flow_names,
        "dataplane.flow_names",
        &mut kept,
    );
    kept
}

fn keep<T: PartialEq + Clone>(value: &mut T, present: &T, key: &'static str, kept: &mut Vec<&'static str>) {
    if value != present {
        value.clone_from(present);
        kept.push(key);
    }
}
