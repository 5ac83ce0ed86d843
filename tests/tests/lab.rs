//! The lab itself, with Keepalived in the place of `lbd`: what the other tests take for granted.

use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{ArpWatch, Configuration, ECHO, Keepalived, Lab, Link, Load, Probe, SWITCH, Session, Topology};

const TEN_MILLISECONDS: Duration = Duration::from_millis(10);

#[test]
fn each_real_server_answers_with_its_own_name() -> Result<()> {
    let lab = Lab::new()?;
    for server in &lab.real_servers {
        let fetched = lab.client.curl((server.node.address, 80).into(), 3)?;
        assert_eq!(
            fetched.counts(),
            [(server.node.name.as_str(), 3)].into(),
            "{}",
            fetched.complaints
        );
        let fetched = lab.client.curl((server.node.address6, 80).into(), 2)?;
        assert_eq!(
            fetched.counts(),
            [(server.node.name.as_str(), 2)].into(),
            "{}",
            fetched.complaints
        );
    }
    Ok(())
}

#[test]
fn a_killed_server_fails_each_request_and_is_counted() -> Result<()> {
    let lab = Lab::new()?;
    let server = &lab.real_servers[0];
    let load = Load::start(&lab.client, (server.node.address, 80).into(), TEN_MILLISECONDS)?;
    server.kill_nginx();
    let killed = Instant::now();
    lab::wait::until("ten requests fail", Duration::from_secs(10), || {
        (load.since(killed).requests >= 10).then_some(())
    })?;
    assert_eq!(load.since(killed).failed(), load.since(killed).requests);
    server.start_nginx()?;
    let started = Instant::now();
    lab::wait::until("ten requests succeed", Duration::from_secs(10), || {
        (load.since(started).requests >= 10).then_some(())
    })?;
    assert_eq!(load.since(started).failed(), 0);
    Ok(())
}

#[test]
fn real_servers_keep_quiet_about_the_virtual_address() -> Result<()> {
    let lab = Lab::new()?;
    let watch = ArpWatch::start(&lab.client, lab::VIP, TEN_MILLISECONDS)?;
    // The client's own exchanges with the real servers take long enough for a few requests.
    for server in &lab.real_servers {
        lab.client.curl((server.node.address, 80).into(), 20)?;
    }
    let report = watch.finish()?;
    assert!(report.requests > 0);
    assert_eq!(report.replies, [].into());
    Ok(())
}

#[test]
fn a_pulled_cable_is_seen_by_probe_and_session() -> Result<()> {
    let lab = Lab::new()?;
    let node = &lab.real_servers[1].node;
    let target = (node.address, ECHO).into();
    let session = Session::start(&lab.client, target, TEN_MILLISECONDS)?;
    lab.unplug(node)?;
    let stalled = session.proceeds(1000, Duration::from_millis(300));
    assert!(stalled.is_err());
    lab.plug_in(node)?;
    session.proceeds(10, Duration::from_secs(10))?;
    let report = session.finish()?;
    assert_eq!((report.server.as_str(), report.ended), ("rs2", None));
    assert!(report.slowest > Duration::from_millis(200));
    Ok(())
}

#[test]
fn a_keepalived_pair_elects_and_its_address_is_answered_by_one() -> Result<()> {
    let lab = Lab::new()?;
    let [one, two] = lab.pair();
    let mut first = Keepalived::start(&lab, one, &Configuration::new(&lab, 150))?;
    let second = Keepalived::start(&lab, two, &Configuration::new(&lab, 100))?;
    first.wait_for_mastership(true)?;
    second.wait_for_mastership(false)?;
    let watch = ArpWatch::start(&lab.client, lab::VIP, TEN_MILLISECONDS)?;
    watch.sees(one)?;
    first.stop()?;
    second.wait_for_mastership(true)?;
    watch.sees(two)?;
    first.restart()?;
    first.wait_for_mastership(true)?;
    second.wait_for_mastership(false)?;
    watch.sees(one)?;
    let report = watch.finish()?;
    assert_eq!(report.succession, [one.mac, two.mac, one.mac]);
    assert_eq!(first.complaints()?, [] as [&str; 0]);
    assert_eq!(second.complaints()?, [] as [&str; 0]);
    Ok(())
}

