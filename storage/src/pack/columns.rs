//! Rows as columns, in the order of keys, and the sum of two such tables.

use portolan_model::{Latency, Nanos};
use rustc_hash::FxHashMap;

use super::COUNTERS;

/// Rows as columns. The code of a tail is that of a [`Tails`].
#[derive(Clone, Default)]
pub(super) struct Columns {
    pub(super) clients: Vec<u64>,
    pub(super) servers: Vec<u64>,
    pub(super) tails: Vec<u32>,
    /// A column is empty while all of it is zero.
    pub(super) counters: [Vec<i64>; COUNTERS],
    pub(super) first: Vec<Nanos>,
    pub(super) last: Vec<Nanos>,
    /// Empty for rows that have none.
    pub(super) latency: Vec<[Latency; 3]>,
}

/// Key tails, numbered as they are met.
#[derive(Default)]
pub(super) struct Tails {
    bytes: Vec<Box<[u8]>>,
    codes: FxHashMap<Box<[u8]>, u32>,
}

/// Stands for a row that has no place yet.
const NEW: u32 = u32::MAX;

// === impl Tails ===

impl Tails {
    pub(super) fn code(&mut self, tail: &[u8]) -> u32 {
        if let Some(code) = self.codes.get(tail) {
            return *code;
        }
        let code = self.bytes.len() as u32;
        self.bytes.push(tail.into());
        self.codes.insert(tail.into(), code);
        code
    }

    pub(super) fn get(&self, code: u32) -> &[u8] {
        &self.bytes[code as usize]
    }
}

