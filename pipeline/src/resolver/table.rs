//! Connections of one window: what each reporter said of each direction.

use portolan_model::{Flags, Nanos, Source, Window, WindowLen};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::index::{Index, NOWHERE, hash};

use super::WARM;
use super::addrs::AddrId;
use super::judge::Emitted;
use super::key::{ConnKey, End, Side};
use super::slots::Slots;

/// One export slice of one reporter. The id is derived from start and end: a redelivered or
/// re-published record has the same, so it is counted once (flow semantics, section 3.4).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: u64,
    /// Milliseconds from the start of the window, for the order of slices.
    pub(super) start_ms: u32,
    pub(super) flags: Flags,
}

/// What one reporter said of one direction in one window.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) agent: AddrId,
    pub(super) from: Side,
    pub(super) source: Source,
    pub(super) flags: Flags,
    pub(super) sampled: u32,
    /// One in how many packets was looked at, at most; 1 is all.
    pub(super) scale: u32,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Start of the earliest slice, also where it lies in an earlier window: ownership is asked for
    /// this instant.
    pub(super) begin: Nanos,
    pub(super) last: Nanos,
    pub(super) marks: SmallVec<[Mark; 2]>,
}

/// Which boundaries of its window something comes up to.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) start: bool,
    pub(super) end: bool,
}

/// What is summed up of all reporters: each saw its own part of it.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Extra {
    pub(super) rtt_sum_micros: u64,
    pub(super) rtt_count: u32,
    pub(super) drop_packets: u32,
    pub(super) drop_bytes: u64,
}

/// Where the kernel sent what was addressed to a side, by the record's own word.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub(super) enum Rewrite {
    #[default]
    None,
    To(End),
    /// Two records named two places: none is believed.
    Conflict,
}

/// A connection in one window. What finding and touching it reads is its first line of memory.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Conn {
    pub(super) key: ConnKey,
    /// When the connection began, as far as it is remembered; 0 until it is judged.
    pub(super) begin: Nanos,
    pub(super) touched: bool,
    /// The windows before and after were told, since the last judgement, that a reporter here comes up
    /// to them.
    pub(super) told: [bool; 2],
    /// What neighbouring windows saw mattered to the judgement.
    pub(super) asks_near: bool,
    /// What other windows say was looked up, and has not changed since.
    pub(super) looked: bool,
    /// It had a SYN, or an answer to one, at that time.
    pub(super) opens: bool,
    /// Without a handshake: it was counted in the window before.
    pub(super) continued: bool,
    /// It was open when the window before ended, and when this one does; without a handshake: it counts.
    pub(super) open_before: bool,
    pub(super) open_after: bool,
    /// Standing of the best source that tells of the connection in another window.
    pub(super) better: u8,
    /// Which sides sent an ICMP echo request, or were sent the answer to one.
    pub(super) echo: [bool; 2],
    /// Which sides the sources themselves call the client: by socket, and by connection tracking.
    pub(super) dialled: [bool; 2],
    pub(super) tracked: [bool; 2],
    /// Reporters, by the side that sends, that saw the connection in a neighbouring window.
    pub(super) near: Vec<(AddrId, Side, Source)>,
    /// Two to four as a rule: both directions, by one or two nodes.
    pub(super) tallies: SmallVec<[Tally; 4]>,
    /// What was last said of it.
    pub(super) emitted: Option<Emitted>,
    pub(super) extra: Extra,
    /// Of the low and of the high end.
    pub(super) rewrites: [Rewrite; 2],
}

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    index: Index,
    /// The connection that was asked for last: records of one come together.
    last: u32,
    /// The batch that last noted where it came from.
    noted: u64,
    /// As the connections have them: for who walks over all.
    pub(super) keys: Vec<ConnKey>,
    pub(super) conns: Slots,
    touched: Vec<u32>,
    /// Those that were judged provisional, some maybe no longer, some twice.
    pub(super) doubtful: Vec<u32>,
    /// Those that something stronger may turn, some maybe no longer, some twice.
    pub(super) weak: Vec<u32>,
    /// Lowest offset by partition that a record of this window came from.
    pub(super) reread: FxHashMap<u32, i64>,
}

