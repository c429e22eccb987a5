//! Where the parts of packed windows and late rows stand, and how they are added up.

use std::collections::BTreeSet;

use fjall::{OwnedWriteBatch, UserValue};
use portolan_model::{Nanos, TimeRange, Window};

use super::buckets::rows;
use super::holes;
use super::levels::LevelView;
use super::{Shared, View};
use crate::Error;
use crate::history::{Answer, Select};
use crate::keys::{self, Reader};
use crate::pack::{Head, Opened, Packed, Summer, Unread};
use crate::row::{Row, Sum, read_row, tidy};

/// First bytes of keys of parts: these, and the kind of row.
pub(super) const HEAD: u8 = 0x10;
pub(super) const SLICE: u8 = 0x20;
const REVERSE: u8 = 0x30;

/// First bytes of all parts of all kinds.
pub(super) const KINDS: [u8; 9] = [0x11, 0x12, 0x13, 0x21, 0x22, 0x23, 0x31, 0x32, 0x33];

/// Windows between two looks at whether anybody still waits.
const LOOK_EVERY: usize = 8;

/// Packed parts that are added up together, at most, and bytes of their heads, about: these are held until then, and a slice
/// of each.
const LOADED: usize = 64;
const LOADED_BYTES: usize = 16 << 20;

/// Which packed part: a window, a layer, and the clock reading at which it was packed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartKey {
    pub(super) window: Window,
    pub(super) layer: u8,
    pub(super) known: Nanos,
}

// === impl PartKey ===

impl PartKey {
    fn bytes(self, kind: u8) -> Vec<u8> {
        let mut key = keys::window(kind, self.window).to_vec();
        key.push(self.layer);
        key.extend_from_slice(&self.known.to_be_bytes());
        key
    }

    fn slice(self, kind: u8, number: usize) -> Vec<u8> {
        let mut key = self.bytes(kind);
        key.extend_from_slice(&(number as u32).to_be_bytes());
        key
    }

    fn read(kind: u8, bytes: &[u8]) -> Option<Self> {
        let mut at = Reader(bytes);
        let key = Self { window: at.window(kind)?, layer: at.u8()?, known: at.u64()? };
        at.end(key)
    }
}

/// What a key of a part says: which part it is, of which kind of rows, of which packed window.
pub(super) fn read_part_key(key: &[u8]) -> Option<(u8, u8, PartKey)> {
    let first = *key.first()?;
    let (role, kind) = (first & 0xf0, first & 0x0f);
    let number = if role == SLICE { 4 } else { 0 };
    let known = matches!(role, HEAD | SLICE | REVERSE) && keys::KINDS.contains(&kind);
    let plain = key.get(..key.len().checked_sub(number)?).filter(|_| known)?;
    Some((role, kind, PartKey::read(first, plain)?))
}

/// Writes the parts of a window.
pub(super) fn put<R: Row>(
    batch: &mut OwnedWriteBatch,
    keyspace: &fjall::Keyspace,
    (window, known): (Window, Nanos),
    packed: &Packed,
) {
    let key = PartKey { window, layer: packed.layer, known };
    batch.insert(keyspace, key.bytes(HEAD | R::KIND), &*packed.head);
    batch.insert(keyspace, key.bytes(REVERSE | R::KIND), &*packed.reverse);
    for (number, slice) in packed.slices.iter().enumerate() {
        batch.insert(keyspace, key.slice(SLICE | R::KIND, number), &**slice);
    }
}

/// Writes a late row: a change of a window that is sealed, as of a clock reading.
pub(super) fn put_late<R: Row>(
    batch: &mut OwnedWriteBatch,
    keyspace: &fjall::Keyspace,
    (clock, epoch): (Nanos, u64),
    key: &R::Key,
    sums: &R::Sums,
) {
    let mut plain = Vec::with_capacity(64);
    R::put_key(&mut plain, key);
    let mut bytes = plain[..6].to_vec();
    bytes.extend_from_slice(&clock.to_be_bytes());
    // Clocks may stand still: what tells two changes apart is the epoch.
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&plain[6..]);
    let mut value = Vec::with_capacity(64);
    sums.put(&mut value, R::window(key));
    batch.insert(keyspace, bytes, value);
}

/// A late row of a key and a value, and when it came.
pub(super) fn read_late<R: Row>(key: &[u8], value: &[u8]) -> Option<(Nanos, R)> {
    let (clock, rest) = key.get(6..)?.split_first_chunk()?;
    let rest = rest.get(8..)?;
    let plain = [&key[..6], rest].concat();
    Some((u64::from_be_bytes(*clock), read_row(&plain, value)?))
}

mod seek;
mod slices;

use seek::{Entry, Place, entries};
pub(super) use seek::{first, firsts, lasts, packed_after, windows};
use slices::{Fault, Slices};

