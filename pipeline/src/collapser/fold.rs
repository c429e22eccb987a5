//! Forgetting: what is in doubt is remembered for longer, as the resolver does (`resolver/late.rs`).

use portolan_model::{Nanos, Window};
use rustc_hash::FxHashSet;

use super::{Client, Joins, PathCollapser, SPARE};

impl PathCollapser {
    /// Forgets windows before `folded`, but for the client sockets that do something which is in doubt, there or in a
    /// window beside it; and these after the late horizon.
    pub(super) fn fold(&mut self, folded: Window, watermark: Nanos) {
        let late = self.window.window(watermark.saturating_sub(self.late)).min(folded);
        let grown = self.windows.range(late..folded).filter(|(_, joins)| joins.grown);
        let grown: Vec<Window> = grown.map(|(window, _)| *window).collect();
        // All of them, before any is made smaller.
        let doubts: Vec<FxHashSet<Client>> = grown.iter().map(|at| self.doubtful(*at)).collect();
        for (window, clients) in grown.into_iter().zip(doubts) {
            let Some(mut joins) = self.windows.remove(&window) else { continue };
            self.keep_shown(window, &joins);
            let kept = joins.only(&clients);
            if !kept.hops.is_empty() || !kept.landings.is_empty() {
                self.windows.insert(window, kept);
            }
            self.spare(joins);
        }
        let kept = self.windows.split_off(&late);
        for (window, joins) in std::mem::replace(&mut self.windows, kept) {
            self.keep_shown(window, &joins);
            self.spare(joins);
        }
    }

    fn spare(&mut self, mut joins: Joins) {
        if self.spare.len() < SPARE {
            joins.clear();
            self.spare.push(joins);
        }
    }

    /// The client sockets of a window that do something in doubt in it or near it: beside it, as it may have to be
    /// joined again then, or beside that, as joining that needs to know it.
    fn doubtful(&self, window: Window) -> FxHashSet<Client> {
        let (before, after) = (window.previous(self.window), window.next(self.window));
        let far = [before.previous(self.window), after.next(self.window)];
        let near = [far[0], before, window, after, far[1]];
        let joins = near.iter().filter_map(|window| self.windows.get(window));
        joins.flat_map(|joins| joins.doubtful.iter().copied()).collect()
    }
}
