//! One connection: when its packets pass, and what an agent that looks in slices sees of them.
//!
//! Packets of a direction stand on a grid: `first + i * gap`, except the last one, which passes at
//! `last`. So any slice can be computed from its two ends, slices of any length add up to the same
//! totals, and a connection can be cut short without touching what was already seen.

use portolan_model::{Flags, Nanos, Proto, Socket};

use crate::plan::Drawn;
use crate::truth::RowIx;
use crate::world::PodIx;

/// Bytes of a SYN or SYN-ACK with usual options, Ethernet header included.
const OPENING: u32 = 74;
/// Bytes of a bare ACK with timestamps, with or without FIN.
const BARE: u32 = 66;
/// Bytes of a RST.
const RESET: u32 = 54;
const ACK: u16 = 0x10;
const SECOND: u64 = 1_000_000_000;

/// The packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// When the first packet passes the client.
    pub(crate) first: Nanos,
    /// Between packets.
    gap: u64,
    /// How many packets in all.
    packets: u32,
    /// When the last one passes, if there is more than one.
    last: Nanos,
    /// Bytes of the first, of each in between, and of the last.
    bytes: [u32; 3],
    /// Flags likewise.
    flags: [u16; 3],
}

/// Packets of a direction between two instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    pub(crate) flags: Flags,
    /// The first packet of the direction is among them.
    pub(crate) opens: bool,
    /// Number of the first of them in its direction, where none is left out.
    pub(crate) from: u32,
}

/// How a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered and closed.
    Served,
    /// Reset at once.
    Refused,
    /// Never answered: three SYNs.
    Unanswered,
}

/// An agent that sees the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Node of the agent.
    pub(crate) node: u32,
    /// How much later the client's packets pass here than at the client, and how much earlier the
    /// server's.
    pub(crate) delay: u64,
    /// It sees both sides of a translation: it is on the client's node.
    pub(crate) front: bool,
    /// Truth counts what this agent sees.
    pub(crate) designated: bool,
    /// Packets already reported, forward and back.
    pub(crate) sent: [u32; 2],
    /// When it looks next.
    pub(crate) due: Nanos,
}

/// One tuple of a connection, as the kernel shows it at some interface.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuple {
    pub(crate) src: Socket,
    pub(crate) dst: Socket,
    /// 0 from client to server, 1 back.
    pub(crate) direction: usize,
    /// It is the tuple before translation: with the service address in place of the server's, and
    /// the client's own in place of the node's.
    pub(crate) front: bool,
}

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) proto: Proto,
    pub(crate) client: Socket,
    /// The service address that was dialled, if it was one.
    pub(crate) front: Option<Socket>,
    pub(crate) server: Socket,
    /// What the client's node puts in place of the client's socket, if it does.
    pub(crate) masked: Option<Socket>,
    /// Some record told of the mask.
    pub(crate) named: bool,
    /// Client to server, and back.
    pub(crate) streams: [Stream; 2],
    pub(crate) views: Vec<View>,
    /// The pods at its ends.
    pub(crate) ends: [Option<PodIx>; 2],
    /// Truth rows: towards the service address, towards the server, and of the collapsed map.
    pub(crate) front_row: Option<RowIx>,
    pub(crate) server_row: RowIx,
    pub(crate) folded_row: Option<RowIx>,
    /// Smoothed round-trip time in nanoseconds; 0 if not measured.
    pub(crate) rtt: u64,
    /// The other legs, on the far sides of load balancers.
    pub(crate) pairs: Vec<u64>,
}

// === impl Stream ===

