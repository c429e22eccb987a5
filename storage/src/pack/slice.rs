//! A slice: up to 1,024 rows in the order of keys, column by column.
//!
//! Rows (varint), flags (u8: bit 0 histograms, bit 1 counters beyond the 16th); number of client runs (varint), their codes, their lengths; server
//! codes; tail codes; which counters are not all zero (u16; with bit 1 u64), these, the doubted bytes as
//! what they are more than the others lead to expect; which rows have no first time, and no last
//! (lists); the unit of times in ns (varint); first as distance from the start of the window, last from first, in units.

use portolan_model::{Counters, Latency, Measure, Nanos, Orientation, Window, doubt_expected};

use super::column::{self, Column};
use super::names::Codes;
use super::parts::Head;
use super::table::{Table, Walk};
use super::{COUNTERS, histogram};
use crate::codec::{put_varint, take_u8, take_varint};

/// Memory that is used again for every slice.
#[derive(Default)]
pub(super) struct Scratch {
    runs: Vec<i64>,
    lengths: Vec<i64>,
    clients: Vec<i64>,
    servers: Vec<i64>,
    tails: Vec<i64>,
    keys: Vec<u64>,
    column: Vec<i64>,
    doubt: Expected,
    first: Vec<i64>,
    /// Rows of which times may tell anything new, by their numbers among those that are added, and among all.
    unknown: Vec<usize>,
    places: Vec<usize>,
    /// What the keys that were placed last were read from, and by which codes.
    placed: Vec<u8>,
    codes: Option<usize>,
}

/// What the doubted bytes of each row are expected to be made of.
#[derive(Default)]
struct Expected {
    active: Vec<i64>,
    bytes: Vec<i64>,
    /// Of all connections together.
    doubt: Vec<i64>,
}

/// Bit of the flags: the slice has histograms.
const HISTOGRAMS: u8 = 1;

/// Bit of the flags: it has counters that 16 bits cannot name.
const MANY: u8 = 2;

const DOUBTED: usize = Measure::BytesDoubted as usize;

/// Which rows of a slice are added.
pub(super) enum Wanted<'a> {
    /// All, by the codes of the window. Windows of one number have the same codes.
    All(&'a Codes, usize),
    /// Those with this entity: its code.
    Of(i64, &'a Head<'a>),
}

/// One number in so many is found by itself at the cost of unpacking all.
const SOME: usize = 4;

/// Units of times, coarsest first: many sources have milliseconds.
const UNITS: [u64; 4] = [1_000_000_000, 1_000_000, 1_000, 1];

/// Appends rows of a table, whose ends and tails have these codes.
pub(super) fn put(
    out: &mut Vec<u8>,
    window: Window,
    table: &Table,
    rows: &[usize],
    codes: impl Fn(usize) -> (i64, i64, i64),
) {
    put_varint(out, rows.len() as u64);
    let flags_at = out.len();
    out.push(if table.has_latency() { HISTOGRAMS } else { 0 });
    let keys: Vec<_> = rows.iter().map(|row| codes(*row)).collect();
    let runs = || keys.chunk_by(|a, b| a.0 == b.0);
    let (clients, lengths): (Vec<i64>, Vec<i64>) =
        runs().map(|run| (run[0].0, run.len() as i64)).unzip();
    put_varint(out, clients.len() as u64);
    column::put(out, &clients);
    column::put(out, &lengths);
    column::put(out, &keys.iter().map(|key| key.1).collect::<Vec<_>>());
    column::put(out, &keys.iter().map(|key| key.2).collect::<Vec<_>>());
    let doubted = table.counts(DOUBTED) || classes().any(|(counter, _)| table.counts(counter));
    let counter = |counter: usize, row: usize| match counter {
        DOUBTED => {
            let counters = Counters::from_array(table.counters(row));
            counters[Measure::BytesDoubted].wrapping_sub(counters.doubt_expected())
        }
        _ => table.counter(counter, row),
    };
    let column = |of: usize| -> Vec<i64> { rows.iter().map(|row| counter(of, *row)).collect() };
    let some = |of: &usize| table.counts(*of) || (*of == DOUBTED && doubted);
    let all = (0..COUNTERS).filter(some).map(|n| (n, column(n)));
    let used: Vec<_> = all.filter(|(_, column)| column.iter().any(|sum| *sum != 0)).collect();
    let present = used.iter().fold(0_u64, |all, (counter, _)| all | 1 << counter);
    if let Ok(few) = u16::try_from(present) {
        out.extend_from_slice(&few.to_le_bytes());
    } else {
        out[flags_at] |= MANY;
        out.extend_from_slice(&present.to_le_bytes());
    }
    for (_, column) in &used {
        column::put(out, column);
    }
    let (first, last): (Vec<_>, Vec<_>) = rows.iter().map(|row| table.times(*row)).unzip();
    put_times(out, window, &first, &last);
    if table.has_latency() {
        let none = <[Latency; 3]>::default();
        for side in 0..3 {
            let of = |row: &usize| &table.latencies(*row).unwrap_or(&none)[side];
            histogram::put(out, rows.iter().map(of));
        }
    }
}

