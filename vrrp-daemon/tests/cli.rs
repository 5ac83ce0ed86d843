//! The command `lbd` as people and scripts meet it: messages and exit statuses. Needs no privileges.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;
use tokio::sync::oneshot;
use vrrp_daemon::api::{DataplaneStatus, Request, Response, Status};
use vrrp_daemon::io::control::ControlSocket;

/// A configuration for the one interface that every host has. `{socket}` stands for the control socket.
const CONFIGURATION: &str = r#"
[node]
control_socket = "{socket}"

[[vrrp_instance]]
name = "VI_1"
interface = "lo"
virtual_router_id = 51
virtual_ipaddress = ["10.0.0.3"]

[[virtual_server]]
address = "10.0.0.3"
port = 80

[[virtual_server.real_server]]
address = "10.0.0.11"
"#;

/// A directory with a configuration file.
struct Node {
    directory: TempDir,
}

impl Node {
    /// A node with `configuration`.
    fn new(configuration: &str) -> Self {
        let node = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::write(node.file(), configuration.replace("{socket}", &node.socket())).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self) -> String {
        self.path("lbd.toml").to_str().unwrap().to_owned()
    }

    fn socket(&self) -> String {
        self.path("lbd.sock").to_str().unwrap().to_owned()
    }
}

/// What stands in for the daemon on a node's control socket.
struct Daemon {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Vec<Request>>,
}

