//! The allocator of the binary and of the benchmarks, and for how long it keeps what is free.
//!
//! Decoding and counting allocate in bursts on several threads: `mimalloc` returns what one thread frees to the one
//! that needs it, without a lock. What was free for a second it gives back to the system, and the line, which works in
//! the beat of its epochs (1 s) and windows (10 s), would ask for the same pages again in each, zeroed: a fifth of its
//! time, and more on a virtual machine (docs/BENCHMARKS.md). So it keeps them for some beats.

use core::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds for which free memory is kept: six windows of ten seconds. What a burst took is the system's again a
/// minute after it.
const KEPT_MS: c_long = 60_000;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings do not name.
const PURGE_DELAY: c_int = 15;

/// Keeps free memory for a minute, unless the environment says otherwise (`MIMALLOC_PURGE_DELAY`, in milliseconds). To
/// be called first in `main`, before there are other threads.
#[expect(
    unsafe_code,
    reason = "the only way to set an option of an allocator that is written in C"
)]
pub fn keep_free_memory() {
    // SAFETY: sets a number in a table of the allocator, by an index below its length (36 in version 3); nothing is
    // read or moved. It is not synchronised, and no other thread runs yet; one that did would read the old or the new
    // delay.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS) };
}

/// What [`keep_free_memory`] came to, in milliseconds.
#[expect(unsafe_code, reason = "as there")]
#[must_use]
pub fn free_memory_kept_ms() -> i64 {
    // SAFETY: reads a number from the same table.
    unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
}

/// Gives all free memory back now: what is resident afterwards is held.
#[expect(unsafe_code, reason = "as there")]
pub fn give_free_memory_back() {
    // SAFETY: takes no pointer and frees only what is free already; allowed at any time on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn option_is_the_one_of_the_delay() {
        // What version 3 has by default, or what the environment says: another number is another option.
        let said = std::env::var("MIMALLOC_PURGE_DELAY").ok().and_then(|ms| ms.parse().ok());
        assert_eq!(super::free_memory_kept_ms(), said.unwrap_or(1_000));
        super::keep_free_memory();
        assert_eq!(super::free_memory_kept_ms(), said.unwrap_or(60_000));
    }
}
