//! A director, told what a loop would tell it: no root, no clock.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::config;
use crate::director::{Exits, NetworkInterface, Route, Severity, Ways};
use crate::health::Health;

mod episodes;
mod sweeps;
mod warmth;

const SECOND: Duration = Duration::from_secs(1);

/// Two virtual routers, 10.0.0.3 and 10.0.0.4, and a service on each with two real servers.
const BOTH: &str = r#"
[[vrrp_instance]]
name = "VI_1"
interface = "eth0"
virtual_router_id = 1
virtual_ipaddress = ["10.0.0.3/24"]
[[vrrp_instance]]
name = "VI_2"
interface = "eth1"
virtual_router_id = 2
virtual_ipaddress = ["10.0.0.4/24"]
[[virtual_server]]
address = "10.0.0.3"
port = 80
[[virtual_server.real_server]]
address = "10.0.0.11"
tcp_check = { retry = 0 }
[[virtual_server.real_server]]
address = "10.0.0.12"
tcp_check = { retry = 0 }
[[virtual_server]]
address = "10.0.0.4"
port = 80
[[virtual_server.real_server]]
address = "10.0.0.11"
tcp_check = { retry = 0 }
"#;

fn parsed(text: &str) -> Configuration {
    config::parse(text)
        .expect("the configuration is valid")
        .configuration
}

/// [`BOTH`] without the second virtual router and its service.
fn first_only() -> Configuration {
    let mut configuration = parsed(BOTH);
    configuration.vrrp_instances.truncate(1);
    configuration.virtual_services.truncate(1);
    configuration
}

fn interfaces() -> Interfaces {
    let interface = |index| NetworkInterface {
        index,
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        up: true,
        vlan: None,
    };
    Interfaces::from([
        ("eth0".to_owned(), interface(2)),
        ("eth1".to_owned(), interface(3)),
    ])
}

/// By the first interface; `answers` if the real server does.
const fn route(answers: bool) -> Route {
    Route {
        interface: 2,
        source_mac: [2, 0, 0, 0, 0, 2],
        destination_mac: if answers { Some([2, 0, 0, 0, 1, 1]) } else { None },
        gateway: None,
        source: None,
        mtu: 1500,
    }
}

/// A director in a world where everything that it asks for is done at once, except as told.
struct Bench {
    director: Director,
    now: Instant,
    /// What a check finds, by the port and address that it tries; whatever is not here passes.
    failing: BTreeMap<IpAddr, &'static str>,
    /// Who answers for its link-layer address: all, but for these.
    silent: Vec<IpAddr>,
    /// The kernel refuses the write number so and so of a plan.
    refuses_write: Option<usize>,
    assignments: Vec<Assignment>,
    notices: Vec<Notice>,
    /// What a look at the pins finds.
    pins: Result<bool, String>,
    resolved: Vec<BTreeSet<IpAddr>>,
    /// Who was asked whether it is still there, and when.
    confirmed: Vec<(Instant, IpAddr)>,
    given_up: bool,
    reads: usize,
    /// How sweeps end; nothing while they do not.
    sweeps_end: Option<Result<(), String>>,
    sweeps: Vec<Sweep>,
    /// What the program has noted.
    episodes: BTreeMap<u32, Episode>,
}

impl Bench {
    fn new(configuration: Configuration) -> Self {
        Self::with_maps(configuration, Plane::default())
    }

