//! Scores of many fleets, summed by fault class, as a table and as JSON.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::drive::Outcome;
use crate::output;

/// One true edge in so many may be missing.
const MISSING_IN: u64 = 1_000;
/// One byte in so many may lie with an end that cannot be named.
const UNNAMED_IN: u64 = 100;
/// Examples of each kind of error that a class names.
const EXAMPLES: usize = 10;

/// The whole result: one JSON document.
#[derive(Clone, Debug, Serialize)]
pub struct Board {
    /// Every class is.
    pub ok: bool,
    /// Services of each fleet.
    pub services: u32,
    /// Fleets of each class.
    pub seeds: u64,
    /// Seconds that each fleet ran.
    pub seconds: u64,
    /// How much later than ownership the flows came.
    pub lag_seconds: u64,
    /// Flow records a second that were asked of each fleet.
    pub rate: u32,
    /// The classes, in the order of their running.
    pub classes: Vec<Class>,
}

/// The sum over the fleets of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Class {
    /// Its name; `all` is every asked class at once.
    pub faults: String,
    /// Nothing was invented, no byte misattributed, at most one true edge in a thousand is missing, at
    /// most one byte in a hundred lies with an end that cannot be named, and every count is exact or
    /// within the error that loss and sampling explain, or short by
    /// what is shown with an end that cannot be named.
    pub ok: bool,
    /// Fleets.
    pub fleets: u64,
    /// Flow records.
    pub records: u64,
    /// Edges, as [`portolan_fleet::Score`] has them.
    pub edges: Edges,
    /// Connections of the true edges that were told of.
    pub connections_true: u64,
    /// Connections found on them.
    pub connections_found: u64,
    /// Largest error of the connections of one edge, as a share.
    pub count_error_max: f64,
    /// Mean of the errors over the found edges.
    pub count_error_mean: f64,
    /// Bytes.
    pub bytes: Bytes,
    /// Rows that contradicted each other.
    pub doubts: u64,
    /// What is wrong, named; bounded.
    pub wrong: Vec<String>,
}

/// Edges of a class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edges {
    /// Of the truth.
    #[serde(rename = "true")]
    pub real: u64,
    /// Of these, found.
    pub found: u64,
    /// Of these, not found.
    pub missing: u64,
    /// Of the truth, but no agent told of them.
    pub unseen: u64,
    /// True in no sense.
    pub invented: u64,
    /// True as hops that should have been folded away.
    pub unfolded: u64,
    /// True as hops, but no record says so: connections behind their nodes' addresses.
    pub masked: u64,
    /// With an end that the line says it cannot name.
    pub undecided: u64,
    /// Found with another count, though all of them was told.
    pub miscounted: u64,
    /// Found with fewer connections: the rest is shown with an end that the line cannot name.
    pub short: u64,
    /// Found with another count, because records were lost or packets sampled.
    pub estimated: u64,
    /// Of these, the ones further off than that explains.
    pub beyond_error: u64,
}

/// Bytes of a class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Of the truth.
    #[serde(rename = "true")]
    pub real: u64,
    /// Sum over true edges of how far each direction is off.
    pub off: u64,
    /// On edges that they do not belong to.
    pub misattributed: u64,
    /// On hops that should have been folded away.
    pub unfolded: u64,
    /// On hops that no record says are ones.
    pub masked: u64,
    /// On edges with several possible owners at an end.
    pub ambiguous: u64,
    /// On edges with no known owner at an end.
    pub unresolved: u64,
}

// === impl Class ===

impl Class {
    /// A class without fleets.
    pub(super) fn new(faults: &str) -> Self {
        Self { faults: faults.to_owned(), ok: true, ..Self::default() }
    }

