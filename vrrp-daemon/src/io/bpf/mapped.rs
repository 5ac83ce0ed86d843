//! An array map as memory of this process.
#![allow(
    unsafe_code,
    reason = "mmap(2) of a BPF array, and volatile access to memory that the kernel shares"
)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};

use aya::Pod;
use aya::maps::Map;
use lb_common::maps as shared;

use super::Error;

/// A BPF array that was created with `BPF_F_MMAPABLE`, mapped into this process: reading and writing take no system
/// call. The program may read and write the same memory at any time, so that access is volatile.
pub(super) struct MappedArray<T> {
    start: NonNull<u8>,
    stride: usize,
    length: u32,
    element: PhantomData<T>,
}

// SAFETY: the memory belongs to this value until it is dropped; no thread-local state is involved.
unsafe impl<T: Send> Send for MappedArray<T> {}

// SAFETY: whoever has it shared can only read, and be told where elements are; to write there takes `unsafe` of its
// own.
unsafe impl<T: Sync> Sync for MappedArray<T> {}

impl<T: Pod> MappedArray<T> {
    /// Maps the array behind `map`, which has `length` elements of type `T`.
    pub(super) fn new(map: BorrowedFd<'_>, length: u32) -> io::Result<Self> {
        // The kernel keeps array elements at multiples of eight bytes (`array_map_alloc`, kernel/bpf/arraymap.c).
        let stride = size_of::<T>().next_multiple_of(8);
        let size = stride * length as usize;
        // SAFETY: a new shared mapping at an address that the kernel chooses overlaps nothing of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at address 0 unasked");
        Ok(Self {
            start,
            stride,
            length,
            element: PhantomData,
        })
    }

    /// How many elements there are.
    pub(super) fn length(&self) -> u32 {
        self.length
    }

    /// Where the element `index` is.
    pub(super) fn element(&self, index: u32) -> *mut T {
        assert!(index < self.length, "slot {index} of an array of {}", self.length);
        // SAFETY: the element lies within the mapping, as was just asserted.
        unsafe { self.start.as_ptr().add(self.stride * index as usize).cast() }
    }

    /// Reads the element `index`.
    pub(super) fn get(&self, index: u32) -> T {
        // SAFETY: `element` points to a mapped and aligned `T` (elements start at multiples of eight), and any bit
        // pattern is a valid `T: Pod`.
        unsafe { self.element(index).read_volatile() }
    }

    /// Writes the element `index`.
    pub(super) fn set(&mut self, index: u32, value: T) {
        // SAFETY: as in `get`; `&mut self` makes this thread the only writer of this process.
        unsafe { self.element(index).write_volatile(value) }
    }
}

impl<T> Drop for MappedArray<T> {
    fn drop(&mut self) {
        let size = self.stride * self.length as usize;
        // SAFETY: this is the mapping made in `new`, and nothing borrows from it beyond `self`.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), size) };
        debug_assert_eq!(result, 0, "munmap of our own mapping");
    }
}

/// An array map as memory.
pub(super) fn mapped<V: Pod>(map: &Map, layout: shared::Map<u32, V>) -> Result<MappedArray<V>, Error> {
    MappedArray::new(fd_of(map)?, layout.capacity).map_err(|source| Error::Mapping {
        map: layout.name,
        source,
    })
}

/// The descriptor of an array map.
fn fd_of(map: &Map) -> Result<BorrowedFd<'_>, Error> {
    match map {
        Map::Array(data) => Ok(data.fd().as_fd()),
        _ => Err(Error::Missing("array map where one was expected")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    impl<T: Pod> MappedArray<T> {
        /// An array that is shared with nobody, of elements whose size is a multiple of eight.
        pub(in crate::io::bpf) fn in_memory(length: u32) -> Self {
            let file = File::from(memfd_create(c"lbd-test", MFdFlags::empty()).expect("a file in memory"));
            let page = 4_096;
            let size = (u64::from(length) * size_of::<T>() as u64).next_multiple_of(page);
            file.set_len(size).expect("room for it");
            Self::new(file.as_fd(), length).expect("it can be mapped")
        }
    }
}