    fn with_maps(configuration: Configuration, plane: Plane) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        let director = Director::new(configuration, interfaces(), plane, now).expect("there is room");
        let mut bench = Self {
            director,
            now,
            failing: BTreeMap::new(),
            silent: Vec::new(),
            refuses_write: None,
            assignments: Vec::new(),
            notices: Vec::new(),
            pins: Ok(false),
            resolved: Vec::new(),
            confirmed: Vec::new(),
            given_up: false,
            reads: 0,
            sweeps_end: Some(Ok(())),
            sweeps: Vec::new(),
            episodes: BTreeMap::new(),
        };
        bench.carry_out();
        bench
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.director.deadline().filter(|at| *at <= end)
            && !self.given_up
        {
            self.now = self.now.max(at);
            self.director.timeout(self.now);
            self.carry_out();
        }
        self.now = end;
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.director.next_effect() {
            match effect {
                Effect::Probe {
                    check,
                    kind: CheckKind::Tcp { target, .. },
                } => {
                    let outcome = match self.failing.get(&target.ip()) {
                        Some(reason) => Err((*reason).to_owned()),
                        None => Ok(()),
                    };
                    self.director.probed(check, outcome, self.now);
                }
                Effect::CheckFromNoneOf(_) => {}
                Effect::Resolve(addresses) => {
                    let ways = addresses
                        .iter()
                        .map(|address| (*address, route(!self.silent.contains(address))));
                    let ways = Ways {
                        routes: ways.collect(),
                        ..Ways::default()
                    };
                    self.director.resolved(ways, self.now);
                    self.resolved.push(addresses);
                }
                Effect::Confirm(addresses) => {
                    let asked = addresses.iter().map(|address| (self.now, *address));
                    self.confirmed.extend(asked);
                    for address in addresses {
                        let answer = route(!self.silent.contains(&address));
                        self.director.found_route(address, answer);
                    }
                }
                Effect::KeepPins => self.director.kept_pins(self.pins.clone(), self.now),
                Effect::LookAtEpisodes => self.director.found_episodes(&self.episodes, self.now),
                Effect::ReadMaps => {
                    self.reads += 1;
                    let plane = self.director.plane().clone();
                    self.director.read(plane);
                }
                Effect::Write(operations) => {
                    let failed = self.refuses_write.filter(|number| *number < operations.len());
                    let done = failed.unwrap_or(operations.len());
                    let error = failed.map(|number| (&operations[number], "no".to_owned()));
                    self.director.wrote(&operations[..done], error, self.now);
                }
                Effect::Sweep(sweep) => {
                    self.sweeps.push(sweep);
                    if let Some(outcome) = self.sweeps_end.clone() {
                        self.director.swept(outcome, self.now);
                    }
                }
                Effect::Assign(assignment) => self.assignments.push(assignment),
                Effect::Tell(notice) => self.notices.push(notice),
                Effect::GiveUp => self.given_up = true,
            }
        }
    }

    /// What people were told since this was last asked, without health changes.
    fn told(&mut self) -> Vec<String> {
        let notices = self.notices.drain(..);
        notices
            .filter(|notice| !matches!(notice, Notice::Health { .. }))
            .map(|notice| notice.to_string())
            .collect()
    }

    fn problems(&self) -> Vec<Problem> {
        self.director
            .problems()
            .map(|(problem, _)| problem.clone())
            .collect()
    }

    fn served(&self) -> Vec<String> {
        let services = self.director.plane().services.keys();
        services
            .map(|key| {
                super::super::service_address(*key)
                    .expect("a known protocol")
                    .to_string()
            })
            .collect()
    }

    fn schedule(&self, service: usize) -> usize {
        let service = &self.director.configuration().virtual_services[service];
        let schedule = self.director.plane().schedule(&service_key(service.address));
        schedule.expect("the service is there").len()
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

#[test]
fn the_maps_are_filled_and_every_check_is_made_within_the_first_second() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    assert_eq!(bench.served(), ["10.0.0.3:80/tcp", "10.0.0.4:80/tcp"]);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (2, 1));
    assert_eq!(bench.problems(), []);
    assert_eq!(bench.told(), [""; 0]);
    assert_eq!(bench.resolved, [BTreeSet::from([address(11), address(12)])]);
}

/// [`BOTH`] without checks.
fn unchecked() -> Configuration {
    let mut configuration = parsed(BOTH);
    let services = configuration.virtual_services.iter_mut();
    for real_server in services.flat_map(|service| &mut service.real_servers) {
        real_server.checks.clear();
    }
    configuration
}

