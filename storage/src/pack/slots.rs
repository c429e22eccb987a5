//! Which rows of a table a batch of values belongs to, and how they are found: by a walk along two sorted lists.

/// Rows of a table, one for each value.
pub(super) enum Slots {
    /// These, one behind the other.
    Run(usize, usize),
    /// These; whether they ascend.
    Each(Vec<u32>, bool),
}

/// What [`find`] says of a key that is not there.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Walks at a time. A step waits for the one before, as it has no branch; those of other walks fill the time. With more,
/// there are too few registers.
const LANES: usize = 3;

/// Keys that are worth more than one walk.
const MANY: usize = 64;

/// What a walk came to.
#[derive(Copy, Clone)]
pub(super) struct Found {
    /// Rows before this one are behind the last key.
    pub(super) cursor: usize,
    /// Whether every key was found.
    pub(super) all: bool,
}

// === impl Slots ===

impl Default for Slots {
    fn default() -> Self {
        Self::Run(0, 0)
    }
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Run(from, to) => to - from,
            Self::Each(slots, _) => slots.len(),
        }
    }

    /// The row of the `n`th value.
    #[inline]
    pub(super) fn row(&self, n: usize) -> Option<usize> {
        match self {
            Self::Run(from, to) => Some(from + n).filter(|row| row < to),
            Self::Each(slots, _) => slots.get(n).map(|slot| *slot as usize),
        }
    }

    /// Whether each row is behind the one before.
    pub(super) fn ascend(&self) -> bool {
        matches!(self, Self::Run(..) | Self::Each(_, true))
    }

    /// The first value from the `from`th on whose row is not before one, at most `most` on. The rows ascend.
    pub(super) fn first_from(&self, row: usize, from: usize, most: usize) -> usize {
        match self {
            Self::Run(first, end) => (row.min(*end) - first).max(from),
            Self::Each(slots, _) => {
                let rest = &slots[from..slots.len().min(from + most)];
                from + rest.partition_point(|slot| (*slot as usize) < row)
            }
        }
    }

    #[inline]
    pub(super) fn add<T: Copy>(&self, to: &mut [T], values: &[T], add: impl Fn(T, T) -> T) {
        match self {
            Self::Run(from, end) => {
                let run = to[*from..*end].iter_mut().zip(values);
                run.for_each(|(mine, theirs)| *mine = add(*mine, *theirs));
            }
            Self::Each(slots, _) => {
                for (slot, value) in slots.iter().zip(values) {
                    let mine = &mut to[*slot as usize];
                    *mine = add(*mine, *value);
                }
            }
        }
    }
}

/// Finds each of the keys among rows that ascend, from a row on; keys that are not there are [`NOWHERE`]. That keys which
/// are found ascend, and come behind all before them, is certain then; of the others it is not. Nothing if they
/// were seen not to.
pub(super) fn find(rows: &[u64], from: usize, keys: &[u64], slots: &mut Vec<u32>) -> Option<Found> {
    slots.clear();
    slots.resize(keys.len(), NOWHERE);
    let (mut at, mut key, mut end) = ([from; LANES], [0; LANES], [keys.len(); LANES]);
    let (mut found, mut lanes) = (0, 1);
    if keys.len() > MANY {
        lanes = LANES;
        for lane in 1..LANES {
            let first = keys.len() * lane / LANES;
            (keys[first - 1] < keys[first]).then_some(())?;
            at[lane] = first_from(rows, at[lane - 1], first - key[lane - 1], keys[first]);
            (key[lane], end[lane - 1]) = (first, first);
        }
        found = walk(rows, keys, slots, (&mut at, &mut key, end));
    }
    // What is left, and where there are few: one walk after the other.
    for lane in 0..lanes {
        let (mut row, keys) = (at[lane], &keys[..end[lane]]);
        for (slot, wanted) in slots[key[lane]..].iter_mut().zip(&keys[key[lane]..]) {
            row += rows[row..].iter().take_while(|row| *row < wanted).count();
            let is_here = rows.get(row) == Some(wanted);
            *slot = if is_here { row as u32 } else { NOWHERE };
            found += usize::from(is_here);
            row += usize::from(is_here);
        }
        at[lane] = row;
    }
    Some(Found { cursor: at[lanes - 1], all: found == keys.len() })
}

