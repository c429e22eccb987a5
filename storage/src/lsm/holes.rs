//! Windows that are known to lack something: one of the finer windows that they were merged from did not read.
//!
//! What is lost once must not look whole one level up. So a hole is written with the window that has it, goes up
//! with every further level, and is named by every answer, until the window is past its retention.

use std::collections::BTreeSet;

use fjall::{Keyspace, Readable, Snapshot};
use portolan_model::Window;

use crate::records::HOLE;

/// A window of a level, by its length, and a kind of rows.
pub(super) type Hole = (u32, Window, u8);

pub(super) type Holes = BTreeSet<Hole>;

/// The tally of such windows.
pub(super) const TALLY: &str = "unreadable/windows";

pub(super) fn key((secs, window, kind): Hole) -> [u8; 10] {
    let mut key = [HOLE; 10];
    key[1..5].copy_from_slice(&secs.to_be_bytes());
    key[5..9].copy_from_slice(&window.0.to_be_bytes());
    key[9] = kind;
    key
}

fn read(key: &[u8]) -> Option<Hole> {
    let [_, s0, s1, s2, s3, w0, w1, w2, w3, kind] = *key else { return None };
    let window = Window(u32::from_be_bytes([w0, w1, w2, w3]));
    Some((u32::from_be_bytes([s0, s1, s2, s3]), window, kind))
}

/// All of a store. A key that does not read is none of ours.
pub(super) fn load(snapshot: &Snapshot, meta: &Keyspace) -> fjall::Result<Holes> {
    let keys = snapshot.prefix(meta, [HOLE]).map(fjall::Guard::key);
    keys.filter_map(|key| key.map(|key| read(&key)).transpose()).collect()
}

/// The windows `[from, last]` of a level that lack rows of a kind.
pub(super) fn within(
    holes: &Holes,
    secs: u32,
    kind: u8,
    (from, last): (Window, Window),
) -> impl Iterator<Item = Window> + '_ {
    let range = (secs, from, 0)..=(secs, last, u8::MAX);
    holes.range(range).filter(move |hole| hole.2 == kind).map(|hole| hole.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_by_level_window_and_kind() {
        let all = [(60, 120, 1), (60, 180, 2), (60, 240, 1), (600, 0, 1)];
        let holes: Holes = all.iter().map(|(s, w, k)| (*s, Window(*w), *k)).collect();
        assert!(holes.iter().all(|hole| read(&key(*hole)) == Some(*hole)));
        let found = |secs, kind, from, last| -> Vec<u32> {
            within(&holes, secs, kind, (Window(from), Window(last))).map(|w| w.0).collect()
        };
        assert_eq!(found(60, 1, 0, 600), [120, 240]);
        assert_eq!(found(60, 1, 121, 240), [240]);
        assert_eq!(found(60, 2, 0, 179), [0; 0]);
        assert_eq!(found(600, 1, 0, 0), [0]);
    }
}