#[test]
fn a_service_whose_neighbours_are_still_looked_for_has_not_lost_its_last_server() {
    let mut bench = Bench::new(unchecked());
    bench.silent = vec![address(11), address(12)];
    bench.pass(SECOND);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (0, 0));
    assert_eq!(bench.told(), [""; 0], "nobody had the time to answer");
    assert_eq!(bench.problems(), []);
    for found in bench.silent.split_off(0) {
        bench.director.found_route(found, route(true));
    }
    bench.pass(SECOND * 5);
    assert_eq!((bench.schedule(0), bench.schedule(1)), (2, 1));
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn neighbours_that_nobody_finds_are_looked_for_as_long_as_the_kernel_does() {
    let mut bench = Bench::new(unchecked());
    bench.silent = vec![address(11), address(12)];
    bench.pass(SECOND * 4);
    assert_eq!(
        bench.told(),
        ["10.0.0.3:80/tcp", "10.0.0.4:80/tcp"]
            .map(|service| format!("virtual service {service}: no real server takes new connections"))
    );
    let unresolved = |problem: &&Problem| matches!(problem, Problem::Unresolved { .. });
    // The second one is behind both services.
    assert_eq!(bench.problems().iter().filter(unresolved).count(), 2);
}

#[test]
fn the_neighbours_of_a_service_that_a_reload_brings_are_looked_for_first() {
    let mut bench = Bench::new(first_only());
    bench.pass(SECOND * 4);
    let mut configuration = unchecked();
    configuration.virtual_services[1].real_servers[0].address = (address(13), 80).into();
    bench.silent.push(address(13));
    bench
        .director
        .reload(configuration, interfaces(), bench.now)
        .expect("it fits");
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(bench.told(), [""; 0]);
    bench.pass(SECOND * 3);
    assert_eq!(bench.told().len(), 1);
}

#[test]
fn a_service_that_is_down_stays_a_problem_until_it_is_known_better() {
    let mut bench = Bench::new(first_only());
    bench.failing = [address(11), address(12)].map(|address| (address, "no")).into();
    bench.pass(SECOND);
    assert_eq!(bench.told().len(), 1);
    let mut configuration = first_only();
    let mut another = configuration.virtual_services[0].real_servers[0].clone();
    another.address = (address(13), 80).into();
    another.checks.clear();
    configuration.virtual_services[0].real_servers.push(another);
    bench.silent.push(address(13));
    bench
        .director
        .reload(configuration, interfaces(), bench.now)
        .expect("it fits");
    bench.carry_out();
    bench.pass(SECOND);
    let is_down = |problem: &Problem| matches!(problem, Problem::NoSchedule { .. });
    assert!(bench.problems().iter().any(is_down), "{:?}", bench.problems());
    bench.director.found_route(address(13), route(true));
    bench.pass(SECOND);
    assert!(!bench.problems().iter().any(is_down), "{:?}", bench.problems());
    assert_eq!(bench.told().len(), 1, "one line when it is back, and none before");
}

#[test]
fn a_neighbour_that_nobody_checks_is_missed_within_seconds() {
    let mut bench = Bench::new(unchecked());
    bench.pass(SECOND);
    assert_eq!(bench.schedule(0), 2);
    bench.silent.push(address(11));
    bench.pass(SECOND * 3);
    assert_eq!(bench.schedule(0), 1);
    bench.silent.clear();
    bench.director.found_route(address(11), route(true));
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(bench.schedule(0), 2);
}

#[test]
fn a_failed_check_has_the_neighbour_asked_at_once() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND * 20);
    bench.failing.insert(address(12), "no");
    let failed = loop {
        bench.pass(Duration::from_millis(1));
        let health = bench.notices.last();
        if matches!(health, Some(Notice::Health { to: Health::Down, .. })) {
            break bench.now;
        }
    };
    bench.pass(SECOND / 10);
    let asked = |(at, asked): &(Instant, IpAddr)| *at >= failed && *asked == address(12);
    assert!(bench.confirmed.iter().any(asked), "{:?}", bench.confirmed);
}

#[test]
fn a_neighbour_that_stops_answering_is_searched_for_at_once_and_not_for_ever() {
    let mut bench = Bench::new(unchecked());
    bench.pass(SECOND);
    bench.confirmed.clear();
    bench.silent.push(address(11));
    bench.director.found_route(address(11), route(false));
    bench.pass(SECOND / 10);
    assert_eq!(bench.confirmed.len(), 1, "{:?}", bench.confirmed);
}

