//! Ports for servers that must keep theirs over a restart.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;

/// Below the range that Linux hands out to clients (32768 and up by default). A port inside that
/// range could be taken, while its server is down, by a client that tries to reach it: the kernel
/// may even connect such a client to itself.
const FIRST: u32 = 16_000;
const COUNT: u32 = 16_000;

/// A loopback port that nobody listens on, never the same twice in one process.
pub fn free_port() -> anyhow::Result<u16> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin far from one another.
    let start = std::process::id().wrapping_mul(211);
    for _ in 0..COUNT {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + start.wrapping_add(step) % COUNT) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    None.context("no free port between 16000 and 32000")
}