#[test]
fn a_killed_keepalived_leaves_two_nodes_that_answer_for_one_address() -> Result<()> {
    // What the lease is against; and the proof that the watch would notice.
    let lab = Lab::new()?;
    let [one, two] = lab.pair();
    let mut first = Keepalived::start(&lab, one, &Configuration::new(&lab, 150))?;
    let second = Keepalived::start(&lab, two, &Configuration::new(&lab, 100))?;
    first.wait_for_mastership(true)?;
    second.wait_for_mastership(false)?;
    let watch = ArpWatch::start(&lab.client, lab::VIP, TEN_MILLISECONDS)?;
    watch.sees(one)?;
    first.kill()?;
    second.wait_for_mastership(true)?;
    lab::wait::until("both answer", Duration::from_secs(10), || {
        (watch.so_far().answered_by_two > 0).then_some(())
    })
}

#[test]
fn a_probe_counts_what_is_lost() -> Result<()> {
    let lab = Lab::new()?;
    let server = &lab.real_servers[2];
    // The responder is bound to the virtual address: reach it there, by a route.
    lab.client.node.namespace.ip(&format!(
        "route add {} via {} dev eth0 onlink\n",
        lab::VIP,
        server.node.address
    ))?;
    let probe = Probe::start(&lab.client, (lab::VIP, ECHO).into(), TEN_MILLISECONDS)?;
    server.kill_responder();
    let killed = Instant::now();
    lab::wait::until("twenty datagrams are lost", Duration::from_secs(10), || {
        (probe.so_far().lost >= 20).then_some(())
    })?;
    server.start_responder()?;
    let restarted = Instant::now();
    lab::wait::until("it answers again", Duration::from_secs(10), || {
        (probe
            .between(restarted, Instant::now())
            .answered_by
            .get("rs3")
            .copied()
            > Some(5))
        .then_some(())
    })?;
    let missing = probe.between(killed, restarted);
    assert!(missing.longest_run_lost >= 20, "{missing:?}");
    let report = probe.finish()?;
    assert_eq!(report.answered_twice, 0);
    assert!(report.longest_gap >= Duration::from_millis(150), "{report:?}");
    assert!(report.lost >= missing.lost);
    Ok(())
}

#[test]
fn a_topology_has_what_it_asks_for() -> Result<()> {
    let lab = Topology::new()
        .directors(3)
        .real_servers(1)
        .switch("back")
        .link("director3", Link::to("back"))
        .link("director3", Link::to(SWITCH).address("10.0.0.33/24"))
        .first_link("director2", Link::to(SWITCH).macvlan())
        .host("stray")
        .link("stray", Link::to("back"))
        .build()?;
    assert_eq!((lab.directors.len(), lab.real_servers.len()), (3, 1));
    let reaches = |from: &str, address: [u8; 4]| {
        let ping = lab
            .node(from)
            .namespace
            .command("bash")
            .args(["-c", "exec 3<>/dev/tcp/$0/9"])
            .arg(address.map(|byte| byte.to_string()).join("."))
            .output()?;
        // Nobody listens on the port: who is there says so, and who isn't says nothing or is unreachable.
        anyhow::Ok(String::from_utf8_lossy(&ping.stderr).contains("refused"))
    };
    // By the first network, by the second, by the second interface on the first, and to the macvlan.
    assert!(reaches("stray", [10, 0, 0, 3])?);
    assert!(reaches("stray", [10, 0, 1, 3])?);
    assert!(reaches("stray", [10, 0, 0, 33])?);
    assert!(reaches("stray", [10, 0, 0, 2])?);
    assert!(!reaches("rs1", [10, 0, 1, 3])?);
    assert!(
        lab.node("director2")
            .link("eth0")?
            .contains("macvlan mode bridge")
    );
    Ok(())
}

#[test]
fn interfaces_are_renamed_deleted_and_created_again() -> Result<()> {
    let lab = Topology::new().real_servers(0).build()?;
    let [one, two] = lab.pair();
    one.rename("eth0", "lan0")?;
    assert!(one.link("lan0").is_ok() && one.link("eth0").is_err());
    for node in [two, &lab.client.node] {
        node.delete("eth0")?;
        assert!(node.link("eth0").is_err());
        lab.create_interface(node, "eth0")?;
        assert!(node.namespace.has_address("eth0", node.address)?);
    }
    lab.unplug_interface(two, "eth0")?;
    assert!(two.link("eth0")?.contains("NO-CARRIER"));
    lab.plug_interface_in(two, "eth0")
}