#[test]
fn pins_that_somebody_removes_are_told_of_and_a_problem_while_they_cannot_be_made_again() {
    let mut bench = Bench::new(first_only());
    bench.pass(SECOND * 3);
    assert_eq!(bench.told(), [""; 0]);
    bench.pins = Err("no".to_owned());
    bench.pass(SECOND * 5);
    assert_eq!(bench.told().len(), 1, "once");
    assert!(
        matches!(bench.problems().as_slice(), [Problem::PinsMissing { reason, .. }] if reason == "no"),
        "{:?}",
        bench.problems()
    );
    bench.pins = Ok(true);
    bench.pass(SECOND);
    bench.pins = Ok(false);
    bench.pass(SECOND * 5);
    assert_eq!(bench.problems(), []);
    let told = bench.told();
    assert!(
        told.len() == 1 && told[0].contains("pinned them again"),
        "{told:?}"
    );
}

#[test]
fn a_removed_virtual_router_keeps_all_it_needs_until_it_has_handed_over() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    let changes = bench
        .director
        .reload(first_only(), interfaces(), bench.now)
        .expect("it fits");
    assert_eq!(
        changes.to_string(),
        "1 VRRP instance removed (VI_2); 1 virtual server removed (10.0.0.4:80/tcp); \
         1 real server removed (10.0.0.11:80 of 10.0.0.4:80/tcp)"
    );
    bench.carry_out();
    bench.pass(SECOND);
    let assignment = bench.assignments.last().expect("the other loop was told").clone();
    assert_eq!(assignment.revision, 1);
    assert_eq!(assignment.instances.len(), 1);
    assert_eq!(
        assignment.interfaces,
        ["eth0", "eth1"],
        "what departs forwards to the end"
    );
    assert_eq!(bench.served().len(), 2);
    let leases = |bench: &Bench| bench.director.plane().virtual_routers.len();
    assert_eq!(leases(&bench), 2);

    // Neither what was reported of the assignment before, nor a handover under way, is the end of it.
    for (revision, handing_over) in [(0, false), (1, true)] {
        bench
            .director
            .reported(revision, handing_over, &Exits::default(), bench.now);
        bench.carry_out();
        bench.pass(SECOND);
        assert_eq!(bench.served().len(), 2);
    }
    bench.director.reported(1, false, &Exits::default(), bench.now);
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(bench.served(), ["10.0.0.3:80/tcp"]);
    assert_eq!(leases(&bench), 1);
    let last = bench.assignments.last().expect("the other loop was told");
    assert_eq!(last.interfaces, ["eth0"]);
    assert_eq!(last.revision, 1, "the virtual routers are the same");
}

#[test]
fn two_reloads_in_a_row_depart_together() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    bench
        .director
        .reload(first_only(), interfaces(), bench.now)
        .expect("it fits");
    let mut none = first_only();
    none.vrrp_instances.clear();
    none.virtual_services.clear();
    bench
        .director
        .reload(none, interfaces(), bench.now)
        .expect("it fits");
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(bench.served().len(), 2, "both hand over");
    bench.director.reported(1, false, &Exits::default(), bench.now);
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(bench.served().len(), 2, "that was the first reload");
    bench.director.reported(2, false, &Exits::default(), bench.now);
    bench.carry_out();
    bench.pass(SECOND);
    assert_eq!(bench.served(), [""; 0]);
}

#[test]
fn a_stop_waits_for_the_longest_handover_and_then_gives_up() {
    let mut configuration = parsed(BOTH);
    configuration.vrrp_instances[1].advert_int = crate::model::Interval::from_seconds(5).expect("not 0");
    let mut bench = Bench::new(configuration);
    bench.pass(SECOND);
    bench.director.stop(bench.now);
    bench.carry_out();
    assert!(bench.director.is_stopping());
    assert!(
        bench
            .assignments
            .last()
            .expect("the other loop was told")
            .stopping
    );
    assert_eq!(bench.told(), ["stopping"]);
    bench.pass(14 * SECOND);
    assert!(!bench.given_up);
    bench.director.stop(bench.now);
    bench.pass(SECOND);
    assert!(bench.given_up, "asking again buys no time");
}

#[test]
fn a_reload_while_it_stops_is_refused() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.director.stop(bench.now);
    let refusal = bench.director.reload(first_only(), interfaces(), bench.now);
    assert_eq!(refusal, Err(Refusal::Stopping));
    assert_eq!(bench.director.configuration(), &parsed(BOTH));
}

