//! Rows and packed windows, added up key by key; and the sum, packed again.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

use portolan_model::{EntityId, Latency, Nanos, Window};

use super::names::Codes;
use super::parts::{Contents, Head, Reverse};
use super::slice::{self, Scratch, Wanted};
use super::table::{Table, Walk};
use super::{COUNTERS, Each, SLICE_ROWS, seal};
use crate::row::{Row, Sum};

/// The sum of any number of windows. Rows of different layers are tables of their own, as on disk.
pub(crate) struct Summer<R> {
    tables: BTreeMap<u8, Table>,
    scratch: Scratch,
    overfull: bool,
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

/// A packed window and layer, with those of its slices that are to be added, ascending, without their seals. Each is
/// asked for when it is its turn: it is near the core then.
pub(crate) struct Opened<'a, S> {
    pub(crate) window: Window,
    pub(crate) layer: u8,
    pub(crate) head: Head<'a>,
    pub(crate) slices: S,
}

/// A packed window that did not read, by its place among those that were added. Some of its rows may be in the sum.
pub(crate) struct Unread<E> {
    pub(crate) place: usize,
    /// What came instead of a slice; nothing if a slice makes no sense.
    pub(crate) why: Option<E>,
}

/// A window that is being added.
struct Turn<'a> {
    place: usize,
    wanted: Wanted<'a>,
    walk: Walk,
    /// Its next slice.
    slice: usize,
    /// Slices by which it is ahead of the others.
    lead: usize,
    /// When it is its turn: the first client of the slice that is so much behind its next one. Nothing comes first.
    at: Option<u64>,
}

/// Rows of one window and layer, as a table takes them in.
#[derive(Default)]
struct Columns {
    ends: Vec<(u64, u64)>,
    /// Tails, one behind the other, and where each ends.
    bytes: Vec<u8>,
    tails: Vec<usize>,
    counters: Each<Vec<i64>>,
    times: Vec<(Nanos, Nanos)>,
    latency: Vec<[Latency; 3]>,
}

// === impl Columns ===

impl Columns {
    fn push(&mut self, ends: (EntityId, EntityId), tail: &[u8], sums: &impl Sum) {
        let (counters, latency) = sums.parts();
        self.ends.push((ends.0.0, ends.1.0));
        self.bytes.extend_from_slice(tail);
        self.tails.push(self.bytes.len());
        self.counters.iter_mut().zip(counters).for_each(|(column, sum)| column.push(sum));
        self.times.push(sums.times());
        self.latency.extend(latency);
    }

    fn add_to(&self, table: &mut Table) -> Option<()> {
        let from = |row: usize| row.checked_sub(1).map_or(0, |before| self.tails[before]);
        let each = (0..self.ends.len()).map(|row| &self.bytes[from(row)..self.tails[row]]);
        let tails: Vec<&[u8]> = each.collect();
        let mut names = tails.clone();
        names.sort_unstable();
        names.dedup();
        let mut ids: Vec<u64> = self.ends.iter().flat_map(|(a, b)| [*a, *b]).collect();
        ids.sort_unstable();
        ids.dedup();
        let codes = table.learn(ids.iter().copied(), names.iter().copied())?;
        let id = |id: &u64| ids.binary_search(id).map_or(-1, |at| at as i64);
        let tail = |tail: &&[u8]| names.binary_search(tail).map_or(-1, |at| at as i64);
        let key = |((client, server), of): (&(u64, u64), &&[u8])| {
            Some(codes.client(id(client))? | codes.rest(id(server), tail(of))?)
        };
        let keys = self.ends.iter().zip(&tails).map(key).collect::<Option<Vec<u64>>>()?;
        table.begin_windows(1);
        table.place(&mut Walk::default(), &keys)?;
        for (counter, column) in self.counters.iter().enumerate() {
            let most = column.iter().map(|sum| sum.unsigned_abs()).max().unwrap_or(0);
            if most > 0 {
                table.count_some(counter, column, most);
            }
        }
        table.see(self.times.iter().copied());
        for (row, theirs) in self.latency.iter().enumerate() {
            let mine = table.latency(row)?;
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.add(theirs));
        }
        Some(())
    }
}

