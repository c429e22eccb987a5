//! Gathering: records of a batch into the connections of their windows.

use portolan_model::{
    Flags, FlowBatch, FlowColumns, Ip, Nanos, Proto, Role, ScopeId, Source, Window, WindowLen, Xlat,
};
use smallvec::SmallVec;

use super::FlowResolver;
use super::addrs::AddrId;
use super::key::{ConnKey, End, Side};
use super::masks::reach;
use super::orient;
use super::table::{Extra, Mark, Tally, warm_keys};
/// A record is split over at most this many windows, counted from its end: an hour of the default
/// length. Exporters cut slices after seconds or minutes.
const MAX_PARTS: u64 = 360;

/// Records whose connections are brought near together.
const WARM: usize = 128;

/// A part of a record in one window.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) window: Window,
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// Addresses and connection of a row.
#[derive(Copy, Clone)]
pub(super) struct Row {
    key: ConnKey,
    from: Side,
    agent: AddrId,
    /// Where the connection stands in the table of the record's first window, if it was there when it
    /// was brought near.
    place: Option<u32>,
}

/// What one window has to tell of a connection to another.
pub(super) struct News {
    window: Window,
    key: ConnKey,
    /// It goes on there, so what was looked up of it is to be looked up again; otherwise only a
    /// judgement that asked its neighbours is to be made again.
    looks_again: bool,
}

/// Numbers of the addresses of the last records: both directions of a connection come together, and
/// an agent's records too.
#[derive(Default)]
struct Recent {
    known: [(ScopeId, Ip, AddrId); 4],
    next: usize,
}

/// The window of the last record.
#[derive(Default)]
struct Near {
    window: Window,
    start: Nanos,
    end: Nanos,
}

// === impl Recent ===

impl Recent {
    fn get(&self, scope: ScopeId, ip: Ip) -> Option<AddrId> {
        let known = self.known.iter().find(|known| (known.0, known.1) == (scope, ip));
        known.filter(|_| !ip.is_none()).map(|known| known.2)
    }

    fn put(&mut self, scope: ScopeId, ip: Ip, id: AddrId) {
        self.known[self.next] = (scope, ip, id);
        self.next = (self.next + 1) % self.known.len();
    }
}

// === impl Near ===

impl Near {
    fn window(&mut self, at: Nanos, len: WindowLen) -> Window {
        if at < self.start || self.end <= at {
            self.window = len.window(at);
            (self.start, self.end) = (self.window.start(), self.window.end(len));
        }
        self.window
    }
}

// === impl FlowResolver ===

impl FlowResolver {
    pub(super) fn gather(&mut self, batch: &FlowBatch) {
        let flows = &batch.flows;
        // Numbers first, for the whole batch: the look-ups of different records then wait for
        // memory together.
        let mut rows = std::mem::take(&mut self.rows);
        let mut recent = Recent::default();
        rows.extend((0..flows.len()).map(|at| self.number(flows, at, &mut recent)));
        let mut xlats = flows.xlats.iter().peekable();
        self.batch += 1;
        self.agents.note(flows, self.window);
        self.note_sources(flows);
        let mut near = Near::default();
        for at in 0..rows.len() {
            if at % WARM == 0 {
                self.warm(flows, &mut rows, at);
            }
            let row = rows[at];
            let xlat = xlats.next_if(|(r, _)| *r as usize == at).map(|(_, x)| *x);
            if is_icmp_error(flows, at) {
                self.tally.icmp_errors += 1;
                continue;
            }
            let window = near.window(flows.start[at], self.window);
            if flows.end[at] <= near.end || window == last_window_of(flows, at, self.window) {
                self.add(batch, at, row, whole(flows, at, window), xlat);
            } else {
                for part in split(flows, at, self.window) {
                    let place = row.place.filter(|_| part.window == window);
                    self.add(batch, at, Row { place, ..row }, part, xlat);
                }
            }
        }
        rows.clear();
        self.rows = rows;
        self.tell_neighbours();
    }