#[test]
fn a_service_that_loses_its_last_real_server_and_gets_one_back_says_so_once_each() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.pass(SECOND);
    bench.failing.insert(address(12), "refused");
    bench.pass(10 * SECOND);
    assert_eq!(bench.told(), [""; 0], "one is left");
    bench.failing.insert(address(11), "refused");
    bench.pass(20 * SECOND);
    assert_eq!(
        bench.told(),
        [
            "virtual service 10.0.0.3:80/tcp: no real server takes new connections",
            "virtual service 10.0.0.4:80/tcp: no real server takes new connections"
        ]
    );
    let problem = |bench: &Bench| bench.problems().first().cloned();
    assert!(
        matches!(problem(&bench), Some(Problem::NoSchedule { reason, .. }) if reason == "of its real servers: 2 down")
    );
    bench.failing.remove(&address(12));
    bench.pass(20 * SECOND);
    assert_eq!(
        bench.told(),
        ["virtual service 10.0.0.3:80/tcp: a real server takes new connections again"]
    );
}

#[test]
fn a_service_that_nobody_serves_from_the_start_says_so_once_it_is_known() {
    let mut bench = Bench::new(first_only());
    for last in [11, 12] {
        bench.failing.insert(address(last), "refused");
    }
    assert_eq!(bench.told(), [""; 0], "no check has ended");
    bench.pass(20 * SECOND);
    assert_eq!(
        bench.told(),
        ["virtual service 10.0.0.3:80/tcp: no real server takes new connections"]
    );
}

#[test]
fn a_daemon_that_finds_its_predecessors_maps_begins_with_what_they_say() {
    let mut bench = Bench::new(parsed(BOTH));
    bench.failing.insert(address(12), "refused");
    bench.pass(SECOND);
    let plane = bench.director.plane().clone();
    let next = Bench::with_maps(parsed(BOTH), plane.clone());
    assert_eq!(next.director.plane(), &plane, "nothing is written");
    assert_eq!(next.schedule(0), 1);
}

#[test]
fn a_neighbour_that_is_lost_takes_the_server_out_and_is_a_problem_for_as_long() {
    let mut bench = Bench::new(first_only());
    bench.pass(SECOND);
    bench.silent.push(address(11));
    bench.director.found_route(address(11), route(false));
    let lost_at = bench.now;
    bench.pass(SECOND);
    assert_eq!(bench.schedule(0), 1);
    let problems: Vec<_> = bench.director.problems().collect();
    assert!(
        matches!(problems.as_slice(), [(Problem::Unresolved { address: lost, .. }, since)]
            if *lost == address(11) && *since - lost_at < SECOND),
        "{problems:?}"
    );
    bench.silent.clear();
    bench.director.found_route(address(11), route(true));
    bench.pass(SECOND);
    assert_eq!(bench.schedule(0), 2);
    assert_eq!(bench.problems(), []);
}

#[test]
fn packets_leave_as_the_program_says() {
    let mut bench = Bench::new(first_only());
    bench.pass(SECOND);
    let egress = &bench.assignments.last().expect("the other loop was told").egress;
    assert_eq!(egress, &BTreeSet::from([2]));
    let trunk = Exits {
        trunks: BTreeMap::from([(2, (9, Vec::new()))]),
        ..Exits::default()
    };
    bench.director.reported(0, false, &trunk, bench.now);
    bench.pass(SECOND);
    assert!(
        bench
            .director
            .plane()
            .reals
            .iter()
            .all(|real| real.interface == 9)
    );
    let blocked = Exits {
        blocked: BTreeMap::from([(2, "a bridge takes nothing".to_owned())]),
        ..Exits::default()
    };
    bench.director.reported(0, false, &blocked, bench.now);
    bench.pass(SECOND);
    assert_eq!(bench.schedule(0), 0);
    let problems = bench.problems();
    assert!(
        problems.iter().any(
            |problem| matches!(problem, Problem::Unresolved { reason, .. } if reason == "a bridge takes nothing")
        ),
        "{problems:?}"
    );
}

