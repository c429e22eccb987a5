//! Rows and packed windows, added up key by key; and the sum, packed again.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use portolan_model::{EntityId, Window};
use rustc_hash::FxHashMap;

use super::columns::{Columns, Tails};
use super::parts::{Contents, Head, Reverse};
use super::slice::{self, Names, Scratch};
use super::{COUNTERS, SLICE_ROWS, seal};
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

    /// Adds rows of one window, in the order of keys, one a key.
    pub(crate) fn add_rows(&mut self, rows: &[R]) {
        let mut key = Vec::with_capacity(64);
        let mut layer = None;
        let mut cursor = 0;
        for row in rows {
            key.clear();
            R::put_key(&mut key, row.key());
            if layer != Some(R::layer_of(&key)) || self.batch.len() == SLICE_ROWS {
                self.flush(layer, &mut cursor);
                if layer != Some(R::layer_of(&key)) {
                    self.settle(layer);
                    cursor = 0;
                }
                layer = Some(R::layer_of(&key));
            }
            let (client, server) = R::ends(row.key());
            let tail = self.tails.code(&key[R::TAIL_AT..]);
            let sums = row.sums();
            let (counters, latency) = sums.parts();
            self.batch.push((client.0, server.0, tail), &counters, sums.times(), latency);
        }
        self.flush(layer, &mut cursor);
        self.settle(layer);
    }

    /// Adds slices of a packed window, ascending, without their seals. With `only`, the rows that have this entity.
    /// Nothing if bytes do not read; what was read before stays in the sum.
    pub(crate) fn add_packed<'a>(
        &mut self,
        window: Window,
        layer: u8,
        head: &Head<'_>,
        only: Option<u64>,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Option<()> {
        let only = match only.map(|id| head.code(id)) {
            Some(None) => return Some(()),
            Some(Some(code)) => Some(code as i64),
            None => None,
        };
        let tails = head.tails.iter().map(|tail| self.tails.code(tail)).collect();
        let named = Named { head, tails };
        let mut cursor = 0;
        let mut whole = Some(());
        for body in slices {
            whole = slice::take(body, window, &named, only, &mut self.scratch, &mut self.batch);
            if whole.is_none() {
                break;
            }
            self.flush(Some(layer), &mut cursor);
        }
        self.batch.clear();
        self.settle(Some(layer));
        whole
    }

    fn flush(&mut self, layer: Option<u8>, cursor: &mut usize) {
        let Some(layer) = layer else { return };
        let table = self.tables.entry(layer).or_default();
        table.absorb(cursor, &self.batch, &self.tails, &mut self.new, &mut self.slots);
        self.batch.clear();
    }

    fn settle(&mut self, layer: Option<u8>) {
        let Some(layer) = layer else { return };
        let table = self.tables.entry(layer).or_default();
        table.settle(&mut self.new, &self.tails);
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
        let tables = self.tables.iter().map(|(layer, table)| (*layer, Self::present(table)));
        tables
            .filter(|(_, table)| table.len() > 0)
            .map(|(layer, table)| self.pack_table(window, layer, &table))
            .collect()
    }

    fn sums(table: &Columns, row: usize) -> R::Sums {
        let latency = table.latency.get(row).cloned();
        R::Sums::from_parts(table.sums(row), latency, (table.first[row], table.last[row]))
    }

    fn present(table: &Columns) -> std::borrow::Cow<'_, Columns> {
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
