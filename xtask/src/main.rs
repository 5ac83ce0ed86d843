//! `cargo xtask`: build, demonstrate, test, measure and install `lbd`. One module for each command.

mod demo;
mod install;
mod shell;
mod test;

use anyhow::Result;
use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about, version)]
enum Command {
    Demo(demo::Arguments),
    Test(test::Arguments),
    Install(install::Arguments),
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Demo(arguments) => demo::run_demo(&arguments),
        Command::Test(arguments) => test::run_tests(&arguments),
        Command::Install(arguments) => install::run_install(&arguments),
    }
}