/// Adds a slice of a window to a table. Nothing if it does not read; some of it may be in the table then.
pub(super) fn add(
    mut bytes: &[u8],
    window: Window,
    wanted: &Wanted<'_>,
    scratch: &mut Scratch,
    (table, walk): (&mut Table, &mut Walk),
) -> Option<()> {
    let at = &mut bytes;
    let rows = usize::try_from(take_varint(at)?).ok().filter(|n| *n <= super::SLICE_ROWS)?;
    let flags = take_u8(at)?;
    let picked = match wanted {
        Wanted::All(codes, number) => {
            place_all(at, rows, (codes, *number), scratch, (table, walk))?;
            None
        }
        Wanted::Of(code, head) => {
            let picked = scratch.some_keys(at, rows, *code, head, table)?;
            if picked.is_empty() {
                return Some(());
            }
            table.place(walk, &scratch.keys)?;
            Some(picked)
        }
    };
    let present = if flags & MANY == 0 {
        u64::from(u16::from_le_bytes(take_chunk(at)?))
    } else {
        u64::from_le_bytes(take_chunk(at)?)
    };
    let oriented = classes().any(|(counter, _)| present & 1 << counter != 0);
    if oriented {
        scratch.doubt.begin(picked.as_ref().map_or(rows, Vec::len));
    }
    for counter in (0..COUNTERS).filter(|counter| present & 1 << counter != 0) {
        let column = Column::read(at, rows)?;
        match &picked {
            None if !(oriented && Expected::needs(counter)) => {
                table.count(counter, &column, &mut scratch.column);
                continue;
            }
            None => column.unpack(&mut scratch.column),
            Some(picked) => column.pick(picked, &mut scratch.column),
        }
        if oriented {
            if counter == DOUBTED {
                scratch.doubt.rest(&scratch.column);
                continue;
            }
            scratch.doubt.take(counter, &scratch.column);
        }
        table.count_some(counter, &scratch.column, column.most);
    }
    if oriented {
        let most = scratch.doubt.finish();
        table.count_some(DOUBTED, &scratch.doubt.doubt, most);
    }
    take_times(at, window, rows, picked.as_deref(), scratch, table)?;
    if flags & HISTOGRAMS != 0 {
        for side in 0..3 {
            let each = |row: usize, latency: &Latency| {
                let place = match &picked {
                    None => Some(row),
                    Some(picked) => picked.binary_search(&row).ok(),
                };
                if let Some(mine) = place.and_then(|place| table.latency(place)) {
                    mine[side].add(latency);
                }
            };
            histogram::take(at, rows, &mut scratch.column, each)?;
        }
    }
    at.is_empty().then_some(())
}

/// Finds the rows of all keys of a slice.
fn place_all(
    at: &mut &[u8],
    rows: usize,
    (codes, number): (&Codes, usize),
    scratch: &mut Scratch,
    (table, walk): (&mut Table, &mut Walk),
) -> Option<()> {
    let before = *at;
    let runs = usize::try_from(take_varint(at)?).ok().filter(|n| *n <= rows)?;
    let mut column = |len: usize| Column::read(at, len);
    let (clients, lengths) = (column(runs)?, column(runs)?);
    let (servers, tails) = (column(rows)?, column(rows)?);
    let bytes = before.get(..before.len() - at.len())?;
    // Windows of a graph that stands still have the same edges: what was found for one is found for the next.
    if scratch.codes == Some(number) && scratch.placed == bytes {
        return table.place_again(walk);
    }
    scratch.codes = None;
    clients.unpack(&mut scratch.runs);
    lengths.unpack(&mut scratch.lengths);
    servers.unpack(&mut scratch.servers);
    tails.unpack(&mut scratch.tails);
    let Scratch { runs, lengths, servers, tails, keys, .. } = scratch;
    codes.keys((runs, lengths), (servers, tails), keys)?;
    table.place(walk, &scratch.keys)?;
    scratch.placed.clear();
    scratch.placed.extend_from_slice(bytes);
    scratch.codes = Some(number);
    Some(())
}

/// The counters of connections by class, and how much each of these is in doubt.
fn classes() -> impl Iterator<Item = (usize, i64)> {
    Orientation::ALL.iter().map(|class| (class.measure() as usize, class.doubt()))
}

fn take_chunk<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, rest) = at.split_first_chunk()?;
    *at = rest;
    Some(*chunk)
}

// === impl Wanted ===