// === impl Summer ===

impl<R: Row> Summer<R> {
    pub(crate) fn new() -> Self {
        let (tables, scratch) = (BTreeMap::new(), Scratch::default());
        Self { tables, scratch, overfull: false, of: PhantomData }
    }

    /// Different keys so far.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(Table::len).sum()
    }

    /// Whether there were more names than keys can be made of: the sum is not whole.
    pub(crate) fn is_overfull(&self) -> bool {
        self.overfull
    }

    /// Adds rows of one window, in the order of keys, one a key.
    pub(crate) fn add_rows(&mut self, rows: &[R]) {
        let mut key = Vec::with_capacity(64);
        let mut columns = Columns::default();
        let mut layer = None;
        for row in rows {
            key.clear();
            R::put_key(&mut key, row.key());
            if let Some(before) = layer.replace(R::layer_of(&key))
                && before != R::layer_of(&key)
            {
                self.add_columns(before, &std::mem::take(&mut columns));
            }
            columns.push(R::ends(row.key()), &key[R::TAIL_AT..], &row.sums());
        }
        if let Some(layer) = layer {
            self.add_columns(layer, &columns);
        }
    }

    fn add_columns(&mut self, layer: u8, columns: &Columns) {
        let table = self.tables.entry(layer).or_default();
        self.overfull |= columns.add_to(table).is_none();
        table.end_windows();
    }

    /// Adds packed windows. With `only`, the rows that have this entity. Those that do not read come back.
    pub(crate) fn add_packed<S, B, E>(
        &mut self,
        mut opened: Vec<Opened<'_, S>>,
        only: Option<u64>,
    ) -> Vec<Unread<E>>
    where
        S: Iterator<Item = Result<B, E>>,
        B: AsRef<[u8]>,
    {
        let mut unread = Vec::new();
        let mut layers: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (place, one) in opened.iter().enumerate() {
            layers.entry(one.layer).or_default().push(place);
        }
        for (layer, places) in layers {
            let table = self.tables.entry(layer).or_default();
            if let Some(id) = only {
                for place in places {
                    let added = add_some(table, &mut opened[place], id, &mut self.scratch);
                    unread.extend(added.err().map(|why| Unread { place, why }));
                }
                continue;
            }
            // The first two tell nearly all of the keys: the others find them in order then.
            let known = if table.len() == 0 { places.len().min(2) } else { 0 };
            let (first, rest) = places.split_at(known);
            for places in first.chunks(1).chain([rest]) {
                let scratch = &mut self.scratch;
                let whole = add_all(table, &mut opened, places, scratch, &mut unread).is_some();
                self.overfull |= !whole;
                table.settle_for(rest.len());
            }
        }
        unread
    }

    /// Visits the sums in the order of keys, each in `window`; those that come to nothing are left out.
    pub(crate) fn visit(&mut self, window: Window, visit: &mut dyn FnMut(&R)) {
        let mut bytes = Vec::new();
        for (layer, table) in &mut self.tables {
            table.settle();
            let names = table.names();
            let mut template = |tail: &[u8]| {
                bytes.clear();
                R::put_bytes(&mut bytes, *layer, tail);
                R::read_key(&bytes)
            };
            let templates: Vec<_> = names.tails().iter().map(|tail| template(tail)).collect();
            for row in 0..table.len() {
                let sums = Self::sums(table, row);
                if sums.is_zero() {
                    continue;
                }
                let (client, server, tail) = names.split(table.key(row));
                // A tail comes from a key, or from a part whose checksum is right.
                if let Some(template) = &templates[tail] {
                    let ends = (EntityId(names.ids()[client]), EntityId(names.ids()[server]));
                    visit(&R::new(R::between(template, window, ends), sums));
                }
            }
        }
    }

    /// The sum as a packed window, one for each layer; rows that come to nothing are left out.
    pub(crate) fn pack(&mut self, window: Window) -> Vec<Packed> {
        self.pack_where(window, |sums| !sums.is_zero())
    }

    /// The sum as changes of a window. Those that come to nothing have times.
    pub(crate) fn pack_changes(&mut self, window: Window) -> Vec<Packed> {
        self.pack_where(window, |_| true)
    }

    fn pack_where(&mut self, window: Window, wanted: impl Fn(&R::Sums) -> bool) -> Vec<Packed> {
        let mut parts = Vec::new();
        for (layer, table) in &mut self.tables {
            table.settle();
            let there = |row: &usize| wanted(&Self::sums(table, *row));
            let rows: Vec<usize> = (0..table.len()).filter(there).collect();
            if !rows.is_empty() {
                parts.push(pack_table(window, *layer, table, &rows));
            }
        }
        parts
    }

    fn sums(table: &Table, row: usize) -> R::Sums {
        let latency = table.latencies(row).cloned();
        R::Sums::from_parts(&table.counters(row), latency, table.times(row))
    }
}