#[test]
fn what_could_not_be_written_is_a_problem_and_in_the_next_plan() {
    let mut bench = Bench::new(first_only());
    bench.refuses_write = Some(0);
    bench.pass(SECOND);
    let problems = bench.problems();
    assert!(
        problems
            .iter()
            .any(|problem| matches!(problem, Problem::NotWritten { error, .. } if error == "no")),
        "{problems:?}"
    );
    let notices = std::mem::take(&mut bench.notices);
    assert!(
        notices
            .iter()
            .any(|notice| matches!(notice, Notice::NotWritten { .. }))
    );
    bench.refuses_write = None;
    bench.pass(RESYNC);
    assert_eq!(bench.schedule(0), 2);
    assert_eq!(bench.problems(), []);
}

#[test]
fn maps_and_routes_are_looked_at_again_now_and_then() {
    let mut bench = Bench::new(first_only());
    bench.pass(3 * RESYNC);
    assert_eq!(bench.reads, 3);
    assert_eq!(bench.resolved.len(), 4);
}

#[test]
fn more_virtual_routers_than_leases_are_refused_and_nothing_changes() {
    let mut bench = Bench::new(first_only());
    let mut many = first_only();
    let template = many.vrrp_instances[0].clone();
    for interface in 0..5 {
        for id in 1..=255 {
            let mut instance = template.clone();
            instance.interface = format!("dummy{interface}");
            instance.virtual_router_id = crate::model::VirtualRouterId::new(id).expect("not 0");
            many.vrrp_instances.push(instance);
        }
    }
    let refusal = bench.director.reload(many, interfaces(), bench.now);
    assert!(
        matches!(refusal, Err(Refusal::Shortage(Shortage::Leases { .. }))),
        "{refusal:?}"
    );
    assert_eq!(bench.director.configuration(), &first_only());
}

#[test]
fn more_real_servers_than_fit_are_told_once() {
    // The configuration file is checked for that, and no way around it is known.
    let mut configuration = first_only();
    let service = &mut configuration.virtual_services[0];
    let template = crate::model::RealServer {
        upper_threshold: 0,
        lower_threshold: 0,
        checks: Vec::new(),
        ..service.real_servers[0].clone()
    };
    service.real_servers = (0..maps::REALS.capacity + 16)
        .map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            let mut real_server = template.clone();
            real_server.address.set_ip(IpAddr::from([11, a, b, c]));
            real_server
        })
        .collect();
    let mut bench = Bench::new(configuration);
    bench.pass(SECOND);
    let short: Vec<_> = bench.told();
    assert_eq!(short.len(), 1, "{short:?}");
    assert!(
        short[0].contains("no room for 16 of the real servers"),
        "{short:?}"
    );
    bench.pass(2 * RESYNC);
    assert_eq!(bench.told(), [""; 0]);
    assert!(matches!(bench.problems().as_slice(), [Problem::NoRoom { .. }]));
}

#[test]
fn a_check_that_cannot_be_made_says_nothing_of_the_server() {
    let mut bench = Bench::new(first_only());
    bench.pass(SECOND);
    let check = loop {
        bench.now = bench.director.deadline().expect("checks go on");
        bench.director.timeout(bench.now);
        let effect = bench.director.next_effect();
        if let Some(Effect::Probe { check, .. }) = effect {
            break check;
        }
    };
    bench
        .director
        .not_probed(check, "no file descriptors".to_owned(), bench.now);
    bench.carry_out();
    assert_eq!(
        bench.told(),
        ["real server 10.0.0.11:80 of 10.0.0.3:80/tcp: health check left out: no file descriptors"]
    );
    assert!(
        bench
            .director
            .monitors()
            .health()
            .values()
            .all(|health| *health == Health::Up)
    );
    let not_made = |bench: &mut Bench| {
        bench
            .director
            .not_probed(check, "no file descriptors".to_owned(), bench.now);
        bench.carry_out();
        bench.told().len()
    };
    assert_eq!(not_made(&mut bench), 0, "told already");
    bench.director.probed(check, Ok(()), bench.now);
    assert_eq!(not_made(&mut bench), 1);
}

#[test]
fn what_stops_service_is_graver_than_what_only_changes() {
    let service = parsed(BOTH).virtual_services[0].address;
    assert_eq!(Notice::ServiceDown { service }.severity(), Severity::Error);
    assert_eq!(Notice::ServiceUp { service }.severity(), Severity::Info);
    assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Info);
}