/// A packed part of which slices are still to be read.
struct Loaded {
    part: PartKey,
    head: UserValue,
    slices: Slices,
}

/// Adds up one kind of rows of one view.
pub(super) struct Reading<'a, R: Row> {
    pub(super) shared: &'a Shared,
    pub(super) view: &'a View,
    pub(super) select: &'a Select<'a>,
    pub(super) sum: Summer<R>,
    pub(super) answer: Answer,
    /// Only parts that were packed after this clock reading, and no late rows.
    pub(super) after: Option<Nanos>,
    /// Parts that did not read, by their levels.
    broken: BTreeSet<(usize, PartKey)>,
    /// Whether some rows of one may be in the sum.
    torn: bool,
}

// === impl Reading ===

impl<'a, R: Row> Reading<'a, R> {
    /// Adds up what is read. That a part does not read may be found when some of its rows are in the sum already: then
    /// all is read again, without it.
    pub(super) fn of(
        shared: &'a Shared,
        view: &'a View,
        select: &'a Select<'a>,
        read: impl Fn(&mut Self) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut broken = BTreeSet::new();
        loop {
            let (sum, answer) = (Summer::new(), Answer::default());
            let mut reading =
                Self { shared, view, select, sum, answer, after: None, broken, torn: false };
            read(&mut reading)?;
            if !reading.torn {
                return Ok(reading);
            }
            broken = reading.broken;
        }
    }

    /// Adds the windows `[from, to)` of a level, from what is packed and what came late.
    pub(super) fn sealed(&mut self, level: usize, from: Window, to: Window) -> Result<(), Error> {
        let (shared, view) = (self.shared, self.view);
        let at = &view.levels[level];
        let Some(last) = to.0.checked_sub(1).map(Window) else { return Ok(()) };
        let (mut loaded, mut looked) = (Vec::new(), 0);
        for (keyspace, low, high) in at.packs.parts(from, last) {
            let kind = HEAD | R::KIND;
            for span in self.readable(at, (low, high)) {
                let place = Place { snapshot: &view.snapshot, keyspace, kind, len: at.len };
                entries(shared, &place, span, &mut |entry| {
                    looked += 1;
                    if looked % LOOK_EVERY == 1 {
                        self.check()?;
                    }
                    let (key, head) = match entry {
                        Entry::Row(key, head) => (key, head),
                        Entry::Lost(window, why) => {
                            self.lost(level, window, &why);
                            return Ok(());
                        }
                    };
                    if let Some(part) = PartKey::read(kind, &key) {
                        return self.part(level, keyspace, part, head, &mut loaded);
                    }
                    let window = Reader(&key).window(kind).unwrap_or(span.0);
                    self.lost(level, window, "the key of a part does not read");
                    Ok(())
                })?;
            }
        }
        self.flush(level, &mut loaded)?;
        let lacking = holes::within(&view.holes, at.len.secs(), R::KIND, (from, last));
        let ranges = lacking.map(|w| TimeRange { from: w.start(), to: w.end(at.len) });
        self.answer.unreadable.extend(ranges);
        if self.after.is_some() { Ok(()) } else { self.late(level, from, last) }
    }

    /// Loads one packed part.
    fn part(
        &mut self,
        level: usize,
        keyspace: &fjall::Keyspace,
        part: PartKey,
        head: UserValue,
        loaded: &mut Vec<Loaded>,
    ) -> Result<(), Error> {
        let len = self.view.levels[level].len;
        let range = TimeRange { from: part.window.start(), to: part.window.end(len) };
        if self.after.is_some_and(|after| part.known <= after) {
            return Ok(());
        }
        if self.select.known_at.is_some_and(|at| at < part.known) {
            if self.answer.unknown.last() != Some(&range) {
                self.answer.unknown.push(range);
            }
            return Ok(());
        }
        if self.broken.contains(&(level, part)) {
            // It was reported when it was found.
            self.answer.unreadable.push(range);
            return Ok(());
        }
        let Some(read) = Head::read(&head) else {
            self.lost(level, part.window, "a head does not match its checksum");
            return Ok(());
        };
        let (place, of) = ((&self.view.snapshot, keyspace), (part, R::KIND));
        let slices = match self.select.entity {
            None => Ok(Slices::all(place, of, &read)),
            Some(id) => Slices::of(place, of, &read, id.0),
        };
        match slices {
            Ok(slices) => loaded.push(Loaded { part, head, slices }),
            Err(fault) => self.fault(level, part.window, fault)?,
        }
        let bytes: usize = loaded.iter().map(|one| one.head.len()).sum();
        let full = loaded.len() == LOADED || bytes >= LOADED_BYTES;
        if full { self.flush(level, loaded) } else { Ok(()) }
    }