/// Reads what finding and touching the connections of a block reads: first where each stands, then its key where it
/// likely is, so that all of them wait for memory together, twice, and not one after the other.
pub(super) fn warm_keys<'a>(asked: impl Iterator<Item = (&'a Table, ConnKey)>) {
    let hashes: SmallVec<[(&Table, u32); WARM]> =
        asked.map(|(table, key)| (table, hash(key))).collect();
    let mut sum = 0;
    for (table, hash) in &hashes {
        sum ^= u64::from(table.index.peek(*hash));
    }
    for (table, hash) in &hashes {
        let place = table.index.likely(*hash);
        sum ^= if place == NOWHERE { 0 } else { table.conns[place].warm_key() };
    }
    std::hint::black_box(sum);
}

// === impl Mark ===

impl Mark {
    pub(super) fn id(start: Nanos, end: Nanos, empty: bool) -> u64 {
        // A record without bytes (drops alone) may share its times with the base record.
        let mixed = (start ^ end.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29) ^ u64::from(empty)
    }

    /// It answers an opening, and so near the start of its window that the opening may lie before it.
    pub(super) fn answers_near_start(&self, tolerance: Nanos) -> bool {
        self.flags.syn_ack() && self.is_near_start(tolerance)
    }

    /// It opens, and so near the start of its window that by another clock it may lie before it.
    pub(super) fn opens_near_start(&self, tolerance: Nanos) -> bool {
        self.flags.syn() && self.is_near_start(tolerance)
    }

    fn is_near_start(&self, tolerance: Nanos) -> bool {
        Nanos::from(self.start_ms) * 1_000_000 <= 2 * tolerance
    }
}

// === impl Conn ===

impl Conn {
    /// As new, with the memory of before.
    pub(super) fn renew(&mut self) {
        self.tallies.clear();
        self.near.clear();
        self.emitted = None;
        let Self {
            key: _,
            tallies: _,
            near: _,
            extra,
            rewrites,
            emitted: _,
            touched,
            told,
            asks_near,
            looked,
            opens,
            continued,
            open_before,
            open_after,
            better,
            begin,
            echo,
            dialled,
            tracked,
        } = self;
        *extra = Extra::default();
        *rewrites = [Rewrite::None; 2];
        (*touched, *asks_near, *looked, *opens) = (false, false, false, false);
        (*continued, *open_before, *open_after) = (false, false, false);
        (*better, *begin) = (0, 0);
        [*told, *echo, *dialled, *tracked] = [[false; 2]; 4];
    }

    /// The tally of a reporter for a direction, made if it is not there.
    pub(super) fn tally(
        &mut self,
        agent: AddrId,
        from: Side,
        source: Source,
        at: Nanos,
    ) -> &mut Tally {
        let place =
            self.tallies.iter().position(|t| (t.agent, t.from, t.source) == (agent, from, source));
        let place = place.unwrap_or_else(|| {
            self.tallies.push(Tally::new(agent, from, source, at));
            self.tallies.len() - 1
        });
        &mut self.tallies[place]
    }

    /// See [`warm_keys`].
    pub(super) fn warm_key(&self) -> u64 {
        u64::from(self.touched) ^ self.key.ports()[0] as u64
    }

    /// See [`Table::warm`].
    pub(super) fn warm(&self) -> u64 {
        let tallies = self.tallies.iter().map(|tally| tally.last ^ tally.marks.len() as u64);
        tallies.fold(self.begin, u64::wrapping_add)
    }

    pub(super) fn rewrite(&mut self, side: Side, to: End) {
        let slot = &mut self.rewrites[side as usize];
        *slot = match *slot {
            Rewrite::None => Rewrite::To(to),
            Rewrite::To(old) if old == to => Rewrite::To(to),
            _ => Rewrite::Conflict,
        };
    }
}

impl Tally {
    /// Which boundaries of its window it comes up to, as far as two clocks may differ that are each off
    /// by up to the tolerance.
    pub(super) fn reach(&self, window: Window, len: WindowLen, tolerance: Nanos) -> Reach {
        if self.last == 0 {
            return Reach::default();
        }
        let apart = 2 * tolerance;
        Reach {
            start: self.first(window).saturating_sub(window.start()) <= apart,
            end: window.end(len).saturating_sub(self.last) <= apart,
        }
    }

