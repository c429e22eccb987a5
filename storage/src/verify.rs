//! What a store is checked for beyond what every open looks at: the checks by name, and what they found.

/// What is checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Every block of every table, and every value in it, reads.
    TablesRead,
    /// Every row, late row and owner means something, and stands where its window belongs.
    RowsRead,
    /// Every part of a packed window has its checksum, and none is missing or too many.
    PartsWhole,
    /// The rows of a packed window are as many, and come to as much, as its head says.
    TotalsAgree,
    /// Every entity that a row names is in the catalogue.
    EntitiesKnown,
    /// No row counts less than nothing.
    CountsNotNegative,
    /// No level is ahead of the finer one, and none lets go of what the coarser one has not taken over.
    MarksInOrder,
    /// Where two levels hold the same time, they hold the same sums.
    LevelsAgree,
    /// Every window that is packed has all that it was made of.
    NothingLacking,
    /// What was counted has the offsets that it was read up to, and none is out of order.
    OffsetsPresent,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub check: Check,
    /// How many things it looked at.
    pub looked_at: u64,
    /// How many of them are not as they should be.
    pub broken: u64,
    /// The first of these.
    pub faults: Vec<String>,
}

/// How far a verification is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VerifyStep {
    /// What is done: reading keyspaces, or comparing windows of levels.
    pub what: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// Faults of a check that are told one by one: a screen of them.
const TOLD: usize = 20;

/// All checks, as far as they have come.
pub(crate) struct Findings(Vec<Found>);

// === impl Check ===

impl Check {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::TablesRead,
        Self::RowsRead,
        Self::PartsWhole,
        Self::TotalsAgree,
        Self::EntitiesKnown,
        Self::CountsNotNegative,
        Self::MarksInOrder,
        Self::LevelsAgree,
        Self::NothingLacking,
        Self::OffsetsPresent,
    ];

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TablesRead => "tables_read",
            Self::RowsRead => "rows_read",
            Self::PartsWhole => "parts_whole",
            Self::TotalsAgree => "totals_agree",
            Self::EntitiesKnown => "entities_known",
            Self::CountsNotNegative => "counts_not_negative",
            Self::MarksInOrder => "marks_in_order",
            Self::LevelsAgree => "levels_agree",
            Self::NothingLacking => "nothing_lacking",
            Self::OffsetsPresent => "offsets_present",
        }
    }

    /// What it looks at, in the plural.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::TablesRead => "values",
            Self::RowsRead | Self::EntitiesKnown | Self::CountsNotNegative => "rows",
            Self::PartsWhole => "parts",
            Self::TotalsAgree | Self::LevelsAgree | Self::NothingLacking => "windows",
            Self::MarksInOrder => "levels",
            Self::OffsetsPresent => "partitions",
        }
    }
}

// === impl Findings ===

impl Findings {
    pub(crate) fn new() -> Self {
        let found = |check| Found { check, looked_at: 0, broken: 0, faults: Vec::new() };
        Self(Check::ALL.map(found).into())
    }

    /// Counts something that was looked at, and its fault if it has one.
    pub(crate) fn see(&mut self, check: Check, fault: Option<String>) {
        self.of(check).looked_at += 1;
        if let Some(fault) = fault {
            self.fault(check, fault);
        }
    }

    /// Counts something that is not as it should be.
    pub(crate) fn fault(&mut self, check: Check, fault: String) {
        let found = self.of(check);
        found.broken += 1;
        if found.faults.len() < TOLD {
            found.faults.push(fault);
        }
    }

    pub(crate) fn finish(self) -> Vec<Found> {
        self.0
    }

    fn of(&mut self, check: Check) -> &mut Found {
        let at = self.0.iter().position(|found| found.check == check);
        &mut self.0[at.expect("every check has its finding")]
    }
}
