//! First and last times of the rows of a table, and which rows a window can tell anything new of.

use portolan_model::Nanos;

use super::slots::Slots;
use super::table::gather;

/// See the module.
#[derive(Default)]
pub(super) struct Times {
    /// First and last of each row.
    each: Vec<(Nanos, Nanos)>,
    /// Of each block of rows: no first time is later, and no last one earlier. They were seen some time ago:
    /// times only move apart.
    bounds: Vec<(Nanos, Nanos)>,
}

/// Rows of a block.
const BLOCK: usize = 64;

/// Times that are not known.
const UNKNOWN: (Nanos, Nanos) = (Nanos::MAX, 0);

// === impl Times ===

impl Times {
    /// First and last time of a row.
    pub(super) fn of(&self, row: usize) -> (Nanos, Nanos) {
        self.each[row]
    }

    /// Makes room for rows.
    pub(super) fn resize(&mut self, rows: usize) {
        let before = self.each.len();
        if rows > before {
            self.each.resize(rows, UNKNOWN);
            self.bounds.truncate(before / BLOCK);
            self.bounds.resize(rows.div_ceil(BLOCK), UNKNOWN);
        }
    }

    /// Moves rows to the order given.
    pub(super) fn gather(&mut self, order: &[u32]) {
        gather(order, &mut self.each);
        self.bounds.fill(UNKNOWN);
    }

    /// Those of these rows, each by its number among them, of which times from `from` on and before `to` may tell
    /// anything new. That is few of them, but for the first and the last windows that are added.
    pub(super) fn unknown(
        &mut self,
        slots: &Slots,
        (from, to): (Nanos, Nanos),
        unknown: &mut Vec<usize>,
    ) {
        unknown.clear();
        let is_new = |of: (Nanos, Nanos)| of.0 > from || of.1 < to;
        let (Some(first), Some(last)) = (slots.row(0), slots.row(slots.len().saturating_sub(1)))
        else {
            return;
        };
        let ascend = slots.ascend();
        if ascend && !self.bounds[first / BLOCK..=last / BLOCK].iter().any(|of| is_new(*of)) {
            return;
        }
        unknown.resize(slots.len(), 0);
        let (mut found, mut number) = (0, 0);
        while let Some(row) = slots.row(number) {
            let block = row / BLOCK;
            let next = if ascend {
                slots.first_from((block + 1) * BLOCK, number, BLOCK)
            } else {
                slots.len()
            };
            if !ascend || is_new(self.bounds[block]) {
                let before = found;
                // Written always, counted if it is new: there is no branch.
                let mut see = |(number, of): (usize, &(Nanos, Nanos))| {
                    unknown[found] = number;
                    found += usize::from(is_new(*of));
                };
                match slots {
                    Slots::Run(..) => {
                        (number..).zip(&self.each[row..row + next - number]).for_each(&mut see);
                    }
                    Slots::Each(slots, _) => {
                        let times =
                            slots[number..next].iter().map(|slot| &self.each[*slot as usize]);
                        (number..).zip(times).for_each(&mut see);
                    }
                }
                if ascend && found == before {
                    self.look_at(block);
                }
            }
            number = next;
        }
        unknown.truncate(found);
    }

    /// Makes the bounds of a block true to what its rows are now.
    fn look_at(&mut self, block: usize) {
        let rows = self.each[block * BLOCK..].iter().take(BLOCK);
        let widest =
            |most: (Nanos, Nanos), of: &(Nanos, Nanos)| (most.0.max(of.0), most.1.min(of.1));
        self.bounds[block] = rows.fold((0, Nanos::MAX), widest);
    }

    /// Takes in first and last times of some of these rows, by their numbers.
    pub(super) fn see_some(
        &mut self,
        slots: &Slots,
        numbers: &[usize],
        times: impl Iterator<Item = (Nanos, Nanos)>,
    ) {
        for (number, of) in numbers.iter().zip(times) {
            if let Some(row) = slots.row(*number) {
                see(&mut self.each[row], of);
            }
        }
    }

    /// Takes in first and last times of these rows.
    pub(super) fn see(&mut self, slots: &Slots, times: impl Iterator<Item = (Nanos, Nanos)>) {
        match slots {
            Slots::Run(from, to) => {
                self.each[*from..*to].iter_mut().zip(times).for_each(|(mine, of)| see(mine, of));
            }
            Slots::Each(slots, _) => {
                let slots = slots.iter().zip(times);
                slots.for_each(|(slot, of)| see(&mut self.each[*slot as usize], of));
            }
        }
    }
}

#[inline]
fn see(mine: &mut (Nanos, Nanos), of: (Nanos, Nanos)) {
    *mine = (mine.0.min(of.0), mine.1.max(of.1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_moved_are_looked_at_as_what_they_are_now() {
        let (first, second) = (Slots::Run(0, BLOCK), Slots::Run(BLOCK, 2 * BLOCK));
        let mut times = Times::default();
        times.resize(2 * BLOCK);
        times.see(&first, std::iter::repeat((10, 20)));
        times.see(&second, std::iter::repeat((15, 16)));
        let mut unknown = Vec::new();
        times.unknown(&first, (10, 20), &mut unknown);
        assert_eq!(unknown, []);
        let order: Vec<u32> = (BLOCK as u32..2 * BLOCK as u32).chain(0..BLOCK as u32).collect();
        times.gather(&order);
        times.unknown(&first, (10, 20), &mut unknown);
        assert_eq!(unknown, (0..BLOCK).collect::<Vec<_>>());
        assert_eq!((times.of(0), times.of(BLOCK)), ((15, 16), (10, 20)));
    }
}