    /// Reads what the next records will read, and notes where it stands.
    fn warm(&self, flows: &FlowColumns, rows: &mut [Row], from: usize) {
        let mut near = Near::default();
        let block = (from..).zip(&rows[from..rows.len().min(from + WARM)]);
        warm_keys(block.filter_map(|(at, row)| {
            let table = self.tables.get(near.window(flows.start[at], self.window))?;
            Some((table, row.key))
        }));
        let mut sum = 0_u64;
        let mut near = Near::default();
        let mut last = None;
        let mut place = None;
        for (at, row) in rows.iter_mut().enumerate().skip(from).take(WARM) {
            let key = row.key;
            let window = near.window(flows.start[at], self.window);
            if last.replace((key, window)) != Some((key, window)) {
                let table = self.tables.get(window);
                place = table.and_then(|table| table.place_of(key));
                if let Some((table, place)) = table.zip(place) {
                    sum = sum.wrapping_add(table.conns[place].warm());
                }
            }
            row.place = place;
            if near.end < flows.end[at]
                && let Some(table) = self.tables.get(window.next(self.window))
            {
                sum = sum.wrapping_add(table.warm(key));
            }
        }
        std::hint::black_box(sum);
    }

    fn number(&mut self, flows: &FlowColumns, at: usize, recent: &mut Recent) -> Row {
        let scope = flows.scope[at];
        let mut intern = |ip: Ip| {
            recent.get(scope, ip).unwrap_or_else(|| {
                let id = self.addrs.intern(scope, ip.beyond_nat64(), &self.directory);
                recent.put(scope, ip, id);
                id
            })
        };
        let proto = flows.proto[at];
        let ports =
            if proto.has_ports() { (flows.src_port[at], flows.dst_port[at]) } else { (0, 0) };
        let src = End { addr: intern(flows.src[at]), port: ports.0 };
        let dst = End { addr: intern(flows.dst[at]), port: ports.1 };
        let agent = intern(flows.agent[at]);
        let (key, from) = ConnKey::new(src, dst, proto);
        Row { key, from, agent, place: None }
    }

    fn add(&mut self, batch: &FlowBatch, at: usize, row: Row, part: Part, xlat: Option<Xlat>) {
        let flows = &batch.flows;
        let (table, place) = if part.window < self.folded
            && let Some(late) = self.late.table_of(part.window, row.key)
        {
            (late, None)
        } else {
            let table = self.tables.open(part.window, || {
                let mut table = self.spare.pop().unwrap_or_default();
                table.clear();
                table
            });
            table.came_from(self.batch, batch.partition.0, batch.first_offset);
            (table, row.place)
        };
        let conn = table.conn(row.key, place);
        let is_new = conn.is_new();
        let mark = Mark {
            id: Mark::id(flows.start[at], flows.end[at], flows.bytes[at] == 0),
            start_ms: ((part.from - part.window.start()) / 1_000_000) as u32,
            flags: flags_of(flows.flags[at], part),
        };
        let tally = conn.tally(row.agent, row.from, flows.source[at], flows.start[at]);
        if tally.marks.iter().any(|m| m.id == mark.id) {
            self.tally.duplicates += i64::from(part.is_first);
            return;
        }
        tally.marks.push(mark);
        let is_first_of_its_reporter = tally.marks.len() == 1;
        let may_begin_earlier = is_first_of_its_reporter || flows.start[at] < tally.begin;
        let reached = tally.reach(part.window, self.window, self.tolerance);
        fill(tally, flows, at, part);
        let reach = tally.reach(part.window, self.window, self.tolerance);
        // Better sources are looked for from where the connection begins.
        conn.looked &= !(self.mixed && may_begin_earlier);
        if part.is_last {
            fill_extra(&mut conn.extra, flows, at);
        }
        let comes_up = [
            mark.answers_near_start(self.tolerance)
                || mark.opens_near_start(self.tolerance)
                || (reach.start && !reached.start),
            reach.end && (mark.flags.syn() || mark.flags.syn_ack() || !reached.end),
        ];
        let continues = is_new && row.key.proto() != Proto::TCP;
        let tell = [0, 1].map(|end| comes_up[end] && !std::mem::replace(&mut conn.told[end], true));
        let from = row.from;
        match flows.role[at] {
            Role::Unknown => {}
            Role::SourceDialled => conn.dialled[from as usize] = true,
            Role::SourceAccepted => conn.dialled[from.other() as usize] = true,
            Role::Original => conn.tracked[from as usize] = true,
            Role::Reply => conn.tracked[from.other() as usize] = true,
        }
        if let Some(client) = echo(flows, at, row.from) {
            conn.echo[client as usize] = true;
        }
        if let Some(xlat) = xlat {
            self.note_rewrites(flows, at, row, part.window, xlat);
        }
        if self.mixed && is_first_of_its_reporter {
            self.touch_others(row.key, part.window);
        }
        let mut tell_of = |window, looks_again| {
            self.news.push(News { window, key: row.key, looks_again });
        };
        if tell[0] {
            tell_of(part.window.previous(self.window), false);
        }
        if tell[1] || continues {
            tell_of(part.window.next(self.window), continues);
        }
    }