impl Stream {
    /// Both directions of a connection opened at `at`.
    pub(crate) fn both(proto: Proto, fate: Fate, drawn: &Drawn, at: Nanos, rtt: u64) -> [Self; 2] {
        let none = Self { first: at, gap: 0, packets: 0, last: at, bytes: [0; 3], flags: [0; 3] };
        match fate {
            Fate::Unanswered => {
                // Linux retries after one second and then after two more.
                let gap = SECOND;
                let last = at + 3 * SECOND;
                let flags = [Flags::SYN; 3];
                [Self { gap, packets: 3, last, bytes: [OPENING; 3], flags, ..none }, none]
            }
            Fate::Refused => {
                let open = Self { packets: 1, bytes: [OPENING, 0, 0], ..none };
                let open = Self { flags: [Flags::SYN, 0, 0], ..open };
                let reset = Self { first: at + rtt, packets: 1, bytes: [RESET, 0, 0], ..none };
                [open, Self { flags: [Flags::RST_ACK, 0, 0], ..reset }]
            }
            Fate::Served if proto == Proto::TCP => {
                let gap = drawn.gap.max(2 * rtt);
                let packets = drawn.packets.max(3);
                let span = gap * u64::from(packets - 1);
                let one = |first, body, opening| Self {
                    first,
                    gap,
                    packets,
                    last: first + span,
                    bytes: [OPENING, body, BARE],
                    flags: [opening, ACK, Flags::FIN_ACK],
                };
                let back = one(at + rtt, drawn.response, Flags::SYN_ACK);
                [one(at, drawn.request, Flags::SYN), back]
            }
            Fate::Served => {
                let (packets, gap) = (drawn.packets, drawn.gap);
                let span = gap * u64::from(packets - 1);
                let one = |first, bytes| {
                    let last = first + span;
                    Self { first, gap, packets, last, bytes: [bytes; 3], ..none }
                };
                [one(at, drawn.request), one(at + rtt, drawn.response)]
            }
        }
    }

    /// How many packets pass before `at`.
    pub(crate) fn seen(&self, at: Nanos) -> u32 {
        if self.packets == 0 || at <= self.first {
            return 0;
        }
        if self.packets == 1 || at > self.last {
            return self.packets;
        }
        let on_grid = (at - self.first - 1) / self.gap + 1;
        on_grid.min(u64::from(self.packets - 1)) as u32
    }

    /// When packet `index` passes.
    fn time(&self, index: u32) -> Nanos {
        if index > 0 && index + 1 == self.packets {
            self.last
        } else {
            self.first + self.gap * u64::from(index)
        }
    }

    /// Bytes of the first `packets` packets.
    fn bytes_of(&self, packets: u32) -> u64 {
        let [head, body, tail] = self.bytes.map(u64::from);
        match packets {
            0 => 0,
            n if n == self.packets && n > 1 => head + u64::from(n - 2) * body + tail,
            n => head + u64::from(n - 1) * body,
        }
    }

    /// Packets `from..to`, if that is any.
    pub(crate) fn slice(&self, from: u32, to: u32) -> Option<Slice> {
        if from >= to {
            return None;
        }
        let closes = to == self.packets && to > 1;
        let body = from.max(1) < to - u32::from(closes);
        let parts = [from == 0, body, closes];
        let flags = parts.iter().zip(self.flags).filter(|(there, _)| **there);
        Some(Slice {
            start: self.time(from),
            end: self.time(to - 1),
            packets: to - from,
            bytes: self.bytes_of(to) - self.bytes_of(from),
            flags: Flags(flags.fold(0, |all, (_, flag)| all | flag)),
            opens: from == 0,
            from,
        })
    }

    /// Those of packets `from..to` that are kept, as a sampling agent has them.
    pub(crate) fn thin(&self, from: u32, to: u32, mut keep: impl FnMut() -> bool) -> Option<Slice> {
        let mut kept: Option<Slice> = None;
        for one in (from..to).filter_map(|at| self.slice(at, at + 1)) {
            if !keep() {
                continue;
            }
            kept = Some(kept.map_or(one, |all| Slice {
                end: one.end,
                packets: all.packets + 1,
                bytes: all.bytes + one.bytes,
                flags: Flags(all.flags.0 | one.flags.0),
                ..all
            }));
        }
        kept
    }