    /// Adds the outcome of a fleet.
    pub(super) fn add(&mut self, seed: u64, outcome: &Outcome) {
        let score = &outcome.score;
        let before = self.edges.found as f64;
        self.fleets += 1;
        self.records += outcome.records;
        self.doubts += outcome.doubts.inconsistent();
        let edges = &mut self.edges;
        edges.real += score.edges_true;
        edges.found += score.edges_found;
        edges.missing += score.edges_missing;
        edges.unseen += score.edges_unseen;
        edges.invented += score.edges_invented;
        edges.unfolded += score.edges_unfolded;
        edges.masked += score.edges_masked;
        edges.undecided += score.edges_undecided;
        edges.miscounted += score.edges_miscounted;
        edges.short += score.edges_short;
        edges.estimated += score.edges_estimated;
        edges.beyond_error += score.edges_beyond_error;
        let errors =
            self.count_error_mean * before + score.count_error_mean * score.edges_found as f64;
        self.count_error_mean = errors / (edges.found as f64).max(1.0);
        self.count_error_max = self.count_error_max.max(score.count_error_max);
        self.connections_true += score.connections_true;
        self.connections_found += score.connections_found;
        let bytes = &mut self.bytes;
        bytes.real += score.bytes_true;
        bytes.off += score.bytes_off;
        bytes.misattributed += score.bytes_misattributed;
        bytes.unfolded += score.bytes_unfolded;
        bytes.masked += score.bytes_masked;
        bytes.ambiguous += score.bytes_ambiguous;
        bytes.unresolved += score.bytes_unresolved;
        self.ok = self.holds();
        self.name_errors(seed, outcome);
    }

    fn holds(&self) -> bool {
        let (edges, bytes) = (&self.edges, &self.bytes);
        let unnamed = bytes.ambiguous + bytes.unresolved;
        edges.invented == 0
            && bytes.misattributed == 0
            && edges.missing * MISSING_IN <= edges.real
            && unnamed * UNNAMED_IN <= bytes.real
            && edges.miscounted == 0
            && edges.beyond_error == 0
    }

    fn name_errors(&mut self, seed: u64, outcome: &Outcome) {
        let score = &outcome.score;
        let named = [
            ("invented", &score.invented),
            ("missing", &score.missing),
            ("unfolded", &score.unfolded),
        ];
        for (what, edges) in named {
            let had = self.wrong.iter().filter(|text| text.starts_with(what)).count();
            let more = edges.iter().take(EXAMPLES.saturating_sub(had));
            self.wrong.extend(more.map(|edge| format!("{what} (seed {seed}): {edge}")));
        }
        let had = self.wrong.iter().filter(|text| text.starts_with("miscounted")).count();
        for error in score.count_errors.iter().take(EXAMPLES.saturating_sub(had)) {
            self.wrong.push(format!(
                "miscounted (seed {seed}): {} has {} connections, {} found",
                error.edge, error.connections_true, error.connections_found
            ));
        }
    }

    fn share(&self, bytes: u64) -> f64 {
        bytes as f64 / self.bytes.real.max(1) as f64
    }
}

// === impl Board ===

impl Board {
    /// The board as a table, with the first errors of each class below it.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header([
            "faults",
            "fleets",
            "true",
            "found",
            "missing",
            "invented",
            "unfolded",
            "masked",
            "undecided",
            "misattr.",
            "ambiguous",
            "unresolved",
            "bytes off",
            "count max",
            "count mean",
            "",
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for class in &self.classes {
            let (edges, bytes) = (&class.edges, &class.bytes);
            table.add_row([
                class.faults.clone(),
                class.fleets.to_string(),
                output::count(edges.real),
                output::count(edges.found),
                output::count(edges.missing),
                output::count(edges.invented),
                output::count(edges.unfolded),
                output::count(edges.masked),
                output::count(edges.undecided),
                output::bytes(bytes.misattributed),
                percent(class.share(bytes.ambiguous)),
                percent(class.share(bytes.unresolved)),
                percent(class.share(bytes.off)),
                percent(class.count_error_max),
                percent(class.count_error_mean),
                if class.ok { "ok" } else { "WRONG" }.to_owned(),
            ]);
        }
        let mut text = format!("{table}\n");
        for class in self.classes.iter().filter(|class| !class.wrong.is_empty()) {
            let _ = writeln!(text, "\n{}:", class.faults);
            for wrong in &class.wrong {
                let _ = writeln!(text, "  {wrong}");
            }
        }
        text
    }
}

/// A share in percent, to a thousandth: the board's own bound on missing edges is 0.1 %.
fn percent(share: f64) -> String {
    if share == 0.0 { "0".to_owned() } else { format!("{:.3} %", share * 100.0) }
}