    /// Adds what is loaded.
    fn flush(&mut self, level: usize, loaded: &mut Vec<Loaded>) -> Result<(), Error> {
        let (mut opened, mut parts) = (Vec::with_capacity(loaded.len()), Vec::new());
        for Loaded { part, head, slices } in &mut *loaded {
            if let Some(head) = Head::read_checked(head) {
                let PartKey { window, layer, .. } = *part;
                opened.push(Opened { window, layer, head, slices });
                parts.push(*part);
            }
        }
        for Unread { place, why } in self.sum.add_packed(opened, self.select.entity.map(|id| id.0))
        {
            let (part, fault) = (parts[place], Fault::Bytes("a slice does not read"));
            self.fault(level, part.window, why.unwrap_or(fault))?;
            self.broken.insert((level, part));
            self.torn = true;
        }
        loaded.clear();
        self.bound()
    }

    fn late(&mut self, level: usize, from: Window, last: Window) -> Result<(), Error> {
        let (shared, view, select) = (self.shared, self.view, self.select);
        let at = &view.levels[level];
        let mut found: Vec<R> = Vec::new();
        for (keyspace, low, high) in at.late.parts(from, last) {
            for span in self.readable(at, (low, high)) {
                let place =
                    Place { snapshot: &view.snapshot, keyspace, kind: R::KIND, len: at.len };
                entries(shared, &place, span, &mut |entry| {
                    let (window, why) = match entry {
                        Entry::Row(key, value) => {
                            if let Some((clock, row)) = read_late::<R>(&key, &value) {
                                let known = select.known_at.is_none_or(|at| clock <= at);
                                if known && select.wants(R::ends(row.key())) {
                                    found.push(R::new(R::moved(row.key(), from), row.sums()));
                                }
                                return Ok(());
                            }
                            let window = Reader(&key).window(R::KIND).unwrap_or(span.0);
                            (window, "a late row does not read".to_owned())
                        }
                        Entry::Lost(window, why) => (window, why),
                    };
                    self.lost(level, window, &why);
                    Ok(())
                })?;
            }
        }
        self.sum.add_rows(&tidy(&found));
        self.bound()
    }

    /// Adds the open rows of the windows `[from, last]`.
    pub(super) fn open(&mut self, from: Window, last: Window) -> Result<(), Error> {
        let (shared, view, select) = (self.shared, self.view, self.select);
        let mut window: Vec<R> = Vec::new();
        for (keyspace, low, high) in view.open.parts(from, last) {
            for guard in rows(&view.snapshot, keyspace, R::KIND, low, high) {
                let (key, value) = guard.into_inner().map_err(|e| shared.fault(&e))?;
                let row: R =
                    read_row(&key, &value).ok_or_else(|| shared.damaged("a row does not read"))?;
                let of = R::window(row.key());
                if window.last().is_some_and(|last| R::window(last.key()) != of) {
                    self.take_window(&mut window, of)?;
                }
                if select.wants(R::ends(row.key())) {
                    window.push(row);
                }
            }
        }
        self.take_window(&mut window, last)
    }

    fn take_window(&mut self, rows: &mut Vec<R>, next: Window) -> Result<(), Error> {
        self.check()?;
        if self.select.known_at.is_some_and(|at| at < self.view.checkpoint.clock) {
            // Open rows say nothing of when they came.
            if let Some(row) = rows.first() {
                let from = R::window(row.key());
                let to = from.end(self.shared.len).max(next.start().min(from.end(self.shared.len)));
                self.answer.unknown.push(TimeRange { from: from.start(), to });
            }
        } else {
            self.sum.add_rows(rows);
        }
        rows.clear();
        self.bound()
    }

    /// What is to be read of these windows: all but those that are set apart.
    fn readable(&self, level: &LevelView, span: (Window, Window)) -> Vec<(Window, Window)> {
        holes::between(&self.view.holes, level.len.secs(), R::KIND, span)
    }

    /// A window whose bytes do not read: reported and named in the answer, which does without it.
    fn lost(&mut self, level: usize, window: Window, why: &str) {
        let at = &self.view.levels[level];
        let range = TimeRange { from: window.start(), to: window.end(at.len) };
        self.shared.report(at.len.secs(), window, R::KIND, why);
        self.answer.unreadable.push(range);
    }

    fn fault(&mut self, level: usize, window: Window, fault: Fault) -> Result<(), Error> {
        match fault {
            Fault::Bytes(why) => self.lost(level, window, why),
            Fault::Engine(e) => {
                let why = self.shared.damage(&e)?;
                self.lost(level, window, &why);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.select.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn bound(&self) -> Result<(), Error> {
        if self.sum.is_overfull() {
            return Err(Error::TooManyRows { most: self.sum.len() });
        }
        match self.select.max_rows {
            Some(most) if self.sum.len() > most => Err(Error::TooManyRows { most }),
            _ => Ok(()),
        }
    }
}
