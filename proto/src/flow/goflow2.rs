//! goflow2's `FlowMessage`: NetFlow, IPFIX and sFlow as routers send them (formats, 4.5).
//!
//! Counters stay unscaled, the sampling rate goes with them. A router ORs the TCP flags of all
//! packets of a flow, so a SYN says something only where nothing followed it.

use portolan_model::{Flags, Source};

use super::raw::{RawFlow, WireTime};

pub(super) mod json;
pub(super) mod pb;

/// The three times of a message in nanoseconds; 0 is absent.
#[derive(Copy, Clone, Default)]
struct Times {
    received: u64,
    start: u64,
    end: u64,
}

/// Puts in what both forms have in common.
fn finish(raw: &mut RawFlow, times: Times) {
    let Times { received, start, end } = times;
    let first = |times: [u64; 3]| times.into_iter().find(|at| *at != 0).unwrap_or(0);
    // A template without times leaves them out: then the time of arrival is all there is.
    raw.start = WireTime::from_nanos(first([start, end, received]));
    raw.end = WireTime::from_nanos(first([end, start, received]));
    raw.flags = evidence(raw.flags);
    raw.source = Source::Router;
}

/// What OR-ed flags prove (flow semantics, section 2): exactly a SYN is an opening without an
/// answer; a SYN among others says nothing of who sent it first. The bits above the eighth are
/// reserved ones of TCP, not those that agents put there.
fn evidence(ored: u32) -> u32 {
    const SYN: u32 = Flags::SYN as u32;
    if ored & 0xff == SYN { SYN } else { ored & 0xff & !SYN }
}
