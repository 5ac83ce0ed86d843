//! The commands, as scripts and people use them.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Result;
use lab::{Configuration, Director, Lab, Signal, Status, VIP, find_binary, run};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn status_speaks_to_people_and_to_scripts() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let status = director.wait_for("all servers up", Duration::from_secs(20), |status| {
        status.is_master() && status.all_up()
    })?;
    let json = &status.0;
    assert_eq!(json["node"], "director1");
    assert!(json["version"].is_string());
    assert!(json["uptime_seconds"].as_f64() > Some(0.0));
    let instance = &json["vrrp_instances"][0];
    assert_eq!(
        (
            &instance["name"],
            &instance["interface"],
            &instance["virtual_router_id"],
            &instance["version"]
        ),
        (&"VI_1".into(), &"eth0".into(), &51.into(), &3.into())
    );
    assert_eq!(
        (&instance["priority"], &instance["effective_priority"]),
        (&150.into(), &150.into())
    );
    assert_eq!(status.master_address(), Some(director.node.address.into()));
    assert!(
        instance["virtual_addresses"][0]
            .as_str()
            .is_some_and(|text| text.starts_with(&VIP.to_string()))
    );
    assert!(
        instance["last_transition"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z'))
    );
    let interface = &json["dataplane"]["interfaces"][0];
    assert_eq!(
        (&interface["name"], &interface["attached"]),
        (&"eth0".into(), &true.into())
    );
    assert_eq!(interface["mode"], "native");
    assert!(interface["program_id"].as_u64() > Some(0));
    let server = &lab.real_servers[0].node;
    let entry = status.real_server("tcp", (VIP, 80).into(), server.address.into());
    let entry = entry.expect("rs1 is configured");
    assert_eq!(
        (&entry["weight"], &entry["effective_weight"]),
        (&3.into(), &3.into())
    );
    assert_eq!(entry["mac"], server.mac_text());
    assert_eq!(entry["last_check"]["ok"], true);

    let socket = director.socket().to_string_lossy().into_owned();
    let table = director.lbd(&["status", "--socket", &socket])?;
    assert_eq!(table.status.code(), Some(0), "{}", stderr(&table));
    for word in ["VI_1", "master", "10.0.0.100", "10.0.0.11", "eth0"] {
        assert!(
            stdout(&table).to_lowercase().contains(&word.to_lowercase()),
            "no {word}: {}",
            stdout(&table)
        );
    }
    // By the configuration's path the socket is found just as well.
    let path = director.configuration_path().to_string_lossy().into_owned();
    let json = director.lbd(&["status", "-c", &path, "--json"])?;
    assert_eq!(json.status.code(), Some(0), "{}", stderr(&json));
    assert!(Status(serde_json::from_slice(&json.stdout)?).is_master());
    Ok(())
}

#[test]
fn check_config_accepts_what_runs_and_points_at_what_cannot() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::start(&lab, &lab.directors[0], Configuration::classic(&lab, 150))?;
    let path = director.configuration_path().to_string_lossy().into_owned();
    let good = director.lbd(&["check-config", "-c", &path])?;
    assert_eq!(good.status.code(), Some(0), "{}", stderr(&good));

    let text = std::fs::read_to_string(&path)?;
    director.write_configuration_text(
        &text
            .replace("virtual_router_id = 51", "virtual_router_id = 300")
            .replace("lb_algo", "lb_algorithm"),
    )?;
    let bad = director.lbd(&["check-config", "-c", &path])?;
    assert_eq!(bad.status.code(), Some(1));
    let explanation = stderr(&bad) + &stdout(&bad);
    for word in ["lbd.toml", "300", "lb_algorithm", "lb_algo"] {
        assert!(explanation.contains(word), "no {word}: {explanation}");
    }
    Ok(())
}

#[test]
fn a_boot_clock_of_its_own_is_refused_at_the_start() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::prepare(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let output = Command::new("unshare")
        .args(["--time", "--boottime", "86400", "--fork"])
        .arg(find_binary("lbd")?)
        .args(["run", "-c"])
        .arg(director.configuration_path())
        .output()?;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("time namespace"), "{}", stderr(&output));
    assert!(stderr(&output).contains("86400"), "{}", stderr(&output));
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said_in_one_sentence() -> Result<()> {
    let lab = Lab::new()?;
    let director = Director::start(&lab, &lab.directors[0], Configuration::new(&lab, 150))?;
    let nobody = director.lbd(&["status", "--socket", "/nonexistent/lbd.sock"])?;
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(stderr(&nobody).trim().lines().count(), 1, "{}", stderr(&nobody));
    assert!(stderr(&nobody).contains("/nonexistent/lbd.sock"));
    let usage = director.lbd(&["staus"])?;
    assert_eq!(usage.status.code(), Some(2));

    // A second daemon on the same socket would be a second writer of the same maps.
    let path = director.configuration_path().to_string_lossy().into_owned();
    let second = director.lbd(&["run", "-c", &path])?;
    assert_eq!(second.status.code(), Some(1), "{}", stderr(&second));
    director.becomes_master()?;
    Ok(())
}

#[test]
fn a_reload_that_comes_while_the_daemon_stops_is_refused() -> Result<()> {
    let lab = Lab::new()?;
    // Version 2: nobody succeeds it, so that it hands over for more than a second.
    let mut director = Director::start(&lab, &lab.directors[0], Configuration::classic(&lab, 150))?;
    director.becomes_master()?;
    director.signal(Signal::Terminate)?;
    director.wait_for("it hands over", Duration::from_secs(5), |status| {
        status.0["vrrp_instances"][0]["state"] == "init"
    })?;
    let socket = director.socket().to_string_lossy().into_owned();
    let reload = director.lbd(&["reload", "--socket", &socket])?;
    assert_eq!(reload.status.code(), Some(1), "{}", stdout(&reload));
    assert!(stderr(&reload).contains("stopping"), "{}", stderr(&reload));
    director.stop()
}

#[test]
fn two_daemons_in_two_namespaces_keep_out_of_each_others_way() -> Result<()> {
    let lab = Lab::new()?;
    let (first, mut second) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    let program = |director: &Director<'_>| -> Result<u64> {
        let mut command = director.node.namespace.command("ip");
        let link = run(command.args(["-details", "-json", "link", "show", "eth0"]))?;
        let link: serde_json::Value = serde_json::from_str(&link)?;
        Ok(link[0]["xdp"]["prog"]["id"].as_u64().unwrap_or_default())
    };
    let before = program(&first)?;
    assert_ne!(before, 0);
    second.stop()?;
    assert_eq!(program(&first)?, before);
    assert!(first.status()?.is_master());
    assert!(second.status().is_err());
    let fetched = lab.client.curl((VIP, 80).into(), 6)?;
    assert_eq!(fetched.failed(), 0, "{}", fetched.complaints);
    Ok(())
}

#[test]
fn the_status_of_another_node_is_not_confused_with_ones_own() -> Result<()> {
    let lab = Lab::new()?;
    let (first, second) = Director::pair(&lab, |priority| Configuration::new(&lab, priority))?;
    assert_eq!(first.status()?.0["node"], "director1");
    assert_eq!(second.status()?.0["node"], "director2");
    // Both know who is the master, and the health of the real servers.
    assert_eq!(second.status()?.master_address(), Some(first.node.address.into()));
    assert!(second.status()?.all_up());
    Ok(())
}
