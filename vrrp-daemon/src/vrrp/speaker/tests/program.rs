//! Where the program runs, and what is sent.

use super::*;

fn run(wanted: bool) -> Command {
    Command::RunProgram { wanted }
}

#[test]
fn the_program_is_there_before_anyone_is_told_and_goes_with_the_last_lease() {
    let (one, two) = (router(1, 3), router(2, 4));
    let mut bench = Bench::backup(&[one.clone(), two.clone()]);
    let commands = bench.after(4 * SECOND);
    let grant = position(&commands, |command| matches!(command, Command::GrantLease { .. }));
    let program = position(&commands, |command| *command == run(true));
    let sent = position(&commands, |command| matches!(command, Command::Send { .. }));
    assert!(grant < program && program < sent, "{commands:#?}");
    let programs = commands.iter().filter(|command| **command == run(true));
    assert_eq!(programs.count(), 1, "the second lease needs no other program");

    bench.hear(&one, 200);
    assert!(
        !bench.after(SECOND).contains(&run(false)),
        "the other lease is held"
    );
    bench.hear(&two, 200);
    let commands = bench.after(SECOND);
    let vacated = position(&commands, |command| {
        *command == Command::VacateLease { slot: slot(2) }
    });
    assert!(vacated < position(&commands, |command| *command == run(false)));
}

#[test]
fn a_lease_that_passes_from_one_to_the_other_leaves_the_program_alone() {
    let one = VrrpInstance {
        lease: false,
        ..router(1, 3)
    };
    let mut bench = Bench::master(std::slice::from_ref(&one));
    let owner = VrrpInstance {
        priority: crate::model::Priority::OWNER,
        ..router(2, 4)
    };
    // The first one lets go at once, the second is master at once.
    let commands = bench.assign(&[owner]);
    assert!(commands.contains(&Command::VacateLease { slot: slot(1) }));
    assert!(
        commands
            .iter()
            .any(|command| matches!(command, Command::GrantLease { .. }))
    );
    assert!(!commands.contains(&run(false)), "{commands:#?}");
}

#[test]
fn a_backup_has_the_program_only_if_it_is_always_wanted() {
    let configured = router(1, 3);
    let mut bench = Bench::new(&[]);
    let mut always = task(std::slice::from_ref(&configured));
    always.program_always = true;
    bench.speaker.assign(always, |_| Lease::default(), bench.now, 0);
    assert!(bench.ports([port(ETH0, "eth0", "10.0.0.1")]).contains(&run(true)));
    assert_eq!(bench.assign(std::slice::from_ref(&configured)), [run(false)]);
}

#[test]
fn a_program_that_a_previous_daemon_left_is_not_touched_before_the_interfaces_are_known() {
    let mut bench = Bench::new(&[router(1, 3)]);
    bench.speaker.retain_ports(&HashMap::new(), bench.now);
    assert_eq!(bench.commands(), []);
    assert!(
        bench
            .ports([port(ETH0, "eth0", "10.0.0.1")])
            .contains(&run(false))
    );
}

#[test]
fn who_cannot_have_the_program_is_no_master() {
    let configured = router(1, 3);
    let mut bench = Bench::backup(std::slice::from_ref(&configured));
    bench.now = bench.speaker.deadline().unwrap();
    bench.speaker.timeout(bench.now);
    let mut commands = Vec::new();
    while let Some(command) = bench.speaker.next_effect() {
        if command == run(true) {
            bench.speaker.program_refused("eth0", bench.now);
        }
        commands.push(command);
    }
    assert!(
        !commands
            .iter()
            .any(|command| matches!(command, Command::Send { .. }))
    );
    assert_eq!(moves(&commands), []);
    assert!(commands.contains(&Command::VacateLease { slot: slot(1) }));
    assert_eq!(bench.obstacles(&configured), [Obstacle::ProgramRefused]);
    // The next look at the interface says whether it takes it by now.
    bench.ports([port(ETH0, "eth0", "10.0.0.1")]);
    assert_eq!(bench.state(&configured), Some(State::Backup));
}

#[test]
fn only_an_advertisement_that_has_left_renews_the_lease() {
    let configured = router(1, 3);
    let mut bench = Bench::master(std::slice::from_ref(&configured));
    assert!(
        bench
            .after(SECOND)
            .contains(&Command::RenewLease { slot: slot(1) })
    );

    let mut told = 0;
    for _ in 0..2 {
        bench.now = bench.speaker.deadline().unwrap();
        bench.speaker.timeout(bench.now);
        while let Some(command) = bench.speaker.next_effect() {
            match command {
                Command::Send { router, .. } => bench.speaker.send_failed(router, "EPERM", bench.now),
                Command::RenewLease { .. } => panic!("nothing has left"),
                Command::Tell {
                    news: News::NotSent { error },
                    ..
                } => {
                    assert_eq!(error, "EPERM");
                    told += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(told, 1, "once, until one has left");
    assert_eq!(bench.state(&configured), Some(State::Master));
    let before = bench.known(&configured).unwrap().counters.sent();
    bench.after(SECOND);
    assert_eq!(bench.known(&configured).unwrap().counters.sent(), before + 1);
}
