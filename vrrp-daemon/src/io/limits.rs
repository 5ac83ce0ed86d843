//! What the kernel lets this process have: capabilities, descriptors, memory, time.

use std::error::Error;
use std::{fmt, fs, io};

use caps::{CapSet, Capability};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What a director cannot do without, each with the capability that stood for it in older kernels and does still.
const CAPABILITIES: [(Capability, Option<Capability>); 4] = [
    (Capability::CAP_NET_ADMIN, None),
    (Capability::CAP_NET_RAW, None),
    (Capability::CAP_BPF, Some(Capability::CAP_SYS_ADMIN)),
    (Capability::CAP_PERFMON, Some(Capability::CAP_SYS_ADMIN)),
];

/// The capabilities that this process lacks. What would fail for want of one, in the middle of a takeover perhaps, is
/// better not begun.
///
/// # Errors
/// If the kernel does not tell which ones there are.
pub fn missing_capabilities() -> io::Result<Vec<Capability>> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).map_err(io::Error::other);
    let mut missing = Vec::new();
    for (capability, substitute) in CAPABILITIES {
        if !has(capability)? && !substitute.map_or(Ok(false), has)? {
            missing.push(capability);
        }
    }
    Ok(missing)
}

/// What helps against `EMFILE`.
const RAISE_LIMIT: &str =
    "raise `LimitNOFILE=` in the unit lbd.service, or `ulimit -n` where lbd is started by hand";

/// How many open files there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// Of this process.
    pub allowed: u64,
    /// Of any process of this machine (the sysctl `fs.nr_open`).
    pub machine: u64,
}

impl OpenFiles {
    /// What is wrong and what helps, for a person, if these are fewer than `needed`.
    #[must_use]
    pub fn complaint(self, needed: u64) -> Option<String> {
        let Self { allowed, machine } = self;
        let first = match needed > machine {
            true => "raise the sysctl `fs.nr_open` first, then ",
            false => "",
        };
        (allowed < needed).then(|| {
            format!(
                "lbd may have {allowed} open files and would need up to {needed}: checks of many slow real servers will \
                 wait for each other: {first}{RAISE_LIMIT}"
            )
        })
    }
}

/// Raises the number of open files to the most that this process may have; to `needed` where that is more and the
/// kernel lets it (CAP_SYS_RESOURCE, and up to the sysctl `fs.nr_open`).
///
/// # Errors
/// The system call that failed.
pub fn allow_open_files(needed: u64) -> io::Result<OpenFiles> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let machine = fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let machine = machine.and_then(|text| text.trim().parse().ok()).unwrap_or(most);
    let set = |limit| setrlimit(Resource::RLIMIT_NOFILE, limit, limit);
    let wanted = needed.min(machine);
    let allowed = if wanted > most && set(wanted).is_ok() {
        wanted
    } else {
        set(most)?;
        most
    };
    Ok(OpenFiles { allowed, machine })
}

/// What helps where `error`, or what caused it, is that no more files can be opened: sockets, maps and links are files.
#[must_use]
pub fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let mut numbers = chain.filter_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
    numbers.find_map(|number| match number {
        libc::EMFILE => Some(RAISE_LIMIT),
        libc::ENFILE => {
            Some("all processes together have too many open files: raise the sysctl `fs.file-max`")
        }
        _ => None,
    })
}

/// The kernel's answer, with what helps against it.
#[derive(Debug)]
pub struct Remedied<'a>(pub &'a io::Error);

impl fmt::Display for Remedied<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)?;
        match remedy(self.0) {
            Some(remedy) => write!(formatter, ": {remedy}"),
            None => Ok(()),
        }
    }
}

/// Keeps the memory of this process in RAM, each page from when it is first touched: an advertisement must not wait for
/// a disk.
///
/// # Errors
/// The system call that failed; that needs CAP_IPC_LOCK, or a large enough RLIMIT_MEMLOCK.
pub fn lock_memory() -> io::Result<()> {
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    Ok(mlockall(
        MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault,
    )?)
}

/// Puts the calling thread ahead of all that is not real-time, at the lowest real-time priority: an advertisement that
/// is late on a busy machine is a failover. What the thread starts is ordinary again.
///
/// # Errors
/// The system call that failed; that needs CAP_SYS_NICE.
#[allow(
    unsafe_code,
    reason = "sched_setscheduler(2) has no safe wrapper among our dependencies"
)]
pub fn run_in_real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is the calling thread, and `parameters` is read only.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Takes from the calling thread the precedence that the daemon has over other processes (`Nice=` in the unit), if it
/// has any.
///
/// # Errors
/// The system call that failed.
#[allow(
    unsafe_code,
    reason = "setpriority(2) has no safe wrapper among our dependencies"
)]
pub fn run_as_others_do() -> io::Result<()> {
    // SAFETY: both take integers only. (To Linux, 0 is the calling thread.)
    let result = unsafe {
        if libc::getpriority(libc::PRIO_PROCESS, 0) >= 0 {
            return Ok(());
        }
        libc::setpriority(libc::PRIO_PROCESS, 0, 0)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn whoever_runs_out_of_files_is_told_what_helps() {
        let said = Remedied(&answer(libc::EMFILE)).to_string();
        assert!(said.starts_with("Too many open files"), "{said}");
        assert!(
            said.contains("`LimitNOFILE=`") && said.contains("`ulimit -n`"),
            "{said}"
        );
        assert!(
            Remedied(&answer(libc::ENFILE))
                .to_string()
                .contains("`fs.file-max`")
        );
        assert_eq!(
            Remedied(&answer(libc::EPERM)).to_string(),
            answer(libc::EPERM).to_string()
        );
    }

    #[test]
    fn what_helps_is_found_behind_other_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot attach")]
        struct Attach(#[source] io::Error);
        assert_eq!(remedy(&Attach(answer(libc::EMFILE))), Some(RAISE_LIMIT));
        assert_eq!(remedy(&Attach(answer(libc::EBUSY))), None);
    }

    #[test]
    fn too_few_open_files_are_told_with_whose_limit_it_is() {
        let complaint = |allowed, needed| {
            let machine = 1000;
            OpenFiles { allowed, machine }.complaint(needed)
        };
        assert_eq!(complaint(300, 300), None);
        let said = complaint(200, 300).unwrap();
        assert!(said.contains("200 open files and would need up to 300"), "{said}");
        assert!(
            !said.contains("fs.nr_open") && said.contains("`LimitNOFILE=`"),
            "{said}"
        );
        let said = complaint(1000, 3000).unwrap();
        assert!(
            said.contains("`fs.nr_open` first") && said.contains("`LimitNOFILE=`"),
            "{said}"
        );
    }

    #[test]
    fn all_open_files_that_this_process_may_have_are_allowed() {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(allow_open_files(1).unwrap().allowed, most);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (most, most));
    }
}
