//! What `--keep` leaves, and how to look at it.

use lab::{Director, Lab};

use crate::screen::{Screen, Style};

/// Prints the commands.
pub(crate) fn print(screen: &mut Screen, lab: &Lab, directors: &[Director<'_>; 2]) {
    let lbd = lab::find_binary("lbd").map_or_else(|_| "lbd".to_owned(), |path| path.display().to_string());
    let [first, second] = directors;
    let client = lab.client.node.namespace.path();
    let sections = [
        (
            "ask the daemons",
            vec![
                format!("{lbd} status --socket {}", first.socket().display()),
                format!("{lbd} status --socket {} --json", second.socket().display()),
                format!("tail -f {}", first.log_path().display()),
            ],
        ),
        (
            "be the client",
            vec![
                format!(
                    "nsenter --net={} curl -sH 'Connection: close' 'http://10.0.0.100/[1-12]'",
                    client.display()
                ),
                format!("nsenter --net={} tcpdump -nei eth0 arp or vrrp", client.display()),
            ],
        ),
        (
            "read the maps",
            ["SERVICES", "REALS", "LEASES", "FLOW_NAMES"]
                .map(|map| format!("bpftool map dump pinned {}", first.pinned_map(map).display()))
                .into(),
        ),
        (
            "break something",
            vec![
                format!(
                    "kill -9 {}",
                    first.process().map(lab::Process::id).unwrap_or_default()
                ),
                format!("ip -n {} link set director1 down", lab.switch.name()),
                format!(
                    "nsenter --net={} {lbd} run -c {}",
                    first.node.namespace.path().display(),
                    first.configuration_path().display()
                ),
            ],
        ),
        ("tear it down", vec!["cargo xtask demo --down".to_owned()]),
    ];
    screen.line("");
    let title = screen.paint(Style::Title, "It is all still there");
    screen.line(&title);
    for (purpose, commands) in sections {
        let purpose = screen.paint(Style::Dim, &format!("   # {purpose}"));
        screen.line(&purpose);
        for command in commands {
            screen.line(&format!("   {command}"));
        }
    }
}
