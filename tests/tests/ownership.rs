//! One owner of the address, whatever keeps directors from hearing each other, and whoever else claims it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::{
    ArpWatch, Claim, Configuration, Director, ECHO, Filter, Hook, Lab, Probe, Problem, Status, Topology, VIP,
    wait,
};

const ONE_MILLISECOND: Duration = Duration::from_millis(1);
const TEN_MILLISECONDS: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(15);
const ADVERTISEMENTS: &str = "ip protocol 112";

/// How long advertisements are kept from leaving: several times as long as a director waits before it preempts.
/// `LBD_TEST_MUTE_SECONDS=30` for the whole of it.
fn mute_for() -> Duration {
    let seconds = std::env::var("LBD_TEST_MUTE_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(10))
}

fn echo() -> SocketAddr {
    (VIP, ECHO).into()
}

#[test]
fn clients_of_a_master_whose_advertisements_do_not_leave_lose_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let (master, backup) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    let probe = Probe::start(&lab.client, echo(), ONE_MILLISECOND)?;
    let watch = ArpWatch::start(&lab.client, VIP, TEN_MILLISECONDS)?;
    watch.sees(master.node)?;

    let filter = Filter::discard(&master.node.namespace, Hook::Output, ADVERTISEMENTS)?;
    let end = Instant::now() + mute_for();
    backup.becomes_master()?;
    watch.sees(backup.node)?;
    let status = master.wait_for("it knows that it cannot send", PATIENCE, |status| {
        status.state() == "fault"
    })?;
    let transitions = status.transitions();
    assert!(status.has_problem("adverts_not_sent"), "{:#}", status.0);
    wait::until("the filter has lasted", mute_for() + PATIENCE, || {
        (Instant::now() > end).then_some(())
    })?;
    let status = master.status()?;
    assert_eq!((status.state(), status.transitions()), ("fault", transitions));
    assert!(backup.status()?.is_master());
    assert!(!master.node.namespace.has_address("eth0", VIP)?);

    drop(filter);
    let status = master.becomes_master()?;
    assert!(!status.has_problem("adverts_not_sent"), "{:#}", status.0);
    backup.becomes_backup()?;
    watch.sees(master.node)?;
    let seen = watch.finish()?;
    assert_eq!(
        seen.succession,
        [master.node.mac, backup.node.mac, master.node.mac],
        "{seen:#?}"
    );
    let datagrams = probe.finish()?;
    assert_eq!(
        (datagrams.lost, datagrams.answered_twice),
        (0, 0),
        "{datagrams:#?}"
    );
    Ok(())
}

/// Nobody hears of it but from the one that lets go: it was the better one that spoke first when the two could hear
/// each other again, and the other one's gratuitous ARP is what clients believe.
#[test]
fn clients_beyond_a_healed_partition_learn_the_better_master_again() -> Result<()> {
    let lab = Lab::new()?;
    let (better, other) = Director::pair(&lab, |priority| Configuration::classic(&lab, priority))?;
    lab.client.node.trust_neighbours()?;
    let probe = Probe::start(&lab.client, echo(), TEN_MILLISECONDS)?;
    lab.client.node.learns(VIP, better.node)?;

    let partition = Filter::isolate(&lab, better.node)?;
    other.becomes_master()?;
    lab.client.node.confirms(VIP, other.node)?;
    assert!(better.status()?.is_master());

    other.advertises()?;
    drop(partition);
    other.becomes_backup()?;
    lab.client.node.learns(VIP, better.node)?;
    assert!(better.status()?.is_master());
    let healed = Instant::now();
    wait::until("the client is served", PATIENCE, || {
        let seen = probe.between(healed, Instant::now());
        (!seen.answered_by.is_empty()).then_some(())
    })
}

/// What a status says of who has the addresses: this lab has no real servers, and that is a problem as well.
fn problems(status: &Status) -> Vec<Problem> {
    let mut problems = status.problems();
    problems.retain(|problem| {
        let code = problem.code.as_str();
        [
            "two_masters",
            "address_conflict",
            "adverts_not_sent",
            "advert_mismatch",
        ]
        .contains(&code)
    });
    problems
}

