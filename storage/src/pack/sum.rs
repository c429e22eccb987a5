//! Rows and packed windows, added up key by key; and the sum, packed again.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use portolan_model::{EntityId, Window};
use rustc_hash::FxHashMap;

use super::columns::{Columns, Tails};
use super::parts::{Contents, Head, Reverse};
use super::slice::{self, Names, Scratch};
use super::{COUNTERS, SLICE_ROWS, seal, unseal};
use crate::row::{Row, Sum};

/// The sum of any number of windows. Rows of different layers are tables of their own, as on disk.
pub(crate) struct Summer<R> {
    tails: Tails,
    tables: BTreeMap<u8, Columns>,
    new: Columns,
    batch: Columns,
    slots: Vec<u32>,
    scratch: Scratch,
    of: PhantomData<R>,
}

/// The parts of one packed window and layer.
pub(crate) struct Packed {
    pub(crate) layer: u8,
    pub(crate) rows: usize,
    pub(crate) head: Vec<u8>,
    pub(crate) slices: Vec<Vec<u8>>,
    pub(crate) reverse: Vec<u8>,
}

/// The names in a head, with its tails in the codes of a sum.
struct Named<'a> {
    head: &'a Head<'a>,
    tails: Vec<u32>,
}

// === impl Named ===

impl Names for Named<'_> {
    #[inline]
    fn entity(&self, code: i64) -> Option<u64> {
        self.head.entity(usize::try_from(code).ok()?)
    }

    #[inline]
    fn tail(&self, code: i64) -> Option<u32> {
        self.tails.get(usize::try_from(code).ok()?).copied()
    }
}

// === impl Summer ===

impl<R: Row> Summer<R> {
    pub(crate) fn new() -> Self {
        Self {
            tails: Tails::default(),
            tables: BTreeMap::new(),
            new: Columns::default(),
            batch: Columns::default(),
            slots: Vec::new(),
            scratch: Scratch::default(),
            of: PhantomData,
        }
    }

