//! Random numbers that nobody can foresee.
#![allow(unsafe_code, reason = "neither the standard library nor nix has getrandom(2)")]

use std::io;

/// Fills `bytes` from the kernel's generator; waits for it if the machine has just booted.
///
/// # Errors
/// If the kernel has none.
pub fn fill(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the kernel writes at most `len` bytes to where `bytes` begins, and they are ours.
        let written = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(written) {
            Ok(written) => bytes = &mut bytes[written..],
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let mut draws = [[0_u8; 40]; 2];
        for draw in &mut draws {
            fill(draw).expect("the kernel has random numbers");
        }
        assert_ne!(draws[0], draws[1]);
        for draw in draws {
            // Each of them was filled to its end: chance has five zeros in a row once in 2^35 draws.
            assert!(!draw.windows(5).any(|bytes| bytes == [0; 5]));
        }
    }
}
