//! What the kernel tells of packets that were lost after the program had sent them off.
#![allow(
    unsafe_code,
    reason = "perf_event_open(2) and the calls for a file system of one's own have no safe wrapper among our \
              dependencies"
)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::TracePoint;
use lb_common::{Departure, maps};

/// The programs of the object, and the tracepoints that they are for.
const TRACEPOINTS: [(&str, &str); 3] = [
    ("redirect_failed", "xdp_redirect_err"),
    ("transmitted", "xdp_devmap_xmit"),
    ("exception", "xdp_exception"),
];

/// `struct perf_event_attr` up to its first published size, `PERF_ATTR_SIZE_VER0`.
#[repr(C)]
#[derive(Default)]
struct Event {
    kind: u32,
    size: u32,
    tracepoint: u64,
    _rest: [u64; 6],
}

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u32 = 2;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_ulong = 1 << 3;
/// `PERF_EVENT_IOC_ENABLE` and `PERF_EVENT_IOC_SET_BPF`.
const ENABLE: libc::Ioctl = 0x2400;
const SET_BPF: libc::Ioctl = 0x4004_2408;
/// `FSCONFIG_CMD_CREATE`.
const CREATE: libc::c_uint = 6;
/// `FSOPEN_CLOEXEC` and `FSMOUNT_CLOEXEC`.
const CLOEXEC: libc::c_uint = 1;

/// Counts packets that were lost after the program had sent them off, while it lives.
pub struct Lost {
    counts: HashMap<MapData, Departure, u64>,
    _events: Vec<OwnedFd>,
    /// The kernel's identifier of the program.
    program: u32,
}

impl Lost {
    /// Has the kernel tell. `program` is the identifier of the program that the packets are sent by.
    ///
    /// # Errors
    /// The kernel has no tracepoints, or does not let us.
    pub(super) fn open(ebpf: &mut Ebpf, program: u32) -> anyhow::Result<Self> {
        let mut events = Vec::new();
        for (name, tracepoint) in TRACEPOINTS {
            let identifier = identifier(tracepoint)?;
            let tracer: &mut TracePoint = ebpf
                .program_mut(name)
                .ok_or_else(|| anyhow::anyhow!("the object has no {name}"))?
                .try_into()?;
            tracer.load()?;
            events.push(attach(tracer.fd()?.as_fd(), identifier)?);
        }
        let map = ebpf
            .take_map(maps::LOST.name)
            .ok_or_else(|| anyhow::anyhow!("the object has no map {}", maps::LOST.name))?;
        let Map::LruHashMap(data) = map else {
            anyhow::bail!("the map {} is of another kind", maps::LOST.name);
        };
        Ok(Self {
            counts: Map::LruHashMap(data).try_into()?,
            _events: events,
            program,
        })
    }

    /// How many packets were lost since the start, by where: those of this program, and those of which the kernel does
    /// not tell whose they were.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Departure, u64> {
        self.counts
            .iter()
            .flatten()
            .filter(|(departure, _)| [0, self.program].contains(&departure.program))
            .collect()
    }
}

/// Runs a program whenever the kernel comes to a tracepoint, on any CPU, as long as what is returned is open.
fn attach(program: BorrowedFd<'_>, tracepoint: u64) -> io::Result<OwnedFd> {
    let event = Event {
        kind: TRACEPOINT,
        size: size_of::<Event>() as u32,
        tracepoint,
        ..Event::default()
    };
    let (any_process, first_cpu, no_group) = (-1, 0, -1);
    // SAFETY: the kernel reads the event, whose size is told, and keeps nothing of it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const event,
            any_process,
            first_cpu,
            no_group,
            CLOSE_ON_EXEC,
        )
    };
    let event = owned(result)?;
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: both requests take a number, no pointer.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// The number that the kernel has for a tracepoint.
fn identifier(tracepoint: &str) -> io::Result<u64> {
    let file = format!("events/xdp/{tracepoint}/id");
    let customary = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let text = customary
        .iter()
        .find_map(|directory| fs::read_to_string(format!("{directory}/{file}")).ok());
    let text = match text {
        Some(text) => text,
        // Where nobody has mounted it we look into one of our own, which nobody else sees.
        None => read_unmounted(c"tracefs".to_owned(), &CString::new(file)?)?,
    };
    text.trim().parse().map_err(io::Error::other)
}

/// Reads a file of a file system that is mounted nowhere.
fn read_unmounted(kind: CString, file: &CString) -> io::Result<String> {
    // SAFETY: the names are C strings that outlive the calls, which keep none of them; the pointers that are null may
    // be.
    let root = unsafe {
        let context = owned(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC))?;
        let nothing = std::ptr::null::<libc::c_char>();
        if libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            CREATE,
            nothing,
            nothing,
            0,
        ) < 0
        {
            return Err(io::Error::last_os_error());
        }
        owned(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0))?
    };
    // SAFETY: as above.
    let file = unsafe {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        owned(libc::openat(root.as_raw_fd(), file.as_ptr(), flags).into())?
    };
    let mut text = String::new();
    File::from(file).read_to_string(&mut text)?;
    Ok(text)
}

/// The descriptor that a system call has returned.
fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