    /// When packet `index` passes, if there is one.
    pub(crate) fn next(&self, index: u32) -> Option<Nanos> {
        (index < self.packets).then(|| self.time(index))
    }

    /// Closes at `at` what would have gone on: one last packet there.
    pub(crate) fn cut(&mut self, at: Nanos) {
        if self.packets > 1 && self.last > at {
            let seen = self.seen(at);
            self.packets = seen + u32::from(seen > 0);
            self.last = at;
        } else if self.packets == 1 && self.first > at {
            self.packets = 0;
        }
    }

    /// When its last packet passes.
    fn end(&self) -> Nanos {
        match self.packets {
            0 => 0,
            n => self.time(n - 1),
        }
    }
}

// === impl View ===

impl View {
    /// When a packet that passes the client at `at` passes here.
    pub(crate) fn at(&self, direction: usize, at: Nanos) -> Nanos {
        if direction == 0 { at + self.delay } else { at.saturating_sub(self.delay) }
    }
}

// === impl Connection ===

impl Connection {
    /// When its last packet passes the client.
    pub(crate) fn end(&self) -> Nanos {
        self.streams[0].end().max(self.streams[1].end())
    }

    /// Closes it at `at`: the client then, the server a round trip later. No view can have seen
    /// anything of that: the server's packets pass it half a round trip before they pass the client.
    pub(crate) fn cut(&mut self, at: Nanos) {
        self.streams[0].cut(at);
        self.streams[1].cut(at + self.streams[1].first.saturating_sub(self.streams[0].first));
    }

    /// When view `view` should look again, after `now`: with the agent's next export that finds
    /// something, or just after the last packet. Nothing if all was seen.
    pub(crate) fn due(&self, view: usize, phase: u64, export: u64) -> Option<Nanos> {
        let view = &self.views[view];
        let pending =
            [0, 1].map(|dir| self.streams[dir].next(view.sent[dir]).map(|at| view.at(dir, at)));
        let next = pending.into_iter().flatten().min()?;
        let ends = [0, 1].map(|dir| view.at(dir, self.streams[dir].end()));
        let tick = (next + export - phase % export) / export * export + phase % export;
        // One microsecond past the packet, so that "before" includes it.
        Some(tick.min(ends[0].max(ends[1])).max(next) + 1_000)
    }

    /// What view `view` sees before `now` and has not reported, by direction; it counts as reported
    /// from here on.
    pub(crate) fn look(&mut self, view: usize, now: Nanos) -> [Option<Slice>; 2] {
        let Self { streams, views, .. } = self;
        let view = &mut views[view];
        [0, 1].map(|dir| {
            // The inverse of `View::at`.
            let upto = if dir == 0 { now.saturating_sub(view.delay) } else { now + view.delay };
            let seen = streams[dir].seen(upto).max(view.sent[dir]);
            let slice = streams[dir].slice(view.sent[dir], seen);
            view.sent[dir] = seen;
            let (start, end) = slice.map(|s| (view.at(dir, s.start), view.at(dir, s.end)))?;
            slice.map(|s| Slice { start, end, ..s })
        })
    }

    /// Whether the client's node rewrites an address.
    pub(crate) fn is_translated(&self) -> bool {
        self.front.is_some() || self.masked.is_some()
    }

    /// What the server's side sees of the client.
    pub(crate) fn onward(&self) -> Socket {
        self.masked.unwrap_or(self.client)
    }

