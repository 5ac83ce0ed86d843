//! Pins that are removed by hand while the daemon runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::{Configuration, Director, ECHO, Lab, Session, Status, VIP, run, wait};

const PATIENCE: Duration = Duration::from_secs(20);

/// How soon a removal is noticed: each second is looked, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// A master with all servers up, and where it has its pins: in a directory of a bpffs, as on every host.
fn master(lab: &Lab) -> Result<(Director<'_>, PathBuf)> {
    let node = &lab.directors[0];
    let bpffs = lab.directory.join(&node.name).join("pins");
    let directory = bpffs.join("lbd");
    let configuration = Configuration::new(lab, 150).with("node.pin_dir", directory.display().to_string());
    let mut director = Director::prepare(lab, node, configuration)?;
    fs::create_dir_all(&bpffs)?;
    run(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&bpffs))?;
    director.restart()?;
    director.wait_for("it is master, all servers up", PATIENCE, |status| {
        status.is_master() && status.all_up()
    })?;
    Ok((director, directory))
}

fn names(directory: PathBuf) -> Result<Vec<String>> {
    let entries = fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

#[test]
fn pins_that_are_removed_come_back_and_the_next_daemon_finds_everything() -> Result<()> {
    let lab = Lab::new()?;
    let (mut director, directory) = master(&lab)?;
    let before = names(directory.join("maps"))?;
    let session = Session::start(&lab.client, (VIP, ECHO).into(), Duration::from_millis(10))?;
    session.proceeds(10, PATIENCE)?;

    fs::remove_dir_all(&directory)?;
    let status = director.status()?;
    ensure!(status.is_master() && status.all_up(), "{status:?}");
    wait::until("everything is pinned again", SOON, || {
        let link = directory.join("links/eth0").exists();
        (link && names(directory.join("maps")).is_ok_and(|now| now == before)).then_some(())
    })?;
    wait::until("that is said", SOON, || {
        let complaints = director.complaints().ok()?;
        let told = complaints
            .iter()
            .filter(|line| line.contains("pinned them again"));
        (told.count() == 1).then_some(())
    })?;
    ensure!(!director.status()?.has_problem("pins_missing"));
    session.proceeds(10, PATIENCE)?;

    director.kill()?;
    director.restart()?;
    director.wait_for("it is master again", PATIENCE, Status::is_master)?;
    ensure!(
        director
            .log()?
            .contains("taking over the XDP link of an earlier daemon"),
        "{}",
        director.log()?
    );
    // The same maps: the connection is known.
    session.proceeds(20, PATIENCE)?;
    ensure!(session.finish()?.ended.is_none());
    Ok(())
}

#[test]
fn pins_that_cannot_be_made_again_are_a_problem_until_they_can() -> Result<()> {
    let lab = Lab::new()?;
    let (director, directory) = master(&lab)?;
    fs::remove_dir_all(&directory)?;
    // In the place of the directory is something that is none. (It may be there again by now.)
    wait::until("it is obstructed", SOON, || {
        drop(fs::remove_dir_all(&directory));
        symlink("/nowhere", &directory).ok()
    })?;
    director.wait_for("it has the problem", SOON, |status| {
        status.has_problem("pins_missing")
    })?;
    let complaints = director.complaints()?;
    let told = complaints
        .iter()
        .filter(|line| line.contains("cannot pin them again"));
    ensure!(told.count() == 1, "{complaints:#?}");
    ensure!(director.status()?.is_master());

    fs::remove_file(&directory)?;
    director.wait_for("it is mended", SOON, |status| !status.has_problem("pins_missing"))?;
    ensure!(directory.join("maps/SERVICES").exists());
    Ok(())
}
