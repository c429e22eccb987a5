//! What stages count of themselves, and how it leaves.
//!
//! A stage lists its counts once, each by its name, and [`tell`] is the only way out: so what is listed is told, and is
//! dropped where memory was rebuilt, because it was counted before the restart.

use std::borrow::Cow;

use portolan_model::Barrier;

/// A count by its name.
pub(crate) type Count<'a> = (Cow<'static, str>, &'a mut i64);

/// A count whose name is known.
pub(crate) const fn count<'a>(name: &'static str, of: &'a mut i64) -> Count<'a> {
    (Cow::Borrowed(name), of)
}

/// Tells what was counted since the last barrier, unless memory was rebuilt, and begins anew.
pub(crate) fn tell<'a>(counts: impl IntoIterator<Item = Count<'a>>, barrier: &mut Barrier) {
    for (name, count) in counts {
        let counted = std::mem::take(count);
        if counted != 0 && !barrier.rebuild {
            barrier.tallies.push((name.into(), counted));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;
    use crate::{Line, LineConfig, Restored};

    /// Every count of the line.
    fn counts(line: &mut Line) -> Vec<Count<'_>> {
        let Line { front, aggregator, .. } = line;
        front.counts().into_iter().chain(aggregator.counts()).collect()
    }

    /// What a barrier tells, after every count was set.
    fn told(line: &mut Line, rebuild: bool) -> BTreeMap<String, i64> {
        for (_, count) in counts(line) {
            *count = 7;
        }
        let barrier = Barrier { rebuild, ..crate::check::barrier(1, 0) };
        let commit = line.barrier(barrier);
        assert_eq!(commit.is_none(), rebuild);
        let tallies = commit.into_iter().flat_map(|commit| commit.tallies);
        tallies.map(|(name, counted)| (name.to_string(), counted)).collect()
    }

    #[test]
    fn whatever_is_counted_is_told_at_the_next_barrier_and_once() {
        let mut line = Line::new(&LineConfig::default(), &Restored::default());
        let names: BTreeSet<String> =
            counts(&mut line).iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names.len(), counts(&mut line).len(), "two counts of one name");
        assert!(names.contains("duplicates") && names.contains("spans_late"));
        let told = told(&mut line, false);
        assert_eq!(told, names.into_iter().map(|name| (name, 7)).collect());
        assert!(counts(&mut line).iter().all(|(_, count)| **count == 0));
    }

    /// Counts of what is read again were told before the restart. Three were once told twice.
    #[test]
    fn whatever_is_counted_while_memory_is_rebuilt_is_dropped() {
        let mut line = Line::new(&LineConfig::default(), &Restored::default());
        assert_eq!(told(&mut line, true), BTreeMap::new());
        let kept: Vec<String> = counts(&mut line)
            .into_iter()
            .filter(|(_, count)| **count != 0)
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(kept, Vec::<String>::new());
        let after = line.barrier(crate::check::barrier(2, 0)).expect("no rebuild");
        assert_eq!(after.tallies, Vec::new());
    }

    /// What left by another way would not be among the counts that the tests above set.
    #[test]
    fn counts_leave_by_one_way() {
        let mut ways = Vec::new();
        search(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut ways);
        ways.sort();
        // The compactor passes them on.
        assert_eq!(ways, ["compactor.rs", "tally.rs"]);
    }

    /// The files under a folder that touch a barrier's tallies, but for tests.
    fn search(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                search(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let squeezed: String = text.split_whitespace().collect();
            if name != "tests.rs" && squeezed.contains("barrier.tallies") {
                found.push(name);
            }
        }
    }
}
