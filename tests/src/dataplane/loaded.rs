//! The object in the kernel, which takes half a second to verify: who is done with it leaves it to the next one, with
//! maps as empty as new ones.
#![allow(
    unsafe_code,
    reason = "no library reads whole arrays, whatever is in them, with one system call"
)]

use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::sync::Mutex;
use std::{io, ptr, slice};

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::{Map, MapData, MapType};

/// Those that nobody has at the moment, each with the number of buckets that it was loaded with.
static SPARE: Mutex<Vec<(u32, Ebpf)>> = Mutex::new(Vec::new());

/// A loaded object, for the sizes of [`SPARE`] or for one owner only.
pub(super) struct Loaded {
    ebpf: Option<Ebpf>,
    buckets: Option<u32>,
}

impl Loaded {
    /// One that others may have had, or what `load` makes.
    pub(super) fn shared(buckets: u32, load: impl FnOnce() -> Result<Ebpf>) -> Result<Self> {
        let spare = {
            let mut spares = SPARE.lock().expect("nobody panics with it");
            let found = spares.iter().position(|(size, _)| *size == buckets);
            found.map(|index| spares.swap_remove(index).1)
        };
        let ebpf = match spare {
            Some(ebpf) => ebpf,
            None => load()?,
        };
        Ok(Self {
            ebpf: Some(ebpf),
            buckets: Some(buckets),
        })
    }

    /// One that nobody else has, before or after.
    pub(super) const fn alone(ebpf: Ebpf) -> Self {
        Self {
            ebpf: Some(ebpf),
            buckets: None,
        }
    }
}

impl Deref for Loaded {
    type Target = Ebpf;

    fn deref(&self) -> &Ebpf {
        self.ebpf.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Loaded {
    fn deref_mut(&mut self) -> &mut Ebpf {
        self.ebpf.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let (Some(ebpf), Some(buckets)) = (self.ebpf.take(), self.buckets) else {
            return;
        };
        // Who failed may have left anything behind.
        if std::thread::panicking() {
            return;
        }
        match clear_all(&ebpf) {
            Ok(()) => SPARE.lock().expect("nobody panics with it").push((buckets, ebpf)),
            Err(error) => eprintln!("the maps cannot be cleared, the object is loaded anew: {error:#}"),
        }
    }
}

/// Empties all maps but the constants and the logs.
fn clear_all(ebpf: &Ebpf) -> Result<()> {
    for (name, map) in ebpf.maps() {
        let cleared = match map {
            Map::Array(data) if !name.contains("rodata") => clear_array(data, 1),
            Map::PerCpuArray(data) => clear_array(data, aya::util::nr_cpus().map_err(|(_, error)| error)?),
            Map::HashMap(data) | Map::LruHashMap(data) | Map::LpmTrie(data) => clear_table(data),
            Map::Array(_) | Map::RingBuf(_) => Ok(()),
            other => bail!("{name}: it is not known how to empty {other:?}"),
        };
        cleared.with_context(|| format!("cannot empty {name}"))?;
    }
    Ok(())
}

/// How many entries of an array are read with one call.
const BATCH: u32 = 4_096;

/// Writes zeros over whatever is not.
fn clear_array(map: &MapData, copies: usize) -> Result<()> {
    let info = map.info()?;
    let (fd, size) = (map.fd().as_fd().as_raw_fd(), info.value_size() as usize);
    if info.map_flags() & MAPPED != 0 {
        return Ok(clear_mapped(
            fd,
            size.next_multiple_of(8) * info.max_entries() as usize,
        )?);
    }
    let size = if info.map_type()? == MapType::PerCpuArray {
        size.next_multiple_of(8) * copies
    } else {
        size
    };
    let zero = vec![0_u8; size];
    let mut keys = vec![0_u32; BATCH as usize];
    let mut values = vec![0_u8; BATCH as usize * size];
    let (mut position, mut is_first) = (0_u32, true);
    loop {
        let mut next = 0_u32;
        let mut attributes = Batch {
            in_batch: if is_first { 0 } else { address(&raw const position) },
            out_batch: address((&raw mut next).cast_const()),
            keys: address(keys.as_mut_ptr()),
            values: address(values.as_mut_ptr()),
            count: BATCH,
            map: fd as u32,
            ..Batch::default()
        };
        // SAFETY: keys and values have room for `count` of them, and the positions are of the keys' size.
        let read = unsafe { call(LOOK_UP_BATCH, &raw mut attributes) };
        let is_last = match read {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error.into()),
        };
        let found = keys.iter().zip(values.chunks_exact(size));
        for (key, value) in found.take(attributes.count as usize) {
            if value.iter().any(|byte| *byte != 0) {
                element(UPDATE, fd, address(key), address(zero.as_ptr()))?;
            }
        }
        if is_last {
            return Ok(());
        }
        (position, is_first) = (next, false);
    }
}

/// `BPF_F_MMAPABLE` of linux/bpf.h.
const MAPPED: u32 = 1 << 10;

/// Writes zeros over whatever is not, in an array of so many bytes that can be mapped.
fn clear_mapped(map: RawFd, length: usize) -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, of which the kernel chooses the place.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), length, protection, libc::MAP_SHARED, map, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is that long and aligned to pages, and nobody else looks at these maps meanwhile.
    let words = unsafe { slice::from_raw_parts_mut(mapped.cast::<u64>(), length / 8) };
    for word in words.iter_mut().filter(|word| **word != 0) {
        *word = 0;
    }
    // SAFETY: it is ours, and nobody looks at it any more.
    match unsafe { libc::munmap(mapped, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Removes all entries.
fn clear_table(map: &MapData) -> Result<()> {
    let fd = map.fd().as_fd().as_raw_fd();
    let mut key = vec![0_u8; map.info()?.key_size() as usize];
    loop {
        match element(NEXT_KEY, fd, 0, address(key.as_mut_ptr())) {
            Ok(()) => element(DELETE, fd, address(key.as_ptr()), 0)?,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

// `enum bpf_cmd` of linux/bpf.h.
const UPDATE: libc::c_int = 2;
const DELETE: libc::c_int = 3;
const NEXT_KEY: libc::c_int = 4;
const LOOK_UP_BATCH: libc::c_int = 24;

/// The part of `union bpf_attr` for one element.
#[repr(C)]
struct Element {
    map: u32,
    _padding: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for many elements.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// A pointer as the kernel wants it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn element(command: libc::c_int, map: RawFd, key: u64, value_or_next_key: u64) -> io::Result<()> {
    let mut attributes = Element {
        map: map as u32,
        _padding: 0,
        key,
        value_or_next_key,
        flags: 0,
    };
    // SAFETY: the callers' pointers lead to a key and a value of this map.
    unsafe { call(command, &raw mut attributes) }
}

/// # Safety
///
/// The pointers in `attributes` lead to as much memory as `command` reads and writes.
unsafe fn call<T>(command: libc::c_int, attributes: *mut T) -> io::Result<()> {
    // SAFETY: the caller's.
    match unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
