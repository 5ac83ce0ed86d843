//! New connections that are too many to be remembered.

use super::*;
use crate::director::{Cause, Problem};

fn index(bench: &Bench, number: usize) -> u32 {
    let service = bench.director.configuration().virtual_services[number].address;
    bench.director.plane().services[&service_key(service)].index
}

fn told(bench: &Bench) -> Vec<String> {
    let notices = bench.notices.iter();
    let episodes =
        notices.filter(|notice| matches!(notice, Notice::EpisodeBegan { .. } | Notice::EpisodeOver { .. }));
    episodes.map(ToString::to_string).collect()
}

fn episodes(bench: &Bench) -> Vec<Problem> {
    let problems = bench.director.problems().map(|(problem, _)| problem.clone());
    problems
        .filter(|problem| matches!(problem, Problem::Episode { .. }))
        .collect()
}

#[test]
fn an_episode_is_told_of_within_a_second_and_is_a_problem_while_it_lasts() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND * 5);
    let service = bench.director.configuration().virtual_services[1].address;
    let episode = Episode {
        left: SECOND * 60,
        cause: Cause::Limit,
    };
    bench.episodes.insert(index(&bench, 1), episode);
    // An index that no service has.
    bench.episodes.insert(99, episode);
    bench.pass(SECOND);
    assert_eq!(
        told(&bench),
        [format!(
            "virtual service {service}: more than 100000 new connections a second: new connections are placed by a hash \
             and not remembered"
        )]
    );
    assert_eq!(
        episodes(&bench),
        [Problem::Episode {
            service,
            cause: Cause::Limit,
            limit: Some(100_000),
        }]
    );
    bench.pass(SECOND * 30);
    assert_eq!(
        bench.director.episode(service).map(|(found, _)| found),
        Some(episode)
    );
    bench.episodes.clear();
    bench.pass(SECOND);
    assert_eq!(episodes(&bench), []);
    assert_eq!(
        told(&bench)[1..],
        [format!(
            "virtual service {service}: new connections are remembered again"
        )]
    );
}

#[test]
fn a_table_without_a_place_is_told_of_as_such() {
    let mut bench = Bench::new(parsed(
        &BOTH.replace("port = 80", "port = 80\nnew_flow_limit = \"off\""),
    ));
    bench.pass(SECOND * 5);
    let episode = Episode {
        left: SECOND * 60,
        cause: Cause::TableFull,
    };
    bench.episodes.insert(index(&bench, 0), episode);
    bench.pass(SECOND);
    let [told] = &told(&bench)[..] else {
        panic!("once");
    };
    assert!(
        told.contains("the table of connections has no place for a new one"),
        "{told}"
    );
}