/// Windows that are a slice ahead of the others: nearly all first and last events are in one of these, and the others
/// are not asked for theirs then.
const AHEAD: usize = 4;

/// Adds all rows of these windows, those with about the same keys at a time: the sums that they go to are near the
/// core then, where they would come from far away for each window. Nothing if there are too many names.
fn add_all<S, B, E>(
    table: &mut Table,
    opened: &mut [Opened<'_, S>],
    places: &[usize],
    scratch: &mut Scratch,
    unread: &mut Vec<Unread<E>>,
) -> Option<()>
where
    S: Iterator<Item = Result<B, E>>,
    B: AsRef<[u8]>,
{
    scratch.forget();
    let mut learn = |(place, like): &(usize, Option<usize>)| {
        let head = &opened[*place].head;
        Some(match like {
            None => Some(table.learn(head.ids(), head.tails.iter().copied())?),
            Some(_) => None,
        })
    };
    let alike = alike(opened, places);
    // Twice: what one brings moves the codes of the others.
    alike.iter().map(&mut learn).collect::<Option<Vec<_>>>()?;
    let codes = alike.iter().map(&mut learn).collect::<Option<Vec<_>>>()?;
    table.begin_windows(places.len());
    let mut turns = turns(&alike, &codes);
    while !turns.is_empty() {
        let least = (0..turns.len()).min_by_key(|turn| turns[*turn].at).unwrap_or(0);
        let Turn { place, wanted, walk, slice, lead, at } = &mut turns[least];
        let one = &mut opened[*place];
        let added = one.slices.next().map(|body| {
            let body = body.map_err(Some)?;
            slice::add(body.as_ref(), one.window, wanted, scratch, (table, walk)).ok_or(None)
        });
        if let Some(Ok(())) = added {
            *slice += 1;
            let first = slice.checked_sub(*lead).and_then(|n| one.head.first_client(n));
            *at = first.and_then(|code| wanted.client(code));
        } else {
            let why = added.and_then(Result::err);
            unread.extend(why.map(|why| Unread { place: *place, why }));
            turns.swap_remove(least);
        }
    }
    table.end_windows();
    Some(())
}

/// The windows in the order in which those begin that stand at the same keys: the newest, the oldest, the next of each. Of
/// most rows, the others have neither the first nor the last event.
fn turns<'a>(alike: &[(usize, Option<usize>)], codes: &'a [Option<Codes>]) -> Vec<Turn<'a>> {
    let begin = |(at, (place, like)): (usize, &(usize, Option<usize>))| {
        let number = like.unwrap_or(at);
        let wanted = codes[number].as_ref().map(|codes| Wanted::All(codes, number))?;
        Some((*place, wanted))
    };
    let mut rest: VecDeque<_> = alike.iter().enumerate().filter_map(begin).collect();
    let mut turns = Vec::with_capacity(rest.len());
    while let Some((place, wanted)) =
        if turns.len() % 2 == 0 { rest.pop_back() } else { rest.pop_front() }
    {
        let lead = usize::from(turns.len() < AHEAD);
        turns.push(Turn { place, wanted, walk: Walk::default(), slice: 0, lead, at: None });
    }
    turns
}

