//! What a switch port that faces a director needs, so that `XDP_TX` works across a veth pair.
//!
//! Two facts about veth (drivers/net/veth.c): frames sent by `XDP_TX` are delivered only when the *peer* has an XDP
//! program of its own, because only then has it the receive queue that they are put in; and a frame whose checksum
//! was left to the "hardware" is still unfinished when XDP turns it around, so the port must not offload it.

#![allow(
    unsafe_code,
    reason = "no safe wrapper exists for loading two instructions without an object file"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};

use crate::namespace::{Namespace, run};

/// Prepares interface `port` of `switch` for a director with XDP at the other end.
pub(crate) fn face_director(switch: &Namespace, port: &str) -> Result<()> {
    run(switch.command("ethtool").args(["-K", port, "tx", "off"]))?;
    occupy(switch, port)
}

/// Puts an XDP program on `interface` of `namespace` that passes everything, as another product's would be there
/// already. `ip link set dev INTERFACE xdp off` takes it off.
///
/// # Errors
/// The kernel refuses it.
pub fn occupy(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace
        .run(|| attach_pass(interface))
        .with_context(|| format!("cannot attach an XDP_PASS program to {interface}"))
}

/// One instruction of eBPF: `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The start of `union bpf_attr` as `BPF_PROG_LOAD` reads it.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TYPE_XDP: u32 = 6;
const XDP_PASS: i32 = 2;

/// Loads the program `return XDP_PASS`.
fn load_pass() -> io::Result<OwnedFd> {
    let instructions = [
        // r0 = XDP_PASS
        Instruction {
            code: 0xb7,
            registers: 0,
            offset: 0,
            immediate: XDP_PASS,
        },
        // exit
        Instruction {
            code: 0x95,
            registers: 0,
            offset: 0,
            immediate: 0,
        },
    ];
    let attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
    };
    // SAFETY: the attributes and what they point to outlive the call, and their size is told.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const attributes,
            size_of::<ProgramLoad>(),
        )
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    let descriptor = i32::try_from(descriptor).expect("file descriptors are small");
    // SAFETY: the kernel has just given it to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// `RTM_SETLINK` with the one nested attribute that attaches an XDP program.
///
/// A netlink attachment rather than a BPF link: it lives as long as the interface, not as long as this process.
#[repr(C)]
struct SetXdp {
    header: libc::nlmsghdr,
    family: u8,
    _padding: u8,
    kind: u16,
    index: i32,
    flags: u32,
    change: u32,
    nest: Attribute,
    descriptor: Attribute,
    descriptor_value: i32,
    mode: Attribute,
    mode_value: u32,
}

/// `struct rtattr`.
#[repr(C)]
struct Attribute {
    length: u16,
    kind: u16,
}

const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const NLA_F_NESTED: u16 = 1 << 15;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Attaches `return XDP_PASS`, natively, to `interface` of the calling thread's namespace.
fn attach_pass(interface: &str) -> io::Result<()> {
    let name = CString::new(interface)?;
    // SAFETY: the name is a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let program = load_pass()?;
    let request = SetXdp {
        header: libc::nlmsghdr {
            nlmsg_len: size_of::<SetXdp>() as u32,
            nlmsg_type: libc::RTM_SETLINK,
            nlmsg_flags: (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16,
            nlmsg_seq: 1,
            nlmsg_pid: 0,
        },
        family: libc::AF_UNSPEC as u8,
        _padding: 0,
        kind: 0,
        index: index.cast_signed(),
        flags: 0,
        change: 0,
        nest: Attribute {
            length: 20,
            kind: IFLA_XDP | NLA_F_NESTED,
        },
        descriptor: Attribute {
            length: 8,
            kind: IFLA_XDP_FD,
        },
        descriptor_value: program.as_raw_fd(),
        mode: Attribute {
            length: 8,
            kind: IFLA_XDP_FLAGS,
        },
        mode_value: XDP_FLAGS_DRV_MODE,
    };
    acknowledged(&request)
}

/// Sends `request` to the kernel's rtnetlink and waits for its acknowledgement.
fn acknowledged(request: &SetXdp) -> io::Result<()> {
    let socket = socket2::Socket::new(
        socket2::Domain::from(libc::AF_NETLINK),
        socket2::Type::RAW,
        Some(socket2::Protocol::from(libc::NETLINK_ROUTE)),
    )?;
    // SAFETY: the struct has no implicit padding (every field is aligned by what precedes it), so all of its bytes
    // are initialised.
    let bytes =
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(request).cast::<u8>(), size_of::<SetXdp>()) };
    socket.send(bytes)?;
    let mut answer = [std::mem::MaybeUninit::<u8>::uninit(); 4096];
    let length = socket.recv(&mut answer)?;
    // NLMSG_ERROR: a header of 16 bytes, then the negated error number, 0 for an acknowledgement.
    if length < 20 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: recv has filled `length` bytes, and these four are among them.
    let code = i32::from_ne_bytes(std::array::from_fn(|i| unsafe { answer[16 + i].assume_init() }));
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}
