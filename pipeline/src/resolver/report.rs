//! What the resolver counts of itself, as tallies.

use std::sync::Arc;

use portolan_model::Resolution;

use super::FlowResolver;
use super::emit::Resolved;

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
    /// What was counted since the last call, by name.
    pub(super) fn take_tallies(&mut self) -> Vec<(Arc<str>, i64)> {
        let tally = std::mem::take(&mut self.tally);
        let late = std::mem::take(&mut self.late.tally);
        let overflowed = std::mem::take(&mut self.names.overflowed);
        let named = [
            ("duplicates", tally.duplicates),
            ("late", tally.late),
            ("late_second_hand", tally.late_second_hand),
            ("folded_early", tally.folded_early),
            ("icmp_errors", tally.icmp_errors),
            ("late_resolution_dropped_bytes", late.bytes),
            ("late_resolution_dropped_connections", late.connections),
            ("late_resolution_folded_early", late.folded_early),
            ("late_resolution_unwatched", late.unwatched),
            ("addresses_overflowed", overflowed as i64),
            ("orientation_conflict", std::mem::take(&mut self.conflicts.found)),
            ("orientation_conflict_unwatched", std::mem::take(&mut self.conflicts.unwatched)),
            ("masks_overflowed", std::mem::take(&mut self.masks.overflowed)),
            ("learned_ports_overflowed", std::mem::take(&mut self.learned.overflowed)),
        ];
        let resolved = Resolution::ALL.iter().flat_map(|resolution| {
            let Resolved { bytes, connections } = tally.resolved[*resolution as usize];
            let name = |what| format!("resolved/{}/{what}", resolution.as_str()).into();
            [(name("bytes"), bytes), (name("connections"), connections)]
        });
        let named = named.into_iter().map(|(name, n)| (name.into(), n));
        resolved.chain(named).filter(|(_, n)| *n != 0).collect()
    }
}