    /// Different keys so far.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(Columns::len).sum()
    }

    /// Adds rows, of any windows, in any order.
    pub(crate) fn add_rows(&mut self, rows: &[R]) {
        let mut keyed: Vec<(Vec<u8>, &R)> = Vec::with_capacity(rows.len());
        for row in rows {
            let mut key = Vec::with_capacity(40);
            R::put_key(&mut key, &R::moved(row.key(), Window(0)));
            keyed.push((key, row));
        }
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        let mut at = 0;
        while at < keyed.len() {
            let layer = R::layer_of(&keyed[at].0);
            let len = keyed[at..].partition_point(|(key, _)| R::layer_of(key) == layer);
            self.batch.clear();
            for same in keyed[at..at + len].chunk_by(|a, b| a.0 == b.0) {
                let mut sums = same[0].1.sums();
                same[1..].iter().for_each(|(_, row)| sums.merge(&row.sums()));
                let (client, server) = R::ends(same[0].1.key());
                let tail = self.tails.code(&same[0].0[R::TAIL_AT..]);
                let (counters, latency) = sums.parts();
                let times = sums.times();
                self.batch.push((client.0, server.0, tail), &counters, times, latency);
            }
            let table = self.tables.entry(layer).or_default();
            table.absorb(&mut 0, &self.batch, &self.tails, &mut self.new, &mut self.slots);
            table.settle(&mut self.new, &self.tails);
            at += len;
        }
    }

    /// Adds slices of a packed window, ascending, each of which `slice` gives. With `only`, the rows that have this
    /// entity. Nothing if bytes are not what was written: the sum is then of no use.
    pub(crate) fn add_packed<B: AsRef<[u8]>, E>(
        &mut self,
        window: Window,
        layer: u8,
        head: &Head<'_>,
        only: Option<u64>,
        slices: impl Iterator<Item = Result<Option<B>, E>>,
    ) -> Result<Option<()>, E> {
        let only = match only.map(|id| head.code(id)) {
            Some(None) => return Ok(Some(())),
            Some(Some(code)) => Some(code as i64),
            None => None,
        };
        let tails = head.tails.iter().map(|tail| self.tails.code(tail)).collect();
        let named = Named { head, tails };
        let table = self.tables.entry(layer).or_default();
        let mut cursor = 0;
        for part in slices {
            let Some(part) = part? else { return Ok(None) };
            let read = unseal(part.as_ref()).and_then(|body| {
                slice::take(body, window, &named, only, &mut self.scratch, &mut self.batch)
            });
            if read.is_none() {
                return Ok(None);
            }
            let (new, slots) = (&mut self.new, &mut self.slots);
            table.absorb(&mut cursor, &self.batch, &self.tails, new, slots);
        }
        table.settle(&mut self.new, &self.tails);
        Ok(Some(()))
    }

    /// Visits the sums in the order of keys, each in `window`; those that come to nothing are left out.
    pub(crate) fn visit(&self, window: Window, visit: &mut dyn FnMut(&R)) {
        let mut known: FxHashMap<u32, Option<R::Key>> = FxHashMap::default();
        let mut bytes = Vec::new();
        for (layer, table) in &self.tables {
            known.clear();
            for row in 0..table.len() {
                let sums = Self::sums(table, row);
                if sums.is_zero() {
                    continue;
                }
                let (client, server) = (table.clients[row], table.servers[row]);
                let template = known.entry(table.tails[row]).or_insert_with(|| {
                    bytes.clear();
                    R::put_bytes(&mut bytes, *layer, self.tails.get(table.tails[row]));
                    R::read_key(&bytes)
                });
                // A tail comes from a key, or from a part whose checksum is right.
                if let Some(template) = template {
                    let ends = (EntityId(client), EntityId(server));
                    visit(&R::new(R::between(template, window, ends), sums));
                }
            }
        }
    }

    /// The sum as a packed window, one for each layer; rows that come to nothing are left out.
    pub(crate) fn pack(&self, window: Window) -> Vec<Packed> {
        let tables = self.tables.iter().map(|(layer, table)| (*layer, self.present(table)));
        tables
            .filter(|(_, table)| table.len() > 0)
            .map(|(layer, table)| self.pack_table(window, layer, &table))
            .collect()
    }

    fn sums(table: &Columns, row: usize) -> R::Sums {
        let latency = table.latency.get(row).cloned();
        R::Sums::from_parts(table.sums(row), latency, (table.first[row], table.last[row]))
    }

    fn present<'a>(&self, table: &'a Columns) -> std::borrow::Cow<'a, Columns> {
        let zero = |row: usize| Self::sums(table, row).is_zero();
        if !(0..table.len()).any(zero) {
            return std::borrow::Cow::Borrowed(table);
        }
        let mut kept = Columns::default();
        (0..table.len()).filter(|row| !zero(*row)).for_each(|row| kept.push_from(table, row));
        std::borrow::Cow::Owned(kept)
    }

    fn pack_table(&self, window: Window, layer: u8, table: &Columns) -> Packed {
        let mut ids: Vec<u64> = table.clients.iter().chain(&table.servers).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let codes: FxHashMap<u64, i64> = ids.iter().copied().zip(0..).collect();
        let mut used: Vec<u32> = table.tails.clone();
        used.sort_unstable();
        used.dedup();
        used.sort_by(|a, b| self.tails.get(*a).cmp(self.tails.get(*b)));
        let tail_codes: FxHashMap<u32, i64> = used.iter().copied().zip(0..).collect();
        let key = |row: usize| {
            let code = |id: u64| codes[&id];
            (code(table.clients[row]), code(table.servers[row]), tail_codes[&table.tails[row]])
        };
        let mut slices = Vec::new();
        let mut firsts = Vec::new();
        let mut reverse = vec![Vec::new(); ids.len()];
        for from in (0..table.len()).step_by(SLICE_ROWS) {
            let rows = from..(from + SLICE_ROWS).min(table.len());
            firsts.push((rows.len() as u64, key(from).0 as u64));
            for row in rows.clone() {
                let servers: &mut Vec<u32> = &mut reverse[key(row).1 as usize];
                if servers.last() != Some(&(slices.len() as u32)) {
                    servers.push(slices.len() as u32);
                }
            }
            let mut body = Vec::new();
            slice::put(&mut body, window, table, rows, key);
            slices.push(seal(&body));
        }
        let total = |column: &Vec<i64>| column.iter().fold(0, |a: i64, b| a.saturating_add(*b));
        let tails: Vec<&[u8]> = used.iter().map(|code| self.tails.get(*code)).collect();
        let contents = Contents {
            rows: table.len() as u64,
            totals: std::array::from_fn::<_, COUNTERS, _>(|n| total(&table.counters[n])),
            ids: &ids,
            slices: firsts,
            tails: &tails,
        };
        Packed {
            layer,
            rows: table.len(),
            head: Head::put(&contents),
            slices,
            reverse: Reverse::put(&reverse),
        }
    }
}
