//! The demo: the whole mission of `lbd` on real packets, to watch. `cargo xtask demo` builds everything and runs it.

mod interrupt;
mod look_around;
mod screen;
mod story;
mod summary;
mod watch;

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lab::{Lab, Lifetime};

use crate::screen::{Screen, Style};

/// The name of the demo's network. It isn't the name of a test's, which the tests may remove as a left-over.
const NAME: &str = "lbd-demo";

const TOPOLOGY: &str = "
                                client 10.0.0.200
                                       │
   ════════╤══════════════╤════════════╧═╤══════════════╤══════════════╤════════ switch
           │              │              │              │              │
       director1      director2         rs1            rs2            rs3
       10.0.0.1       10.0.0.2       10.0.0.11      10.0.0.12      10.0.0.13
       lbd  150       lbd  100       nginx  w 3     nginx  w 2     nginx  w 1
           └── 10.0.0.100 ┘              └──── 10.0.0.100 on loopback ────┘
";

fn main() -> ExitCode {
    match demonstrate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate() -> Result<()> {
    let mut keep = false;
    let mut down = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--keep" => keep = true,
            "--down" => down = true,
            other => bail!("demo knows --keep and --down, not {other}"),
        }
    }
    let _alone = alone()?;
    // What an earlier `--keep` left is in the way of this one.
    lab::teardown(NAME);
    if down {
        println!("The demo's network is gone.");
        return Ok(());
    }
    interrupt::tear_down_when_interrupted(NAME)?;

    let mut screen = Screen::new();
    let title = screen.paint(
        Style::Title,
        "lbd: two directors, one virtual address, three real servers, and everything that can go wrong",
    );
    screen.line(&title);
    screen.line(TOPOLOGY.trim_end());
    let lifetime = if keep {
        Lifetime::Unbounded
    } else {
        Lifetime::Thread
    };
    let lab = Lab::named(NAME, lifetime)?;
    let told = story::tell(&mut screen, &lab).with_context(|| format!("the demo broke off\n{}", lab.logs()));
    let (directors, rows) = told?;
    summary::print(&mut screen, &rows);
    if keep {
        look_around::print(&mut screen, &lab, &directors);
        for director in directors {
            director.leave_running();
        }
        for server in &lab.real_servers {
            server.leave_running();
        }
        lab.leave_running();
    } else {
        drop(directors);
        drop(lab);
        let left = Path::new("/run/netns").join(format!("{NAME}-client")).exists();
        anyhow::ensure!(!left, "the network could not be removed");
        screen.line(
            "\nEverything is cleaned up again; `cargo xtask demo --keep` leaves it for you to look around.",
        );
    }
    Ok(())
}

/// Makes sure that no other demo is running, whose network this one would tear down: for as long as the file is open.
fn alone() -> Result<File> {
    let path = std::env::temp_dir().join(format!("{NAME}.lock"));
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another demo is running on this machine: wait for it, or end it with Ctrl-C");
    }
    Ok(file)
}