    /// Start of its earliest slice within its window.
    pub(super) fn first(&self, window: Window) -> Nanos {
        self.begin.max(window.start())
    }

    fn new(agent: AddrId, from: Side, source: Source, at: Nanos) -> Self {
        Self {
            agent,
            from,
            source,
            flags: Flags(0),
            sampled: 0,
            scale: 1,
            packets: 0,
            bytes: 0,
            begin: at,
            last: 0,
            marks: SmallVec::new(),
        }
    }
}

// === impl Table ===

impl Table {
    /// The connection of a key, made if it is not there, and marked as touched. `known` is its place, of
    /// who asked for that before.
    pub(super) fn conn(&mut self, key: ConnKey, known: Option<u32>) -> &mut Conn {
        let place = match known {
            Some(place) => place,
            None if self.keys.get(self.last as usize) == Some(&key) => self.last,
            None => self.place(key),
        };
        self.last = place;
        let conn = &mut self.conns[place];
        if !conn.touched {
            conn.touched = true;
            self.touched.push(place);
        }
        conn
    }

    fn place(&mut self, key: ConnKey) -> u32 {
        let next = self.keys.len() as u32;
        let place = self.index.find_or_put(hash(key), next, |place| self.conns[place].key == key);
        if place == next {
            self.keys.push(key);
            self.conns.open(next).key = key;
        }
        place
    }

    /// Where the connection of a key stands, if it is there; that never changes.
    pub(super) fn place_of(&self, key: ConnKey) -> Option<u32> {
        self.index.find(hash(key), |place| self.conns[place].key == key)
    }

    /// Reads what working with a connection reads, where it is; [`warm_keys`] comes before it. The sum is for the
    /// compiler, which must not leave it out.
    pub(super) fn warm(&self, key: ConnKey) -> u64 {
        self.get(key).map_or(0, Conn::warm)
    }

    pub(super) fn get(&self, key: ConnKey) -> Option<&Conn> {
        self.place_of(key).map(|place| &self.conns[place])
    }

    /// Marks a connection, if it is there: another window has news for it.
    pub(super) fn touch_key(&mut self, key: ConnKey) {
        if let Some(place) = self.place_of(key) {
            self.conns[place].looked = false;
            self.touch(place);
        }
    }

    /// Marks a connection, if it is there and what its neighbours saw mattered to its judgement.
    pub(super) fn touch_near(&mut self, key: ConnKey) {
        if let Some(place) = self.place_of(key)
            && self.conns[place].asks_near
        {
            self.touch(place);
        }
    }

    pub(super) fn touch(&mut self, place: u32) {
        let conn = &mut self.conns[place];
        if !conn.touched {
            conn.touched = true;
            self.touched.push(place);
        }
    }

    /// The touched connections, which are so no more.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        let touched = std::mem::take(&mut self.touched);
        for &place in &touched {
            let conn = &mut self.conns[place];
            (conn.touched, conn.told) = (false, [false; 2]);
        }
        touched
    }

    pub(super) fn any_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a connection is there.
    pub(super) fn has(&self, key: ConnKey) -> bool {
        self.place_of(key).is_some()
    }

    /// Takes a connection over from another table.
    pub(super) fn put(&mut self, key: ConnKey, conn: Conn) {
        let place = self.place(key);
        self.conns[place] = conn;
    }

    /// Forgets everything and keeps the memory, for the next window.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        (self.last, self.noted) = (0, 0);
        self.keys.clear();
        self.touched.clear();
        self.doubtful.clear();
        self.weak.clear();
        self.reread.clear();
    }

    /// Every connection with its key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ConnKey, &Conn)> {
        self.keys.iter().zip((0..).map(|place| &self.conns[place]))
    }

    /// Notes where records of this window came from.
    pub(super) fn came_from(&mut self, batch: u64, partition: u32, offset: i64) {
        if self.noted == batch {
            return;
        }
        self.noted = batch;
        let lowest = self.reread.entry(partition).or_insert(offset);
        *lowest = (*lowest).min(offset);
    }
}