/// How often `director` has warned of what `words` are about.
fn warnings(director: &Director<'_>, words: &str) -> Result<usize> {
    let complaints = director.complaints()?;
    Ok(complaints.iter().filter(|line| line.contains(words)).count())
}

#[test]
fn two_masters_are_told_by_both() -> Result<()> {
    let lab = Topology::new().real_servers(0).build()?;
    let [one, two] = lab.pair();
    let start = |node, priority| Director::start(&lab, node, Configuration::new(&lab, priority));
    let (hears, deaf) = (start(one, 150)?, start(two, 100)?);
    hears.becomes_master()?;
    deaf.becomes_backup()?;
    assert!(problems(&hears.status()?).is_empty() && problems(&deaf.status()?).is_empty());

    let filter = Filter::discard(&two.namespace, Hook::Input, ADVERTISEMENTS)?;
    deaf.becomes_master()?;
    hears.wait_for("it says that there are two", PATIENCE, |status| {
        status.is_master() && status.has_problem("two_masters")
    })?;
    // It hears no advertisement, but who else has the address.
    let status = deaf.wait_for("the deaf one says so too", PATIENCE, |status| {
        status.is_master() && status.has_problem("address_conflict")
    })?;
    let problem = &problems(&status)[0];
    assert_eq!(problem.subject, VIP.to_string());
    assert!(problem.message.contains(&one.mac_text()), "{}", problem.message);
    assert_eq!(warnings(&hears, "two masters")?, 1, "once a minute");
    assert_eq!(warnings(&deaf, "answers for")?, 1, "once a minute");

    drop(filter);
    deaf.becomes_backup()?;
    assert!(
        problems(&deaf.status()?).is_empty(),
        "who is no master has no rival"
    );
    hears.wait_for("its problem is over", Duration::from_secs(40), |status| {
        status.is_master() && problems(status).is_empty()
    })?;
    Ok(())
}

#[test]
fn an_address_that_a_stray_host_takes_is_taken_back_and_told() -> Result<()> {
    let lab = Topology::new().real_servers(0).host("stray").build()?;
    let [one, _] = lab.pair();
    let master = Director::start(&lab, one, Configuration::new(&lab, 150))?;
    master.becomes_master()?;
    let watch = ArpWatch::start(&lab.client, VIP, TEN_MILLISECONDS)?;
    watch.sees(one)?;

    // It says nothing: the master has to ask.
    let claim = Claim::start(lab.node("stray"), VIP)?;
    let status = master.wait_for("it says who has its address", PATIENCE, |status| {
        status.has_problem("address_conflict")
    })?;
    let message = &problems(&status)[0].message;
    assert!(message.contains(&lab.node("stray").mac_text()), "{message}");
    drop(claim);
    master.wait_for("nobody has it any more", Duration::from_secs(40), |status| {
        problems(status).is_empty()
    })?;
    assert!(master.status()?.is_master());
    Ok(())
}

#[test]
fn a_router_that_is_configured_otherwise_is_a_problem_until_it_is_not() -> Result<()> {
    let lab = Topology::new().real_servers(0).build()?;
    let [one, two] = lab.pair();
    let first = Director::start(&lab, one, Configuration::classic(&lab, 150))?;
    let other = Configuration::classic(&lab, 100).with("vrrp_instance[0].authentication.auth_pass", "other");
    let mut second = Director::start(&lab, two, other)?;
    for director in [&first, &second] {
        let status = director.wait_for("it says what is different", PATIENCE, |status| {
            status.is_master() && status.has_problem("advert_mismatch")
        })?;
        let problem = &problems(&status)[0];
        assert!(problem.message.contains("authentication"), "{}", problem.message);
        let instance = &status.0["vrrp_instances"][0]["advertisements"];
        assert!(instance["refused"].as_u64() > Some(0), "{instance}");
        assert!(instance["sent"].as_u64() > Some(0), "{instance}");
    }
    second.configuration = Configuration::classic(&lab, 100);
    second.write_configuration()?;
    assert!(
        second
            .lbd(&["reload", "-c", &second.configuration_path().display().to_string()])?
            .status
            .success()
    );
    second.becomes_backup()?;
    for director in [&first, &second] {
        director.wait_for("all agree", Duration::from_secs(40), |status| {
            !status.has_problem("advert_mismatch")
        })?;
    }
    Ok(())
}
