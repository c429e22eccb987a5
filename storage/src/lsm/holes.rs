//! Windows that are known to lack something: their own bytes do not read, or those of one of the finer windows that they
//! were merged from.
//!
//! What is lost once must not look whole one level up. So a hole is written with the window that has it, goes up
//! with every further level, and is named by every answer, until the window is past its retention. A window whose own bytes
//! do not read is *set apart*: what is packed of it and what came late are not read again.

use std::collections::BTreeMap;

use fjall::{Keyspace, Readable, Snapshot};
use portolan_model::Window;

use crate::records::HOLE;

/// A window of a level, by its length, and a kind of rows.
pub(super) type Hole = (u32, Window, u8);

pub(super) type Holes = BTreeMap<Hole, Why>;

/// Why a window lacks something.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A finer window did not read when it was merged.
    Merged,
    /// Its own bytes do not read.
    Apart,
}

/// The tally of windows that were merged without one that did not read.
pub(super) const TALLY: &str = "unreadable/windows";

/// The tally of windows that were set apart.
pub(super) const APART: &str = "set_apart/windows";

/// The value of a hole. Versions that know no other reason write none.
pub(super) fn value(why: Why) -> &'static [u8] {
    match why {
        Why::Merged => &[],
        Why::Apart => &[1],
    }
}

pub(super) fn key((secs, window, kind): Hole) -> [u8; 10] {
    let mut key = [HOLE; 10];
    key[1..5].copy_from_slice(&secs.to_be_bytes());
    key[5..9].copy_from_slice(&window.0.to_be_bytes());
    key[9] = kind;
    key
}

pub(super) fn read(key: &[u8]) -> Option<Hole> {
    let [_, s0, s1, s2, s3, w0, w1, w2, w3, kind] = *key else { return None };
    let window = Window(u32::from_be_bytes([w0, w1, w2, w3]));
    Some((u32::from_be_bytes([s0, s1, s2, s3]), window, kind))
}

/// All of a store. A key that does not read is none of ours.
pub(super) fn load(snapshot: &Snapshot, meta: &Keyspace) -> fjall::Result<Holes> {
    let mut holes = Holes::new();
    for guard in snapshot.prefix(meta, [HOLE]) {
        let (key, value) = guard.into_inner()?;
        let why = if value.is_empty() { Why::Merged } else { Why::Apart };
        holes.extend(read(&key).map(|hole| (hole, why)));
    }
    Ok(holes)
}

/// The windows `[from, last]` of a level that lack rows of a kind.
pub(super) fn within(
    holes: &Holes,
    secs: u32,
    kind: u8,
    (from, last): (Window, Window),
) -> impl Iterator<Item = Window> + '_ {
    let range = (secs, from, 0)..=(secs, last, u8::MAX);
    holes.range(range).filter(move |(hole, _)| hole.2 == kind).map(|(hole, _)| hole.1)
}

/// The parts of `[from, last]` between the windows of a level that are set apart.
pub(super) fn between(
    holes: &Holes,
    secs: u32,
    kind: u8,
    (from, last): (Window, Window),
) -> Vec<(Window, Window)> {
    let range = (secs, from, 0)..=(secs, last, u8::MAX);
    let apart = holes.range(range).filter(|(hole, why)| hole.2 == kind && **why == Why::Apart);
    let (mut parts, mut next) = (Vec::new(), Some(from));
    for ((_, window, _), _) in apart {
        let before = window.0.checked_sub(1).map(Window);
        parts.extend(next.zip(before).filter(|(from, to)| from <= to));
        next = window.0.checked_add(secs).map(Window);
    }
    parts.extend(next.filter(|from| *from <= last).map(|from| (from, last)));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_by_level_window_and_kind() {
        let all = [(60, 120, 1), (60, 180, 2), (60, 240, 1), (600, 0, 1)];
        let holes = all.iter().map(|(s, w, k)| ((*s, Window(*w), *k), Why::Merged));
        let holes: Holes = holes.collect();
        assert!(holes.keys().all(|hole| read(&key(*hole)) == Some(*hole)));
        let found = |secs, kind, from, last| -> Vec<u32> {
            within(&holes, secs, kind, (Window(from), Window(last))).map(|w| w.0).collect()
        };
        assert_eq!(found(60, 1, 0, 600), [120, 240]);
        assert_eq!(found(60, 1, 121, 240), [240]);
        assert_eq!(found(60, 2, 0, 179), [0; 0]);
        assert_eq!(found(600, 1, 0, 0), [0]);
    }

    #[test]
    fn what_is_set_apart_is_left_out_of_what_is_read() {
        let holes = [(120, Why::Apart), (180, Why::Apart), (240, Why::Merged), (300, Why::Apart)];
        let holes: Holes = holes.iter().map(|(w, why)| ((60, Window(*w), 1), *why)).collect();
        let parts = |from, last| -> Vec<(u32, u32)> {
            let parts = between(&holes, 60, 1, (Window(from), Window(last)));
            parts.iter().map(|(from, to)| (from.0, to.0)).collect()
        };
        assert_eq!(parts(0, 600), [(0, 119), (240, 299), (360, 600)]);
        assert_eq!(parts(120, 359), [(240, 299)]);
        assert_eq!(parts(120, 120), []);
        assert_eq!(between(&holes, 60, 2, (Window(0), Window(600))), [(Window(0), Window(600))]);
    }
}