/// Walks along several parts of the keys at a time, until one of them ends. The number of keys that were found comes back.
fn walk(
    rows: &[u64],
    keys: &[u64],
    slots: &mut [u32],
    (at_row, at_key, end): (&mut [usize; LANES], &mut [usize; LANES], [usize; LANES]),
) -> usize {
    let slots = &mut slots[..keys.len()];
    // Copies, which are kept in registers.
    let (mut at, mut key) = (*at_row, *at_key);
    let (rows_before, first): (usize, _) = (at.iter().sum(), key);
    let mut taken = 0;
    loop {
        // As many steps as none of the walks can end within.
        let left = |lane: usize| (end[lane] - key[lane]).min(rows.len() - at[lane]);
        let steps = (0..LANES).map(left).min().unwrap_or(0);
        if steps == 0 {
            break;
        }
        taken += steps * LANES;
        for _ in 0..steps {
            for lane in 0..LANES {
                let (row, wanted) = (rows[at[lane]], keys[key[lane]]);
                // Wrong while the row is before the key, and for a key that is not there.
                slots[key[lane]] = at[lane] as u32;
                key[lane] += usize::from(row >= wanted);
                at[lane] += usize::from(row <= wanted);
            }
        }
    }
    let passed: usize = key.iter().sum::<usize>() - first.iter().sum::<usize>();
    // A step that did not come to the next row was for a key that is not there.
    let lacking = taken - (at.iter().sum::<usize>() - rows_before);
    if lacking > 0 {
        for part in (0..LANES).map(|lane| first[lane]..key[lane]) {
            for (slot, wanted) in slots[part.clone()].iter_mut().zip(&keys[part]) {
                if rows[*slot as usize] != *wanted {
                    *slot = NOWHERE;
                }
            }
        }
    }
    (*at_row, *at_key) = (at, key);
    passed - lacking
}

/// The first row from `from` on that is not before a key, which is about `guess` rows ahead or a little more.
fn first_from(rows: &[u64], from: usize, guess: usize, key: u64) -> usize {
    let (mut low, mut high, mut step) = (from, from + guess, MANY / 2);
    while rows.get(high).is_some_and(|row| *row < key) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    low + rows[low..high.min(rows.len())].partition_point(|row| *row < key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_found_where_they_are_and_nowhere_else(
            rows in prop::collection::btree_set(0_u64..2_000, 0..600),
            more in prop::collection::btree_set(0_u64..2_000, 0..600),
            of in 0_u64..11,
            from in 0_usize..20,
        ) {
            let rows: Vec<u64> = rows.into_iter().collect();
            let from = from.min(rows.len());
            let least = from.checked_sub(1).map_or(0, |before| rows[before] + 1);
            let more = more.into_iter().filter(|_| of >= 8);
            let some = rows.iter().copied().filter(|key| key * 7 % 10 < of).chain(more);
            let keys: std::collections::BTreeSet<u64> = some.filter(|key| *key >= least).collect();
            let keys: Vec<u64> = keys.into_iter().collect();
            let mut slots = vec![3];
            let found = find(&rows, from, &keys, &mut slots).unwrap();
            let place = |key: &u64| rows.binary_search(key).map_or(NOWHERE, |row| row as u32);
            prop_assert_eq!(&slots, &keys.iter().map(place).collect::<Vec<_>>());
            prop_assert_eq!(found.all, !slots.contains(&NOWHERE));
            let behind = keys.last().map_or(from, |last| rows.partition_point(|row| row <= last));
            // A last key that is not there may leave the rows before it to the next walk.
            prop_assert!(found.cursor <= behind && rows[found.cursor..behind].iter().all(|row| row < keys.last().unwrap()));
        }

        #[test]
        fn keys_that_are_found_ascend(rows in prop::collection::btree_set(0_u64..400, 100..200), keys in prop::collection::vec(any::<prop::sample::Index>(), 1..200)) {
            let rows: Vec<u64> = rows.into_iter().collect();
            let keys: Vec<u64> = keys.iter().map(|at| *at.get(&rows)).collect();
            let mut slots = Vec::new();
            if find(&rows, 0, &keys, &mut slots).is_some_and(|found| found.all) {
                prop_assert!(keys.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