    /// The tuples that an agent sees of it.
    pub(crate) fn tuples(&self, front: bool) -> impl Iterator<Item = Tuple> + use<> {
        let (client, dialled) = (self.client, self.front.unwrap_or(self.server));
        let (onward, server) = (self.onward(), self.server);
        let twice = front && self.is_translated();
        let tuple = |src, dst, direction, front| Tuple { src, dst, direction, front };
        [
            twice.then(|| tuple(client, dialled, 0, true)),
            Some(tuple(onward, server, 0, false)),
            Some(tuple(server, onward, 1, false)),
            twice.then(|| tuple(dialled, client, 1, true)),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWN: Drawn = Drawn { packets: 5, gap: 1_000, request: 100, response: 200 };

    fn tcp() -> [Stream; 2] {
        Stream::both(Proto::TCP, Fate::Served, &DRAWN, 10_000, 100)
    }

    #[test]
    fn slices_add_up_wherever_they_are_cut() {
        let [forward, _] = tcp();
        let whole = forward.slice(0, forward.seen(u64::MAX)).unwrap();
        assert_eq!((whole.packets, whole.bytes), (5, 74 + 3 * 100 + 66));
        for at in 9_000..16_000 {
            let seen = forward.seen(at);
            let parts = [forward.slice(0, seen), forward.slice(seen, 5)];
            let bytes: u64 = parts.iter().flatten().map(|s| s.bytes).sum();
            let flags = parts.iter().flatten().fold(0, |all, s| all | s.flags.0);
            assert_eq!((bytes, flags), (whole.bytes, whole.flags.0), "cut at {at}");
            assert!(parts[0].is_none_or(|s| s.end < at) && parts[1].is_none_or(|s| s.start >= at));
        }
    }

    #[test]
    fn handshake_is_in_the_first_slice_and_nowhere_else() {
        for (stream, flag) in tcp().iter().zip([Flags::SYN, Flags::SYN_ACK]) {
            assert_eq!(stream.slice(0, 1).unwrap().flags.0, flag);
            assert_eq!(stream.slice(1, 5).unwrap().flags.0, ACK | Flags::FIN_ACK);
        }
    }

    #[test]
    fn connection_cut_short_keeps_what_was_seen_and_closes() {
        for at in 10_101..16_000 {
            for mut stream in tcp() {
                let seen = stream.seen(at);
                let before = stream.slice(0, seen);
                stream.cut(at);
                let after = stream.slice(0, seen);
                assert_eq!(before, after, "cut at {at}");
                let whole = stream.slice(0, stream.seen(u64::MAX)).unwrap();
                assert!(whole.end <= at && whole.flags.closes(), "cut at {at}");
            }
        }
    }

    #[test]
    fn no_view_has_seen_what_a_cut_takes_away() {
        let socket = Socket::default();
        let view = View { node: 0, delay: 50, front: true, designated: true, sent: [0; 2], due: 0 };
        for at in 10_001..16_000 {
            let mut it = Connection {
                proto: Proto::TCP,
                client: socket,
                front: None,
                server: socket,
                masked: None,
                named: false,
                streams: tcp(),
                views: vec![view],
                ends: [None; 2],
                front_row: None,
                server_row: 0,
                folded_row: None,
                rtt: 100,
                pairs: Vec::new(),
            };
            let before = it.look(0, at);
            it.cut(at);
            let after = it.look(0, at + 1_000);
            for direction in [0, 1] {
                let parts = [before[direction], after[direction]];
                let seen: u64 = parts.iter().flatten().map(|slice| slice.bytes).sum();
                let whole = it.streams[direction].slice(0, it.streams[direction].packets);
                assert_eq!(seen, whole.map_or(0, |slice| slice.bytes), "cut at {at}");
            }
        }
    }

    #[test]
    fn unanswered_connection_is_syns_only() {
        let [forward, back] = Stream::both(Proto::TCP, Fate::Unanswered, &DRAWN, 0, 100);
        assert_eq!(forward.slice(0, 3).unwrap().flags.0, Flags::SYN);
        assert_eq!(forward.slice(2, 3).unwrap().start, 3 * SECOND);
        assert_eq!(back.slice(0, back.seen(u64::MAX)), None);
    }
}