impl Wanted<'_> {
    /// What a client of the window adds to a key here, where all rows are wanted.
    pub(super) fn client(&self, code: i64) -> Option<u64> {
        match self {
            Self::All(codes, _) => codes.client(code),
            Self::Of(..) => None,
        }
    }
}

// === impl Expected ===

impl Expected {
    /// Whether a counter matters.
    fn needs(counter: usize) -> bool {
        const PLAIN: [Measure; 4] = [
            Measure::ConnectionsActive,
            Measure::BytesSent,
            Measure::BytesReceived,
            Measure::BytesDoubted,
        ];
        PLAIN.iter().any(|measure| *measure as usize == counter)
            || classes().any(|class| class.0 == counter)
    }

    fn begin(&mut self, rows: usize) {
        for column in [&mut self.active, &mut self.bytes, &mut self.doubt] {
            column.clear();
            column.resize(rows, 0);
        }
    }

    /// Takes in a counter, if it is one of those that matter.
    fn take(&mut self, counter: usize, values: &[i64]) {
        let (to, by) = if counter == Measure::ConnectionsActive as usize {
            (&mut self.active, 1)
        } else if counter == Measure::BytesSent as usize
            || counter == Measure::BytesReceived as usize
        {
            (&mut self.bytes, 1)
        } else if let Some((_, doubt)) = classes().find(|class| class.0 == counter) {
            (&mut self.doubt, doubt)
        } else {
            return;
        };
        let each = to.iter_mut().zip(values);
        each.for_each(|(sum, value)| *sum = sum.wrapping_add(value.wrapping_mul(by)));
    }

    /// Takes in by how much each row has more than expected; it comes behind all others.
    fn rest(&mut self, values: &[i64]) {
        self.expect();
        let each = self.doubt.iter_mut().zip(values);
        each.for_each(|(sum, rest)| *sum = sum.wrapping_add(*rest));
        self.active.clear();
    }

    /// Leaves the doubted bytes in `doubt`. None is farther from zero than what comes back.
    fn finish(&mut self) -> u64 {
        self.expect();
        self.doubt.iter().map(|sum| sum.unsigned_abs()).max().unwrap_or(0)
    }

    /// Makes what is expected of what it is made of, unless that is done.
    fn expect(&mut self) {
        let of = self.active.iter().zip(&self.bytes);
        for (doubt, (active, bytes)) in self.doubt.iter_mut().zip(of) {
            *doubt = doubt_expected(*active, *bytes, *doubt);
        }
    }
}

// === impl Scratch ===

impl Scratch {
    /// Forgets which keys were placed last: names, or rows, may have moved since.
    pub(super) fn forget(&mut self) {
        self.codes = None;
    }

    /// Makes the keys of those rows that have an entity, and says which these are.
    fn some_keys(
        &mut self,
        at: &mut &[u8],
        rows: usize,
        code: i64,
        head: &Head<'_>,
        table: &mut Table,
    ) -> Option<Vec<usize>> {
        let runs = usize::try_from(take_varint(at)?).ok().filter(|n| *n <= rows)?;
        column::take(at, runs, &mut self.runs)?;
        column::take(at, runs, &mut self.lengths)?;
        column::take(at, rows, &mut self.servers)?;
        column::take(at, rows, &mut self.tails)?;
        self.keys.clear();
        self.clients.clear();
        for (client, length) in self.runs.iter().zip(&self.lengths) {
            let length = usize::try_from(*length).ok().filter(|n| *n <= rows)?;
            self.clients.resize(self.clients.len() + length, *client);
        }
        if self.clients.len() != rows {
            return None;
        }
        let has = |row: &usize| self.clients[*row] == code || self.servers[*row] == code;
        let picked: Vec<usize> = (0..rows).filter(has).collect();
        // The names of these rows alone, as the window has them: others would only be carried along.
        let some = |codes: &[&[i64]]| {
            let mut codes: Vec<i64> =
                codes.iter().flat_map(|column| picked.iter().map(|row| column[*row])).collect();
            codes.sort_unstable();
            codes.dedup();
            codes
        };
        let ends = some(&[&self.clients, &self.servers]);
        let tails = some(&[&self.tails]);
        let id = |code: &i64| head.entity(usize::try_from(*code).ok()?);
        let ids = ends.iter().map(id).collect::<Option<Vec<u64>>>()?;
        let tail = |code: &i64| head.tails.get(usize::try_from(*code).ok()?).copied();
        let names = tails.iter().map(tail).collect::<Option<Vec<&[u8]>>>()?;
        let codes = table.learn(ids.into_iter(), names.into_iter())?;
        let place = |of: &[i64], code: i64| of.binary_search(&code).map_or(-1, |at| at as i64);
        for row in &picked {
            let rest =
                codes.rest(place(&ends, self.servers[*row]), place(&tails, self.tails[*row]))?;
            self.keys.push(codes.client(place(&ends, self.clients[*row]))? | rest);
        }
        Some(picked)
    }
}