// === impl Columns ===

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn clear(&mut self) {
        self.clients.clear();
        self.servers.clear();
        self.tails.clear();
        self.counters.iter_mut().for_each(Vec::clear);
        self.first.clear();
        self.last.clear();
        self.latency.clear();
    }

    /// Appends a row.
    pub(super) fn push(
        &mut self,
        (client, server, tail): (u64, u64, u32),
        counters: &[i64; COUNTERS],
        times: (Nanos, Nanos),
        latency: Option<[Latency; 3]>,
    ) {
        let place = self.len();
        self.clients.push(client);
        self.servers.push(server);
        self.tails.push(tail);
        for (column, sum) in self.counters.iter_mut().zip(counters) {
            if !column.is_empty() || *sum != 0 {
                column.resize(place, 0);
                column.push(*sum);
            }
        }
        self.first.push(times.0);
        self.last.push(times.1);
        self.latency.extend(latency);
    }

    /// Appends all rows of another table.
    fn append(&mut self, other: &Self) {
        let (before, after) = (self.len(), self.len() + other.len());
        self.clients.extend_from_slice(&other.clients);
        self.servers.extend_from_slice(&other.servers);
        self.tails.extend_from_slice(&other.tails);
        for (column, others) in self.counters.iter_mut().zip(&other.counters) {
            if !column.is_empty() || !others.is_empty() {
                column.resize(before, 0);
                column.extend_from_slice(others);
                column.resize(after, 0);
            }
        }
        self.first.extend_from_slice(&other.first);
        self.last.extend_from_slice(&other.last);
        self.latency.extend_from_slice(&other.latency);
    }

    /// Appends a row of another table.
    pub(super) fn push_from(&mut self, other: &Self, row: usize) {
        let key = (other.clients[row], other.servers[row], other.tails[row]);
        let latency = other.latency.get(row).cloned();
        self.push(key, &other.sums(row), (other.first[row], other.last[row]), latency);
    }

    /// The counters of a row.
    pub(super) fn sums(&self, row: usize) -> [i64; COUNTERS] {
        std::array::from_fn(|place| self.counters[place].get(row).copied().unwrap_or(0))
    }

    /// Adds the rows of `batch`, which are in order, to those that have a place here, from `cursor` on; those
    /// that have none go to `new`, in order.
    pub(super) fn absorb(
        &mut self,
        cursor: &mut usize,
        batch: &Self,
        tails: &Tails,
        new: &mut Self,
        slots: &mut Vec<u32>,
    ) {
        slots.clear();
        let mut fresh = 0;
        for row in 0..batch.len() {
            let slot = self.find(cursor, batch, row, tails);
            fresh += u32::from(slot == NEW);
            slots.push(slot);
        }
        if fresh as usize == batch.len() {
            new.append(batch);
            return;
        }
        if fresh > 0 {
            for (row, _) in slots.iter().enumerate().filter(|(_, slot)| **slot == NEW) {
                new.push_from(batch, row);
            }
        }
        let whole = fresh == 0;
        for place in 0..COUNTERS {
            let from = &batch.counters[place];
            if !from.is_empty() {
                let to = &mut self.counters[place];
                to.resize(self.clients.len(), 0);
                scatter(slots, whole, from, to, i64::saturating_add);
            }
        }
        scatter(slots, whole, &batch.first, &mut self.first, Ord::min);
        scatter(slots, whole, &batch.last, &mut self.last, Ord::max);
        for (slot, theirs) in slots.iter().zip(&batch.latency).filter(|(slot, _)| **slot != NEW) {
            let mine = &mut self.latency[*slot as usize];
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.add(theirs));
        }
    }

    fn find(&self, cursor: &mut usize, batch: &Self, row: usize, tails: &Tails) -> u32 {
        let (client, server, tail) = (batch.clients[row], batch.servers[row], batch.tails[row]);
        let ends = (client, server);
        while let Some(at) = self.clients.get(*cursor) {
            let here = (*at, self.servers[*cursor]);
            if here == ends {
                let other = self.tails[*cursor];
                if other == tail {
                    *cursor += 1;
                    return (*cursor - 1) as u32;
                }
                if tails.get(other) > tails.get(tail) {
                    return NEW;
                }
            } else if here > ends {
                return NEW;
            }
            *cursor += 1;
        }
        NEW
    }

    /// Takes in rows that have no place here yet, which are in order.
    pub(super) fn settle(&mut self, new: &mut Self, tails: &Tails) {
        if new.len() == 0 {
            return;
        }
        if self.len() == 0 {
            std::mem::swap(self, new);
            return;
        }
        let key = |of: &Self, row: usize| (of.clients[row], of.servers[row]);
        // Place of each row of the sum, in both tables one behind the other.
        let mut order = Vec::with_capacity(self.len() + new.len());
        let (mut mine, mut theirs) = (0, 0);
        while mine < self.len() && theirs < new.len() {
            let ends = key(self, mine).cmp(&key(new, theirs));
            let tail = || tails.get(self.tails[mine]).cmp(tails.get(new.tails[theirs]));
            if ends.then_with(tail).is_lt() {
                order.push(mine as u32);
                mine += 1;
            } else {
                order.push((self.len() + theirs) as u32);
                theirs += 1;
            }
        }
        order.extend((mine..self.len()).map(|row| row as u32));
        order.extend((theirs..new.len()).map(|row| (self.len() + row) as u32));
        let len = self.len();
        gather(&order, len, &mut self.clients, &new.clients);
        gather(&order, len, &mut self.servers, &new.servers);
        gather(&order, len, &mut self.tails, &new.tails);
        gather(&order, len, &mut self.first, &new.first);
        gather(&order, len, &mut self.last, &new.last);
        for (column, others) in self.counters.iter_mut().zip(&mut new.counters) {
            if !column.is_empty() || !others.is_empty() {
                column.resize(len, 0);
                others.resize(new.clients.len(), 0);
                gather(&order, len, column, others);
            }
        }
        if !self.latency.is_empty() {
            self.latency.append(&mut new.latency);
            let take = |row: &u32| std::mem::take(&mut self.latency[*row as usize]);
            self.latency = order.iter().map(take).collect();
        }
        new.clear();
    }
}

/// Adds each value to its slot; `whole` says that every one has a slot.
fn scatter<T: Copy>(slots: &[u32], whole: bool, from: &[T], to: &mut [T], add: impl Fn(T, T) -> T) {
    let ends = slots.first().copied().zip(slots.last().copied());
    let run = ends.filter(|(first, last)| whole && (last - first) as usize == slots.len() - 1);
    // Slots are ascending: from first to last without a gap, they are one run.
    if let Some((first, last)) = run {
        let run = &mut to[first as usize..=last as usize];
        run.iter_mut().zip(from).for_each(|(mine, theirs)| *mine = add(*mine, *theirs));
        return;
    }
    for (slot, value) in slots.iter().zip(from) {
        if let Some(mine) = to.get_mut(*slot as usize) {
            *mine = add(*mine, *value);
        }
    }
}

/// The rows of both, in the order given.
fn gather<T: Copy>(order: &[u32], len: usize, mine: &mut Vec<T>, theirs: &[T]) {
    let pick = |row: &u32| {
        let row = *row as usize;
        if row < len { mine[row] } else { theirs[row - len] }
    };
    *mine = order.iter().map(pick).collect();
}
