//! What an operator sees and is told while directors run, and what happens to what somebody else takes from them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{Configuration, Connections, Director, ECHO, Lab, Status, VIP, wait};

const PATIENCE: Duration = Duration::from_secs(20);

/// A director that is master, with all real servers up.
fn serving(lab: &Lab) -> Result<Director<'_>> {
    let director = Director::start(lab, &lab.directors[0], Configuration::new(lab, 150))?;
    director.wait_for("all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    Ok(director)
}

/// Waits until the log has a line with all these words.
fn logs(director: &Director<'_>, words: &[&str]) -> Result<String> {
    wait::until(&format!("a line of the log with {words:?}"), PATIENCE, || {
        let log = director.log().ok()?;
        let line = log
            .lines()
            .find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned)
    })
    .with_context(|| director.log().unwrap_or_default())
}

#[test]
fn the_status_tells_what_was_sent_counted_and_configured_in_eighty_columns() -> Result<()> {
    let lab = Lab::new()?;
    let director = serving(&lab)?;
    assert_eq!(lab.client.curl((VIP, 80).into(), 6)?.failed(), 0);
    let status = director.wait_for("advertisements", PATIENCE, |status| {
        status.number("vrrp_instances[0].advertisements.sent") > 1
    })?;
    assert_eq!(status.number("vrrp_instances[0].advertisements.refused"), 0);
    assert!(status.number("dataplane.verdicts.forward_new") >= 6);
    assert!(status.number("dataplane.verdicts.forward_flow") > 6);
    let path = director.configuration_path().to_string_lossy().into_owned();
    assert_eq!(status.text("configuration.path"), path);
    assert!(status.at("configuration.refused_reload").is_null());
    assert_eq!(
        status.text("vrrp_instances[0].addresses[0].address"),
        VIP.to_string()
    );
    assert_eq!(status.text("vrrp_instances[0].addresses[0].device"), "eth0");
    let check = "virtual_servers[0].real_servers[0].checks[0]";
    assert_eq!(status.text(&format!("{check}.kind")), "tcp_check");
    assert!(status.at(&format!("{check}.last_check.ok")).as_bool() == Some(true));
    assert_eq!(status.problems(), []);

    let shown = director.lbd(&["status", "-c", &path])?;
    let shown = String::from_utf8(shown.stdout)?;
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    Ok(())
}

#[test]
fn a_reload_says_what_it_changed_and_one_that_is_refused_stays_in_the_status() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = serving(&lab)?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    director.configuration.remove("virtual_server[0].real_server[2]");
    director.write_configuration()?;
    let reload = director.lbd(&["reload", "-c", &path])?;
    let said = String::from_utf8(reload.stdout)?;
    let gone = lab.real_servers[2].node.address;
    assert!(
        said.contains("1 real server removed") && said.contains(&gone.to_string()),
        "{said}"
    );
    logs(&director, &["configuration reloaded"])?;

    director.write_configuration_text("[dataplane]\nxdp_mode = \"fast\"\n")?;
    // Not by the file: the command could not read that either.
    let socket = director.socket().to_string_lossy().into_owned();
    let refused = director.lbd(&["reload", "--socket", &socket])?;
    assert_eq!(refused.status.code(), Some(1));
    let status = director.status()?;
    assert!(status.has_problem("reload_refused"), "{:#}", status.0);
    assert!(
        status
            .text("configuration.refused_reload.message")
            .contains("xdp_mode")
    );
    let shown = director.lbd(&["status", "--socket", &socket])?;
    assert_eq!(shown.status.code(), Some(0), "it could ask");
    assert!(String::from_utf8(shown.stdout)?.contains("reload_refused"));

    director.write_configuration()?;
    let reload = director.lbd(&["reload", "--socket", &socket])?;
    assert!(String::from_utf8(reload.stdout)?.contains("nothing has changed"));
    assert!(!director.status()?.has_problem("reload_refused"));
    Ok(())
}

#[test]
fn a_service_that_loses_its_last_real_server_and_gets_one_back_has_a_line_of_its_own() -> Result<()> {
    let lab = Lab::new()?;
    let director = serving(&lab)?;
    let service = format!("{VIP}:80/tcp");
    for real_server in &lab.real_servers {
        real_server.kill_nginx();
    }
    let line = logs(&director, &[&service, "no real server takes new connections"])?;
    assert!(line.contains("ERROR"), "{line}");
    let status = director.status()?;
    let problems = status.problems();
    let problem = problems.iter().find(|problem| problem.subject == service);
    let problem = problem.with_context(|| format!("{problems:?}"))?;
    assert_eq!(problem.code, "no_schedule");
    assert!(problem.message.contains("3 down"), "{problem:?}");

    lab.real_servers[1].start_nginx()?;
    logs(&director, &[&service, "takes new connections again"])?;
    director.wait_for("the problem to end", PATIENCE, |status| {
        !status.problems().iter().any(|problem| problem.subject == service)
    })?;
    assert_eq!(lab.client.curl((VIP, 80).into(), 3)?.failed(), 0);
    Ok(())
}

/// The active connections of all services.
fn active(status: &Status) -> u64 {
    let services = status.list("virtual_servers").iter();
    let real_servers = services.flat_map(|service| service["real_servers"].as_array().into_iter().flatten());
    real_servers
        .filter_map(|real_server| real_server["active_connections"].as_u64())
        .sum()
}

#[test]
fn connections_that_went_to_another_master_are_not_counted_here_any_more() -> Result<()> {
    let lab = Lab::new()?;
    let (first, second) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let connections = Connections::open(&lab.client, (VIP, ECHO).into(), 12)?;
    assert_eq!(active(&first.status()?), 12);

    lab.unplug(first.node)?;
    second.becomes_master()?;
    // They are reset at the successor, which does not know them, and opened again there.
    assert_eq!(connections.exchange().answered, 0);
    drop(connections);
    let _opened_again = Connections::open(&lab.client, (VIP, ECHO).into(), 3)?;
    assert_eq!(active(&first.status()?), 0);
    assert_eq!(active(&second.status()?), 3);

    lab.plug_in(first.node)?;
    let status = first.becomes_master()?;
    assert_eq!(active(&status), 0, "what it remembers of them is from before");
    second.becomes_backup()?;
    assert_eq!(active(&second.status()?), 0);
    Ok(())
}

#[test]
fn another_xdp_mode_is_in_force_when_the_reload_says_so() -> Result<()> {
    let lab = Lab::new()?;
    let mut director = Director::start(
        &lab,
        &lab.directors[0],
        Configuration::new(&lab, 150).with("dataplane.xdp_mode", "native"),
    )?;
    let serves_in = |director: &Director<'_>, mode: &str| {
        director.wait_for("the program in its mode, and real servers", PATIENCE, |status| {
            let interfaces = status.list("dataplane.interfaces");
            status.is_master()
                && status.all_up()
                && interfaces.iter().all(|interface| interface["mode"] == mode)
        })?;
        anyhow::Ok(lab.client.curl((VIP, 80).into(), 6)?.failed())
    };
    assert_eq!(serves_in(&director, "native")?, 0);
    for mode in ["generic", "native"] {
        director.configuration.set("dataplane.xdp_mode", mode);
        director.write_configuration()?;
        let path = director.configuration_path().to_string_lossy().into_owned();
        let reload = director.lbd(&["reload", "-c", &path])?;
        let said = String::from_utf8(reload.stdout)?;
        assert!(said.contains("[dataplane] changed"), "{said}");
        assert_eq!(serves_in(&director, mode)?, 0);
        assert_eq!(director.status()?.text("dataplane.xdp_mode"), mode);
    }
    Ok(())
}