fn put_times(out: &mut Vec<u8>, window: Window, first: &[Nanos], last: &[Nanos]) {
    let start = window.start();
    let list = |out: &mut Vec<u8>, times: &[Nanos], unknown: Nanos| {
        let rows = || times.iter().enumerate().filter(|(_, at)| **at == unknown);
        put_varint(out, rows().count() as u64);
        rows().for_each(|(row, _)| put_varint(out, row as u64));
    };
    list(out, first, Nanos::MAX);
    list(out, last, 0);
    // An unknown time stands where it costs nothing; a last without a first counts from the start.
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for (first, last) in first.iter().zip(last) {
        let begin = if *first == Nanos::MAX { start } else { *first };
        from.push(begin.wrapping_sub(start) as i64);
        to.push(if *last == 0 { 0 } else { last.wrapping_sub(begin) as i64 });
    }
    let fits = |unit: u64| from.iter().chain(&to).all(|at| at.unsigned_abs().is_multiple_of(unit));
    let unit = UNITS.into_iter().find(|unit| fits(*unit)).unwrap_or(1);
    put_varint(out, unit);
    from.iter_mut().chain(&mut to).for_each(|at| *at /= unit as i64);
    column::put(out, &from);
    column::put(out, &to);
}

fn take_times(
    at: &mut &[u8],
    window: Window,
    rows: usize,
    picked: Option<&[usize]>,
    scratch: &mut Scratch,
    table: &mut Table,
) -> Option<()> {
    let list = |at: &mut &[u8]| -> Option<Vec<usize>> {
        let len = take_varint(at)?;
        let row = |at: &mut &[u8]| usize::try_from(take_varint(at)?).ok().filter(|row| *row < rows);
        (len <= rows as u64).then_some(())?;
        (0..len).map(|_| row(at)).collect()
    };
    let (no_first, no_last) = (list(at)?, list(at)?);
    let unit = take_varint(at)? as i64;
    let start = window.start();
    let time = |from: Nanos, by: i64| from.wrapping_add(by.wrapping_mul(unit) as u64);
    let (firsts, lasts) = (Column::read(at, rows)?, Column::read(at, rows)?);
    let Scratch { column, first, unknown, places, .. } = scratch;
    let reach = reach(start, unit, &firsts, &lasts).unwrap_or((0, Nanos::MAX));
    table.unknown(reach, unknown);
    if unknown.is_empty() {
        return Some(());
    }
    // Of few rows, the numbers are found one by one; of many, all are unpacked.
    let all = picked.map_or(rows, <[usize]>::len);
    let some = unknown.len() <= all / SOME;
    if let (Some(picked), true) = (picked, some) {
        // From numbers among the rows that are added to numbers among those of the slice.
        places.clear();
        places.extend(unknown.iter().map(|number| picked[*number]));
    }
    let of: Option<&[usize]> = match (picked, some) {
        (None, true) => Some(unknown),
        (Some(_), true) => Some(places),
        (picked, false) => picked,
    };
    match of {
        None => {
            firsts.unpack(first);
            lasts.unpack(column);
        }
        Some(of) => {
            firsts.pick(of, first);
            lasts.pick(of, column);
        }
    }
    let each = first.iter().zip(&*column);
    let times = each.map(|(from, by)| {
        let first = time(start, *from);
        (first, time(first, *by))
    });
    let mut see = |times: &mut dyn Iterator<Item = (Nanos, Nanos)>| {
        if some { table.see_some(unknown, times) } else { table.see(times) }
    };
    if no_first.is_empty() && no_last.is_empty() {
        see(&mut { times });
        return Some(());
    }
    let mut times: Vec<(Nanos, Nanos)> = times.collect();
    let place = |row: &usize| match of {
        None => Some(*row),
        Some(of) => of.binary_search(row).ok(),
    };
    for at in no_first.iter().filter_map(place) {
        times[at].0 = Nanos::MAX;
    }
    for at in no_last.iter().filter_map(place) {
        times[at].1 = 0;
    }
    see(&mut times.into_iter());
    Some(())
}

/// No first time of these is earlier than the first of what comes back, and no last one later than the other: the
/// windows between others have neither the first nor the last event of most rows. Nothing if a number does not hold it.
fn reach(
    start: Nanos,
    unit: i64,
    firsts: &Column<'_>,
    lasts: &Column<'_>,
) -> Option<(Nanos, Nanos)> {
    let from = firsts.least.checked_mul(unit).and_then(|by| start.checked_add_signed(by))?;
    let most = firsts.most.checked_add(lasts.most)?;
    let to = start.checked_add(most.checked_mul(u64::try_from(unit).ok()?)?)?;
    Some((from, to))
}
