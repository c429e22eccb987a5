//! A slice: up to 1,024 rows in the order of keys, column by column.
//!
//! Rows (varint), flags (u8: bit 0 histograms); number of client runs (varint), their codes, their lengths; server
//! codes; tail codes; which counters are not all zero (u16), these; which rows have no first time, and no last
//! (lists); the unit of times in ns (varint); first as distance from the start of the window, last from first, in units.

use portolan_model::{Nanos, Window};

use super::column;
use super::columns::Columns;
use super::{COUNTERS, histogram};
use crate::codec::{put_varint, take_u8, take_varint};

/// What the codes of a slice stand for.
pub(super) trait Names {
    fn entity(&self, code: i64) -> Option<u64>;
    fn tail(&self, code: i64) -> Option<u32>;
}

/// Memory that is used again for every slice.
#[derive(Default)]
pub(super) struct Scratch {
    runs: Vec<i64>,
    lengths: Vec<i64>,
    column: Vec<i64>,
    clients: Vec<i64>,
    servers: Vec<i64>,
    tails: Vec<i64>,
}

/// Units of times, coarsest first: many sources have milliseconds.
const UNITS: [u64; 4] = [1_000_000_000, 1_000_000, 1_000, 1];

/// Appends rows of a table, whose ends and tails have these codes.
pub(super) fn put(
    out: &mut Vec<u8>,
    window: Window,
    table: &Columns,
    rows: std::ops::Range<usize>,
    codes: impl Fn(usize) -> (i64, i64, i64),
) {
    put_varint(out, rows.len() as u64);
    let histograms = !table.latency.is_empty();
    out.push(u8::from(histograms));
    let keys: Vec<_> = rows.clone().map(codes).collect();
    let runs = || keys.chunk_by(|a, b| a.0 == b.0);
    let (clients, lengths): (Vec<i64>, Vec<i64>) =
        runs().map(|run| (run[0].0, run.len() as i64)).unzip();
    put_varint(out, clients.len() as u64);
    column::put(out, &clients);
    column::put(out, &lengths);
    column::put(out, &keys.iter().map(|key| key.1).collect::<Vec<_>>());
    column::put(out, &keys.iter().map(|key| key.2).collect::<Vec<_>>());
    let part = |column: &[i64]| column.get(rows.clone()).unwrap_or_default().to_vec();
    let columns: Vec<Vec<i64>> = table.counters.iter().map(|column| part(column)).collect();
    let used = |column: &Vec<i64>| column.iter().any(|sum| *sum != 0);
    let present =
        columns.iter().enumerate().fold(0_u16, |all, (n, c)| all | u16::from(used(c)) << n);
    out.extend_from_slice(&present.to_le_bytes());
    columns.iter().filter(|column| used(column)).for_each(|column| column::put(out, column));
    put_times(out, window, &table.first[rows.clone()], &table.last[rows.clone()]);
    if histograms {
        for side in 0..3 {
            histogram::put(out, table.latency[rows.clone()].iter().map(|row| &row[side]));
        }
    }
}

/// Reads a slice into `table`: all of it, or the rows that have an entity with the code `only`.
pub(super) fn take(
    mut bytes: &[u8],
    window: Window,
    names: &impl Names,
    only: Option<i64>,
    scratch: &mut Scratch,
    table: &mut Columns,
) -> Option<()> {
    let at = &mut bytes;
    table.clear();
    let rows = usize::try_from(take_varint(at)?).ok().filter(|n| *n <= super::SLICE_ROWS)?;
    let histograms = take_u8(at)? != 0;
    let runs = usize::try_from(take_varint(at)?).ok().filter(|n| *n <= rows)?;
    column::take(at, runs, &mut scratch.runs)?;
    column::take(at, runs, &mut scratch.lengths)?;
    scratch.clients.clear();
    for (client, length) in scratch.runs.iter().zip(&scratch.lengths) {
        let length = usize::try_from(*length).ok().filter(|n| *n <= rows)?;
        scratch.clients.resize(scratch.clients.len() + length, *client);
    }
    if scratch.clients.len() != rows {
        return None;
    }
    column::take(at, rows, &mut scratch.servers)?;
    column::take(at, rows, &mut scratch.tails)?;
    let wanted = |code: i64| scratch.clients.contains(&code) || scratch.servers.contains(&code);
    if only.is_some_and(|code| !wanted(code)) {
        return Some(());
    }
    for (row, client) in scratch.clients.iter().enumerate() {
        // Clients come in runs.
        let same = row > 0 && scratch.clients[row - 1] == *client;
        table.clients.push(if same { table.clients[row - 1] } else { names.entity(*client)? });
        table.servers.push(names.entity(scratch.servers[row])?);
        table.tails.push(names.tail(scratch.tails[row])?);
    }
    let (present, rest) = at.split_first_chunk()?;
    *at = rest;
    let present = u16::from_le_bytes(*present);
    for place in 0..COUNTERS {
        if present & 1 << place != 0 {
            column::take(at, rows, &mut table.counters[place])?;
        }
    }
    take_times(at, window, rows, scratch, table)?;
    if histograms {
        table.latency.resize_with(rows, Default::default);
        for side in 0..3 {
            let each = |row: usize, latency| table.latency[row][side] = latency;
            histogram::take(at, rows, &mut scratch.column, each)?;
        }
    }
    if !at.is_empty() {
        return None;
    }
    if let Some(code) = only {
        let mut kept = Columns::default();
        let ends = scratch.clients.iter().zip(&scratch.servers);
        for (row, _) in ends.enumerate().filter(|(_, (c, s))| **c == code || **s == code) {
            kept.push_from(table, row);
        }
        *table = kept;
    }
    Some(())
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
    scratch: &mut Scratch,
    table: &mut Columns,
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
    column::take(at, rows, &mut scratch.column)?;
    table.first.extend(scratch.column.iter().map(|by| time(start, *by)));
    column::take(at, rows, &mut scratch.column)?;
    let last = table.first.iter().zip(&scratch.column).map(|(first, by)| time(*first, *by));
    table.last.extend(last);
    for row in no_first {
        table.first[row] = Nanos::MAX;
    }
    for row in no_last {
        table.last[row] = 0;
    }
    Some(())
}