    /// Tells other windows what the batch has for them. At its end, so that the look-ups wait for
    /// memory together.
    fn tell_neighbours(&mut self) {
        let mut news = std::mem::take(&mut self.news);
        for block in news.chunks(WARM) {
            warm_keys(block.iter().filter_map(|it| Some((self.tables.get(it.window)?, it.key))));
            for News { window, key, looks_again } in block {
                let Some(table) = self.tables.get_mut(*window) else { continue };
                if *looks_again {
                    table.touch_key(*key);
                } else {
                    table.touch_near(*key);
                }
            }
        }
        news.clear();
        self.news = news;
    }

    /// Notes that sources of several kinds tell of connections: from here on, windows look at each
    /// other, and what was judged without doing so is judged again.
    fn note_sources(&mut self, flows: &FlowColumns) {
        let Some(&first) = flows.source.first() else { return };
        let first: Source = *self.first_source.get_or_insert(first);
        if self.mixed || flows.source.iter().all(|source| *source == first) {
            return;
        }
        self.mixed = true;
        for (_, table) in self.tables.iter_mut() {
            for place in 0..table.len() as u32 {
                table.conns[place].looked = false;
                table.touch(place);
            }
        }
    }

    /// A reporter that is new to a connection may be a better one than those of its other windows.
    fn touch_others(&mut self, key: ConnKey, window: Window) {
        for (other, table) in self.tables.iter_mut() {
            if other != window {
                table.touch_key(key);
            }
        }
    }

    /// Keeps where the kernel sent what was addressed to either side.
    fn note_rewrites(
        &mut self,
        flows: &FlowColumns,
        at: usize,
        row: Row,
        window: Window,
        xlat: Xlat,
    ) {
        let scope = flows.scope[at];
        let ends = [
            (row.from, xlat.src, xlat.src_port, flows.src[at], flows.src_port[at]),
            (row.from.other(), xlat.dst, xlat.dst_port, flows.dst[at], flows.dst_port[at]),
        ];
        for (side, ip, port, raw_ip, raw_port) in ends {
            if ip.is_none() || (ip == raw_ip && (port == raw_port || port == 0)) {
                continue;
            }
            let addr = self.addrs.intern(scope, ip, &self.directory);
            let end = End { addr, port: if port == 0 { raw_port } else { port } };
            if self.rewritten_to.insert(end) {
                // Connections seen towards it so far did not know that they are landings.
                self.addrs.mark(addr);
            }
            let late = self.late.table_of(window, row.key);
            let table = late.or_else(|| self.tables.get_mut(window));
            table.expect("the record was just added to it").conn(row.key, None).rewrite(side, end);
        }
        self.note_mask(flows, at, window, xlat);
    }

    /// Keeps what the connection is called behind a translation of its source: the far side, and the
    /// node itself, see it under that name too, and it must not count twice.
    fn note_mask(&mut self, flows: &FlowColumns, at: usize, window: Window, xlat: Xlat) {
        let same = xlat.src == flows.src[at] && xlat.src_port == flows.src_port[at];
        if same || xlat.src.is_none() || xlat.dst.is_none() || xlat.src_port == 0 {
            return;
        }
        let scope = flows.scope[at];
        let mut intern = |ip: Ip| self.addrs.intern(scope, ip, &self.directory);
        let dst_port = if xlat.dst_port == 0 { flows.dst_port[at] } else { xlat.dst_port };
        let src = End { addr: intern(xlat.src), port: xlat.src_port };
        let dst = End { addr: intern(xlat.dst), port: dst_port };
        let (key, _) = ConnKey::new(src, dst, flows.proto[at]);
        if !self.masks.note(key, window) {
            return;
        }
        let tables = self.tables.iter_mut().chain(self.late.tables.iter_mut());
        for (_, table) in tables.filter(|(at, _)| reach(window, *at)) {
            if let Some(place) = table.place_of(key) {
                table.touch(place);
            }
        }
    }
}