/// Each window with the first one before, by its number, that has the same names as it, if all between have.
fn alike<S>(opened: &[Opened<'_, S>], places: &[usize]) -> Vec<(usize, Option<usize>)> {
    let mut all: Vec<(usize, Option<usize>)> = Vec::with_capacity(places.len());
    for place in places {
        let before = all
            .last()
            .filter(|(before, _)| opened[*before].head.has_names_of(&opened[*place].head));
        let like = before.map(|(_, like)| like.unwrap_or(all.len() - 1));
        all.push((*place, like));
    }
    all
}

/// Adds the rows that have an entity. An error is that of [`Unread`].
fn add_some<S, B, E>(
    table: &mut Table,
    one: &mut Opened<'_, S>,
    id: u64,
    scratch: &mut Scratch,
) -> Result<(), Option<E>>
where
    S: Iterator<Item = Result<B, E>>,
    B: AsRef<[u8]>,
{
    let Some(code) = one.head.code(id) else { return Ok(()) };
    let (wanted, mut walk) = (Wanted::Of(code as i64, &one.head), Walk::default());
    table.begin_windows(1);
    let added = one.slices.by_ref().try_for_each(|body| {
        let body = body.map_err(Some)?;
        slice::add(body.as_ref(), one.window, &wanted, scratch, (table, &mut walk)).ok_or(None)
    });
    table.end_windows();
    added
}

/// Packs these rows of a table.
fn pack_table(window: Window, layer: u8, table: &Table, rows: &[usize]) -> Packed {
    let names = table.names();
    let keys = || rows.iter().map(|row| names.split(table.key(*row)));
    let mut ids = Kept::of(names.ids().len());
    let mut tails = Kept::of(names.tails().len());
    for (client, server, tail) in keys() {
        ids.keep(client);
        ids.keep(server);
        tails.keep(tail);
    }
    let (ids_kept, tails_kept) = (ids.number(), tails.number());
    let codes = |row: usize| {
        let (client, server, tail) = names.split(table.key(row));
        (ids.code(client), ids.code(server), tails.code(tail))
    };
    let mut slices = Vec::new();
    let mut firsts = Vec::new();
    let mut reverse = vec![Vec::new(); ids_kept.len()];
    for rows in rows.chunks(SLICE_ROWS) {
        firsts.push((rows.len() as u64, codes(rows[0]).0 as u64));
        for row in rows {
            let servers: &mut Vec<u32> = &mut reverse[codes(*row).1 as usize];
            if servers.last() != Some(&(slices.len() as u32)) {
                servers.push(slices.len() as u32);
            }
        }
        let mut body = Vec::new();
        slice::put(&mut body, window, table, rows, codes);
        slices.push(seal(&body));
    }
    let total = |counter: usize| {
        rows.iter().fold(0_i64, |sum, row| sum.saturating_add(table.counter(counter, *row)))
    };
    let ids: Vec<u64> = ids_kept.iter().map(|place| names.ids()[*place]).collect();
    let tails: Vec<&[u8]> = tails_kept.iter().map(|place| &*names.tails()[*place]).collect();
    let contents = Contents {
        rows: rows.len() as u64,
        totals: std::array::from_fn::<_, COUNTERS, _>(total),
        ids: &ids,
        slices: firsts,
        tails: &tails,
    };
    let (head, reverse) = (Head::put(&contents), Reverse::put(&reverse));
    Packed { layer, rows: rows.len(), head, slices, reverse }
}

/// Which items of a sorted list are in use, and the code of each among those.
struct Kept(Vec<i64>);

// === impl Kept ===

impl Kept {
    fn of(len: usize) -> Self {
        Self(vec![-1; len])
    }

    fn keep(&mut self, place: usize) {
        self.0[place] = 0;
    }

    /// Gives codes to those that are kept: these come back.
    fn number(&mut self) -> Vec<usize> {
        let mut kept = Vec::new();
        for (place, code) in self.0.iter_mut().enumerate().filter(|(_, code)| **code == 0) {
            *code = kept.len() as i64;
            kept.push(place);
        }
        kept
    }

    fn code(&self, place: usize) -> i64 {
        self.0[place]
    }
}
