//! What the resolver counts of itself, as tallies.

use portolan_model::Resolution;

use super::FlowResolver;
use super::emit::Resolved;
use crate::tally::{Count, count};

/// What the resolver counts of itself in an epoch.
#[derive(Default)]
pub(super) struct Tallies {
    pub(super) duplicates: i64,
    pub(super) late: i64,
    pub(super) late_second_hand: i64,
    pub(super) folded_early: i64,
    pub(super) icmp_errors: i64,
    pub(super) resolved: [Resolved; 7],
}

// === impl FlowResolver ===

impl FlowResolver {
    /// All that it counts.
    pub(crate) fn counts(&mut self) -> Vec<Count<'_>> {
        let Self { tally, late, names, conflicts, masks, learned, .. } = self;
        let late = &mut late.tally;
        let named = [
            count("duplicates", &mut tally.duplicates),
            count("late", &mut tally.late),
            count("late_second_hand", &mut tally.late_second_hand),
            count("folded_early", &mut tally.folded_early),
            count("icmp_errors", &mut tally.icmp_errors),
            count("late_resolution_dropped_bytes", &mut late.bytes),
            count("late_resolution_dropped_connections", &mut late.connections),
            count("late_resolution_folded_early", &mut late.folded_early),
            count("late_resolution_unwatched", &mut late.unwatched),
            count("addresses_overflowed", &mut names.overflowed),
            count("orientation_conflict", &mut conflicts.found),
            count("orientation_conflict_unwatched", &mut conflicts.unwatched),
            count("masks_overflowed", &mut masks.overflowed),
            count("learned_ports_overflowed", &mut learned.overflowed),
        ];
        let resolved = Resolution::ALL.iter().zip(&mut tally.resolved);
        let resolved = resolved.flat_map(|(resolution, Resolved { bytes, connections })| {
            let name = |what| format!("resolved/{}/{what}", resolution.as_str()).into();
            [(name("bytes"), bytes), (name("connections"), connections)]
        });
        resolved.chain(named).collect()
    }
}
