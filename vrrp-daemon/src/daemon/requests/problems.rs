//! What is not as it should be, gathered from where it is known, in the words of the status.

use std::time::{Instant, SystemTime};

use super::super::channel::{InstanceReport, Report};
use crate::api::{ConfigurationStatus, Problem, ProblemCode, Timestamp};
use crate::director::{self, Director};
use crate::vrrp::{Obstacle, State};

/// All problems that there are; `standing` are those that do not change while the daemon runs.
pub(super) fn gather(
    standing: &[Problem],
    director: &Director,
    report: &Report,
    configuration: &ConfigurationStatus,
) -> Vec<Problem> {
    let mut problems = standing.to_vec();
    problems.extend(report.instances.iter().flat_map(|report| of_instance(report)));
    problems.extend(
        director
            .problems()
            .map(|(problem, since)| of_director(problem, since)),
    );
    problems.extend(configuration.refused_reload.as_ref().map(|refused| Problem {
        code: ProblemCode::ReloadRefused,
        subject: configuration.path.clone(),
        message: format!("the last reload was refused: {}", first_line(&refused.message)),
        since: refused.at,
    }));
    problems
}

/// What keeps a virtual router out of the election, if anything does.
pub(super) fn why_out(report: &InstanceReport) -> Option<String> {
    if !matches!(report.state, State::Init | State::Fault) {
        return None;
    }
    let obstacles: Vec<String> = report.obstacles.iter().map(ToString::to_string).collect();
    if obstacles.is_empty() {
        return None;
    }
    Some(obstacles.join("; "))
}

/// The problems of a virtual router: each obstacle is one, beside those that keep it from nothing. That advertisements
/// do not leave is among the latter, with the kernel's reason.
fn of_instance(report: &InstanceReport) -> impl Iterator<Item = Problem> {
    let obstacles = report.obstacles.iter();
    let obstacles = obstacles.filter(|obstacle| **obstacle != Obstacle::NotSent);
    let obstacles = obstacles.map(|obstacle| Problem {
        code: ProblemCode::NotInElection,
        subject: report.instance.name.clone(),
        message: obstacle.to_string(),
        // An obstacle comes with a change of the state, or was there before the first.
        since: report.last_transition.unwrap_or_else(SystemTime::now).into(),
    });
    report.problems.iter().cloned().chain(obstacles)
}

fn of_director(problem: &director::Problem, since: Instant) -> Problem {
    let (code, subject, message) = match problem {
        director::Problem::NoSchedule { service, reason } => (
            ProblemCode::NoSchedule,
            service.to_string(),
            format!("no real server takes new connections: {reason}"),
        ),
        director::Problem::Unresolved { address, reason } => {
            (ProblemCode::Unresolved, address.to_string(), reason.clone())
        }
        director::Problem::NoRoom { subject, reason } => {
            (ProblemCode::NoRoom, subject.clone(), reason.clone())
        }
        director::Problem::Episode {
            service,
            cause,
            limit,
        } => (
            ProblemCode::NotRemembered,
            service.to_string(),
            format!(
                "{}: they are placed by a hash and not remembered",
                cause.told(*limit)
            ),
        ),
        director::Problem::NotWritten { operation, error } => {
            (ProblemCode::NotWritten, operation.clone(), error.clone())
        }
        director::Problem::PinsMissing { directory, reason } => (
            ProblemCode::PinsMissing,
            directory.display().to_string(),
            format!(
                "the pins of the maps were removed, and cannot be made again: the next daemon forgets all connections: \
                 {reason}"
            ),
        ),
    };
    Problem {
        code,
        subject,
        message,
        since: calendar(since),
    }
}

/// The moment `at`: the director and its monitors count in `Instant`, people in calendar time.
pub(super) fn calendar(at: Instant) -> Timestamp {
    (SystemTime::now() - Instant::now().saturating_duration_since(at)).into()
}

/// What a message of several lines is about.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