fn fill(tally: &mut Tally, flows: &FlowColumns, at: usize, part: Part) {
    let scale = u64::from(flows.sampling[at].max(1));
    tally.bytes = tally.bytes.saturating_add(part.bytes.saturating_mul(scale));
    tally.packets = tally.packets.saturating_add(part.packets.saturating_mul(scale));
    tally.sampled += u32::from(scale > 1);
    tally.scale = tally.scale.max(flows.sampling[at]);
    tally.flags = orient::with(tally.flags, flows.flags[at]);
    tally.begin = tally.begin.min(flows.start[at]);
    tally.last = tally.last.max(part.to);
}

fn fill_extra(extra: &mut Extra, flows: &FlowColumns, at: usize) {
    if flows.rtt[at] != 0 {
        extra.rtt_sum_micros = extra.rtt_sum_micros.saturating_add(flows.rtt[at] / 1_000);
        extra.rtt_count += 1;
    }
    extra.drop_bytes = extra.drop_bytes.saturating_add(flows.drop_bytes[at]);
    extra.drop_packets = extra
        .drop_packets
        .saturating_add(u32::try_from(flows.drop_packets[at]).unwrap_or(u32::MAX));
}

/// A part opens with the record's start and closes with its end.
fn flags_of(flags: Flags, part: Part) -> Flags {
    const OPENS: u16 = Flags::SYN | Flags::SYN_ACK;
    const CLOSES: u16 = Flags::FIN | Flags::RST | Flags::FIN_ACK | Flags::RST_ACK;
    let mut kept = flags.0;
    if !part.is_first {
        kept &= !OPENS;
    }
    if !part.is_last {
        kept &= !CLOSES;
    }
    Flags(kept)
}

fn is_icmp(proto: Proto) -> bool {
    proto == Proto::ICMP || proto == Proto::ICMP6
}

/// Errors (unreachable, time exceeded) speak of another flow, and so does whatever names ports, which
/// ICMP has not: they make no edge of their own.
fn is_icmp_error(flows: &FlowColumns, at: usize) -> bool {
    let is_echo = matches!(
        (flows.proto[at], flows.icmp_type[at]),
        (Proto::ICMP, 0 | 8) | (Proto::ICMP6, 128 | 129)
    );
    is_icmp(flows.proto[at]) && (!is_echo || flows.src_port[at] != 0 || flows.dst_port[at] != 0)
}

fn echo(flows: &FlowColumns, at: usize, from: Side) -> Option<Side> {
    if !is_icmp(flows.proto[at]) {
        return None;
    }
    match flows.icmp_type[at] {
        8 | 128 => Some(from),
        _ => Some(from.other()),
    }
}

fn whole(flows: &FlowColumns, at: usize, window: Window) -> Part {
    Part {
        window,
        from: flows.start[at],
        to: flows.end[at],
        bytes: flows.bytes[at],
        packets: flows.packets[at],
        is_first: true,
        is_last: true,
    }
}

/// The window of the last instant: a record that ends on a boundary does not reach over it.
fn last_window_of(flows: &FlowColumns, at: usize, len: WindowLen) -> Window {
    let (start, end) = (flows.start[at], flows.end[at]);
    len.window(if end > start { end - 1 } else { end })
}

/// Divides a record over the windows it crosses, in proportion to time; the remainder of the
/// division goes to the last, so that the sum is kept (flow semantics, section 3.3).
pub(super) fn split(flows: &FlowColumns, at: usize, len: WindowLen) -> SmallVec<[Part; 2]> {
    let (start, end) = (flows.start[at], flows.end[at]);
    let (bytes, packets) = (flows.bytes[at], flows.packets[at]);
    let span = end - start;
    let last = last_window_of(flows, at, len);
    let earliest = last.start().saturating_sub((MAX_PARTS - 1) * len.nanos());
    let mut window = len.window(start.max(earliest));
    let mut from = start;
    let mut left = (bytes, packets);
    let mut parts = SmallVec::new();
    loop {
        let is_last = window == last;
        let to = if is_last { end } else { window.end(len) };
        let share = |total: u64| match total.checked_mul(to - from) {
            Some(product) => product / span,
            None => (u128::from(total) * u128::from(to - from) / u128::from(span)) as u64,
        };
        let (b, p) = if is_last { left } else { (share(bytes), share(packets)) };
        left = (left.0 - b, left.1 - p);
        parts.push(Part {
            window,
            from: from.max(window.start()),
            to,
            bytes: b,
            packets: p,
            is_first: parts.is_empty(),
            is_last,
        });
        if is_last {
            return parts;
        }
        from = to;
        window = window.next(len);
    }
}