impl Daemon {
    /// Answers every request with `response`.
    fn start(node: &Node, response: Response) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let guard = runtime.enter();
        let mut socket = ControlSocket::bind(&node.path("lbd.sock")).unwrap();
        drop(guard);
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let mut requests = Vec::new();
                loop {
                    tokio::select! {
                        (request, answer) = socket.next_call() => {
                            requests.push(request);
                            answer.send(response.clone()).unwrap();
                        }
                        _ = &mut stopped => return requests,
                    }
                }
            })
        });
        Self { stop, thread }
    }

    /// The requests that came.
    fn stop(self) -> Vec<Request> {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

/// What became of a run of `lbd`.
struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

/// Runs `lbd` with `arguments`.
fn lbd(arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_lbd"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    Outcome {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The exit status of `lbd` with `arguments` when its outputs go elsewhere.
fn exit_status(arguments: &[&str], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Option<i32> {
    let mut lbd = Command::new(env!("CARGO_BIN_EXE_lbd"));
    let status = lbd
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdout(stdout)
        .stderr(stderr)
        .status();
    status.unwrap().code()
}

/// A pipe that nobody reads any more.
fn closed_pipe() -> io::PipeWriter {
    io::pipe().unwrap().1
}

fn full_disk() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn a_status() -> Status {
    Status {
        node: "lb1".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_seconds: 5.0,
        vrrp_instances: Vec::new(),
        dataplane: DataplaneStatus {
            interfaces: Vec::new(),
            flows: 7,
            flow_table_size: 1024,
            xdp_mode: String::new(),
            attach: String::new(),
            verdicts: BTreeMap::new(),
            packets_lost: 0,
        },
        virtual_servers: Vec::new(),
        configuration: None,
        cold: None,
        problems: Vec::new(),
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["dance"],
        &["status", "--colour"],
        &["status", "-c", "a.toml", "--socket", "b.sock"],
        &["run", "--socket", "b.sock"],
    ] {
        let outcome = lbd(arguments);
        assert_eq!(outcome.status, 2, "{arguments:?}");
        assert!(outcome.stderr.contains("Usage: lbd"), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
    }
}

#[test]
fn a_valid_configuration_is_summarized_in_a_line() {
    let node = Node::new(CONFIGURATION);
    let outcome = lbd(&["check-config", "-c", &node.file()]);
    assert_eq!(
        outcome.stdout,
        format!(
            "{} is valid: 1 VRRP instance, 1 virtual server, 1 real server, on lo\n",
            node.file()
        )
    );
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn the_sample_is_a_valid_configuration() {
    let sample = lbd(&["sample-config"]);
    assert_eq!((sample.status, sample.stderr.as_str()), (0, ""));
    let node = Node::new(&sample.stdout.replace("\"eth0", "\"lo"));
    let check = lbd(&["check-config", "-c", &node.file()]);
    assert_eq!((check.status, check.stderr.as_str()), (0, ""));
}

#[test]
fn warnings_do_not_make_a_configuration_invalid() {
    let node = Node::new(&CONFIGURATION.replace("[\"10.0.0.3\"]", "[\"10.0.0.4\"]"));
    let outcome = lbd(&["check-config", "-c", &node.file()]);
    assert_eq!(outcome.status, 0);
    assert!(
        outcome
            .stderr
            .starts_with("warning: 10.0.0.3 is in no vrrp_instance\n"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.contains("is valid"));
}

#[test]
fn every_error_of_a_configuration_is_shown_with_its_place() {
    let text = CONFIGURATION
        .replace("= 51", "= 256")
        .replace("port = 80", "port = \"http\"");
    let node = Node::new(&text);
    for verb in ["check-config", "run"] {
        let outcome = lbd(&[verb, "-c", &node.file()]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
        for expected in [
            "error: virtual_router_id 256 is out of range",
            &format!("{}:8:21", node.file()),
            "error: `http` is neither a port nor a range of ports",
            &format!("{}:13:8", node.file()),
            &format!("lbd: {} has 2 errors\n", node.file()),
        ] {
            assert!(
                outcome.stderr.contains(expected),
                "{expected} is not in:\n{}",
                outcome.stderr
            );
        }
        assert!(!outcome.stderr.contains('\x1b'), "colour only on a terminal");
    }
}

#[test]
fn a_missing_interface_is_a_warning() {
    let node = Node::new(&CONFIGURATION.replace("\"lo\"", "\"none0\""));
    let check = lbd(&["check-config", "-c", &node.file()]);
    assert_eq!(check.status, 0);
    assert!(
        check
            .stderr
            .starts_with("warning: there is no interface `none0` on this host\n"),
        "{}",
        check.stderr
    );
}

#[test]
fn a_missing_file_is_one_sentence() {
    let node = Node::new("");
    let absent = node.path("absent.toml");
    for verb in ["run", "check-config", "status", "reload"] {
        let outcome = lbd(&[verb, "-c", absent.to_str().unwrap()]);
        assert_eq!(outcome.status, 1);
        assert_eq!(
            outcome.stderr,
            format!(
                "lbd: there is no configuration file {}: name it with `-c FILE`\n",
                absent.display()
            )
        );
    }
}

#[test]
fn a_file_that_is_no_text_is_one_sentence() {
    let node = Node::new("");
    for (bytes, complaint) in [
        (&b"\xff\xfe[\0n\0"[..], "is in UTF-16: save it as UTF-8"),
        (
            b"# caf\xe9",
            "is not in UTF-8: line 1, column 6 has the byte 0xE9 (`\u{e9}` in Latin-1)",
        ),
    ] {
        fs::write(node.file(), bytes).unwrap();
        for verb in ["check-config", "run", "status"] {
            let outcome = lbd(&[verb, "-c", &node.file()]);
            assert_eq!(outcome.status, 1);
            assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
            let sentence = format!("{} {complaint}", node.file());
            assert!(outcome.stderr.contains(&sentence), "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_daemon_that_does_not_run_is_one_sentence_with_the_socket() {
    let node = Node::new(CONFIGURATION);
    // Left behind by a daemon that crashed.
    drop(UnixListener::bind(node.socket()).unwrap());
    for verb in ["status", "reload"] {
        for place in [["-c", &node.file()], ["--socket", &node.socket()]] {
            let outcome = lbd(&[verb, place[0], place[1]]);
            assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
            assert_eq!(
                outcome.stderr,
                format!(
                    "lbd: no daemon answers on {}: start it with `lbd run`, or name its socket with `--socket PATH` \
                     or its configuration with `-c FILE`\n",
                    node.socket()
                )
            );
        }
    }
}

#[test]
fn the_status_is_json_on_request() {
    let node = Node::new(CONFIGURATION);
    let status = a_status();
    let daemon = Daemon::start(&node, Response::Status(Box::new(status.clone())));
    for flag in ["-j", "--json"] {
        let outcome = lbd(&["status", flag, "--socket", &node.socket()]);
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
        assert_eq!(outcome.stdout, serde_json::to_string(&status).unwrap() + "\n");
    }
    assert_eq!(daemon.stop(), [Request::Status; 2]);
}

#[test]
fn the_status_is_for_people_by_default() {
    let node = Node::new(CONFIGURATION);
    let daemon = Daemon::start(&node, Response::Status(Box::new(a_status())));
    let outcome = lbd(&["status", "-c", &node.file()]);
    assert_eq!(outcome.status, 0);
    assert_eq!(
        outcome.stdout,
        "lb1: lbd 0.1.0, up 5s\n\n7 known connections; the flow table has room for 1024\n"
    );
    daemon.stop();
}

#[test]
fn a_reload_that_succeeds_says_what_the_daemon_says() {
    let node = Node::new(CONFIGURATION);
    let message = "reloaded: nothing has changed".to_owned();
    let daemon = Daemon::start(&node, Response::Done { message });
    let outcome = lbd(&["reload", "-c", &node.file()]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    assert_eq!(outcome.stdout, "reloaded: nothing has changed\n");
    assert_eq!(daemon.stop(), [Request::Reload]);
}

#[test]
fn a_reload_that_is_refused_fails_with_the_reason() {
    // The daemon is found even though the file has errors.
    let node = Node::new(&CONFIGURATION.replace("port = 80", "prt = 80"));
    let message = "the file has errors".to_owned();
    let daemon = Daemon::start(&node, Response::Refused { message });
    let outcome = lbd(&["reload", "-c", &node.file()]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
    assert_eq!(outcome.stderr, "lbd: the file has errors\n");
    daemon.stop();
}

#[test]
fn a_reader_that_has_seen_enough_changes_no_exit_status() {
    let good = Node::new(CONFIGURATION);
    let bad = Node::new(&CONFIGURATION.replace("= 51", "= 256"));
    let done = Response::Done {
        message: "reloaded".to_owned(),
    };
    let reloading = Daemon::start(&good, done);
    let showing = Node::new(CONFIGURATION);
    let status = Daemon::start(&showing, Response::Status(Box::new(a_status())));
    for (arguments, expected) in [
        (&["check-config", "-c", &good.file()][..], 0),
        (&["check-config", "-c", &bad.file()], 1),
        (&["run", "-c", &bad.file()], 1),
        (&["reload", "-c", &good.file()], 0),
        (&["reload", "-c", &bad.file()], 1),
        (&["status", "-c", &showing.file()], 0),
        (&["status", "--json", "-c", &showing.file()], 0),
        (&["status", "-c", &bad.file()], 1),
        (&["--help"], 0),
        (&["dance"], 2),
    ] {
        assert_eq!(
            exit_status(arguments, closed_pipe(), closed_pipe()),
            Some(expected),
            "{arguments:?}"
        );
    }
    reloading.stop();
    status.stop();
}

#[test]
fn what_a_full_disk_does_not_take_fails_and_does_not_panic() {
    let good = Node::new(CONFIGURATION);
    let bad = Node::new(&CONFIGURATION.replace("= 51", "= 256"));
    for (arguments, expected) in [
        (["check-config", "-c", &good.file()], 1),
        (["check-config", "-c", &bad.file()], 1),
        (["run", "-c", &bad.file()], 1),
        (["status", "-c", &bad.file()], 1),
    ] {
        assert_eq!(
            exit_status(&arguments, full_disk(), full_disk()),
            Some(expected),
            "{arguments:?}"
        );
    }
    let (mut reader, writer) = io::pipe().unwrap();
    exit_status(&["check-config", "-c", &good.file()], full_disk(), writer);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert!(
        said.starts_with("lbd: cannot write to standard output: No space left"),
        "{said}"
    );
}

#[test]
fn the_journal_is_told_how_severe_it_is() {
    let node = Node::new(&CONFIGURATION.replace("= 51", "= 256"));
    let (mut reader, writer) = io::pipe().unwrap();
    let metadata = fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    for (named, prefix) in [(stream.as_str(), "<3>"), ("1:1", "")] {
        let status = Command::new(env!("CARGO_BIN_EXE_lbd"))
            .args(["run", "-c", &node.file()])
            .env("JOURNAL_STREAM", named)
            .stderr(writer.try_clone().unwrap())
            .status();
        assert_eq!(status.unwrap().code(), Some(1));
        let mut said = [0; 4096];
        let length = reader.read(&mut said).unwrap();
        let said = str::from_utf8(&said[..length]).unwrap();
        assert!(
            said.starts_with(&format!("{prefix}error: virtual_router_id 256")),
            "{said}"
        );
        for line in said.lines() {
            assert_eq!(line.starts_with("<3>"), prefix == "<3>", "{line}");
        }
    }
}
