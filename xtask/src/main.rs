//! `cargo xtask`: build, demonstrate, test, measure and install `lbd`. One module for each command.

mod bench;
mod build_ebpf;
mod demo;
mod guest;
mod install;
mod shell;
mod test;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about, version)]
enum Command {
    Bench(bench::Arguments),
    BuildEbpf(build_ebpf::Arguments),
    Demo(demo::Arguments),
    Test(test::Arguments),
    Install(install::Arguments),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(arguments) => bench::run_bench(&arguments),
        Command::BuildEbpf(arguments) => build_ebpf::run_build(&arguments),
        Command::Demo(arguments) => demo::run_demo(&arguments),
        Command::Test(arguments) => test::run_tests(&arguments),
        Command::Install(arguments) => install::run_install(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
