//! Flow records in columns: what every flow decoder fills, and the resolver reads.
//!
//! Columns, because the work on a batch is staged (decode, look up, add) and each stage then waits
//! for memory once per cache line instead of once per record.

use crate::{Ip, Nanos, PartitionId, Proto, ScopeId};

/// TCP flags as the eBPF agent sets them: one bit per packet, exclusive (flow semantics, section 2).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Flags(pub u16);

/// Address translation seen on the record itself; absent parts are [`Ip::NONE`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Xlat {
    /// Source after translation.
    pub src: Ip,
    /// Destination after translation.
    pub dst: Ip,
    /// Source port after translation.
    pub src_port: u16,
    /// Destination port after translation.
    pub dst_port: u16,
}

/// Where a record comes from: what its counters mean, and how its flags were made.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Source {
    /// eBPF agent at the interfaces of a node: `skb` bytes, one flag bit a packet.
    #[default]
    Ebpf = 0,
    /// Proxy or process: bytes of the payload, both directions known by role.
    Proxy = 1,
    /// Events of a datapath: existence and verdict, no counters (Hubble).
    Events = 2,
    /// Cloud flow logs: bytes of layer 3, flags OR-ed over the interval.
    CloudLog = 3,
    /// Routers (NetFlow, IPFIX, sFlow): bytes of layer 3, flags OR-ed, often sampled.
    Router = 4,
}

/// What the record itself says of which end is the client (flow semantics, section 2, E1 and E3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Role {
    /// Nothing.
    #[default]
    Unknown = 0,
    /// The source opened the connection: its socket, or the proxy that dialled, says so.
    SourceDialled = 1,
    /// The source accepted it.
    SourceAccepted = 2,
    /// Connection tracking: this is the original direction.
    Original = 3,
    /// Connection tracking: this is the reply direction.
    Reply = 4,
}

/// One flow record as a row. Decoders that are not on the hot path build rows; tests read them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FlowRow {
    /// Scope of both addresses.
    pub scope: ScopeId,
    /// Source of the packets.
    pub src: Ip,
    /// Destination of the packets.
    pub dst: Ip,
    /// Source port; 0 where there is none.
    pub src_port: u16,
    /// Destination port; 0 where there is none.
    pub dst_port: u16,
    /// Protocol.
    pub proto: Proto,
    /// Start of the slice.
    pub start: Nanos,
    /// End of the slice, at least `start`.
    pub end: Nanos,
    /// Bytes, unscaled.
    pub bytes: u64,
    /// Packets, unscaled.
    pub packets: u64,
    /// TCP flags.
    pub flags: Flags,
    /// The reporting agent's address.
    pub agent: Ip,
    /// One in how many packets was looked at; 0 and 1 mean all.
    pub sampling: u32,
    /// Smoothed round-trip time in nanoseconds; 0 means not measured.
    pub rtt: u64,
    /// Bytes dropped.
    pub drop_bytes: u64,
    /// Packets dropped.
    pub drop_packets: u64,
    /// ICMP type; 0 elsewhere.
    pub icmp_type: u8,
    /// Where the record comes from.
    pub source: Source,
    /// What it says of which end is the client.
    pub role: Role,
    /// Address translation, if the record has it.
    pub xlat: Option<Xlat>,
}

/// Flow records in columns. All dense columns have the same length; `xlats` is sparse, by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns are the fields of FlowRow, documented there")]
pub struct FlowColumns {
    pub scope: Vec<ScopeId>,
    pub src: Vec<Ip>,
    pub dst: Vec<Ip>,
    pub src_port: Vec<u16>,
    pub dst_port: Vec<u16>,
    pub proto: Vec<Proto>,
    pub start: Vec<Nanos>,
    pub end: Vec<Nanos>,
    pub bytes: Vec<u64>,
    pub packets: Vec<u64>,
    pub flags: Vec<Flags>,
    pub agent: Vec<Ip>,
    pub sampling: Vec<u32>,
    pub rtt: Vec<u64>,
    pub drop_bytes: Vec<u64>,
    pub drop_packets: Vec<u64>,
    pub icmp_type: Vec<u8>,
    pub source: Vec<Source>,
    pub role: Vec<Role>,
    /// Row and translation, by ascending row.
    pub xlats: Vec<(u32, Xlat)>,
}

/// Flow records of one partition, with where they stood: the unit that travels from the source to
/// a resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowBatch {
    /// Partition.
    pub partition: PartitionId,
    /// The lowest offset whose records are in the batch: a restart that must know these records
    /// again reads from here.
    pub first_offset: i64,
    /// Records.
    pub flows: FlowColumns,
}

// === impl Flags ===

impl Flags {
    /// FIN.
    pub const FIN: u16 = 0x01;
    /// A pure SYN.
    pub const SYN: u16 = 0x02;
    /// RST.
    pub const RST: u16 = 0x04;
    /// A SYN-ACK packet.
    pub const SYN_ACK: u16 = 0x100;
    /// A FIN-ACK packet.
    pub const FIN_ACK: u16 = 0x200;
    /// A RST-ACK packet.
    pub const RST_ACK: u16 = 0x400;

    /// A packet that only opens was seen.
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// A packet that answers an opening was seen.
    pub const fn syn_ack(self) -> bool {
        self.0 & Self::SYN_ACK != 0
    }

    /// A packet that ends the connection was seen.
    pub const fn closes(self) -> bool {
        self.0 & (Self::FIN | Self::RST | Self::FIN_ACK | Self::RST_ACK) != 0
    }

    /// A reset was seen.
    pub const fn reset(self) -> bool {
        self.0 & (Self::RST | Self::RST_ACK) != 0
    }
}

// === impl FlowColumns ===

macro_rules! each_column {
    ($self:ident, $do:ident $(, $arg:expr)*) => {
        $self.scope.$do($($arg),*); $self.src.$do($($arg),*); $self.dst.$do($($arg),*);
        $self.src_port.$do($($arg),*); $self.dst_port.$do($($arg),*); $self.proto.$do($($arg),*);
        $self.start.$do($($arg),*); $self.end.$do($($arg),*); $self.bytes.$do($($arg),*);
        $self.packets.$do($($arg),*); $self.flags.$do($($arg),*); $self.agent.$do($($arg),*);
        $self.sampling.$do($($arg),*); $self.rtt.$do($($arg),*); $self.drop_bytes.$do($($arg),*);
        $self.drop_packets.$do($($arg),*); $self.icmp_type.$do($($arg),*); $self.source.$do($($arg),*);
        $self.role.$do($($arg),*);
    };
}

impl FlowColumns {
    /// Columns with room for `rows` records, so that filling them does not allocate.
    pub fn with_capacity(rows: usize) -> Self {
        let mut columns = Self::default();
        each_column!(columns, reserve, rows);
        columns
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.src.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.src.is_empty()
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        each_column!(self, clear);
        self.xlats.clear();
    }

    /// Forgets the records from `rows` on: what a decoder does with a half-read message.
    pub fn truncate(&mut self, rows: usize) {
        each_column!(self, truncate, rows);
        while self.xlats.last().is_some_and(|(row, _)| *row as usize >= rows) {
            self.xlats.pop();
        }
    }

    /// Appends a record.
    #[inline]
    pub fn push(&mut self, row: &FlowRow) {
        if let Some(xlat) = row.xlat {
            self.xlats.push((self.len() as u32, xlat));
        }
        self.scope.push(row.scope);
        self.src.push(row.src);
        self.dst.push(row.dst);
        self.src_port.push(row.src_port);
        self.dst_port.push(row.dst_port);
        self.proto.push(row.proto);
        self.start.push(row.start);
        self.end.push(row.end);
        self.bytes.push(row.bytes);
        self.packets.push(row.packets);
        self.flags.push(row.flags);
        self.agent.push(row.agent);
        self.sampling.push(row.sampling);
        self.rtt.push(row.rtt);
        self.drop_bytes.push(row.drop_bytes);
        self.drop_packets.push(row.drop_packets);
        self.icmp_type.push(row.icmp_type);
        self.source.push(row.source);
        self.role.push(row.role);
    }

    /// The record at `at`. For tests and cold paths: it searches the sparse columns.
    pub fn row(&self, at: usize) -> FlowRow {
        FlowRow {
            scope: self.scope[at],
            src: self.src[at],
            dst: self.dst[at],
            src_port: self.src_port[at],
            dst_port: self.dst_port[at],
            proto: self.proto[at],
            start: self.start[at],
            end: self.end[at],
            bytes: self.bytes[at],
            packets: self.packets[at],
            flags: self.flags[at],
            agent: self.agent[at],
            sampling: self.sampling[at],
            rtt: self.rtt[at],
            drop_bytes: self.drop_bytes[at],
            drop_packets: self.drop_packets[at],
            icmp_type: self.icmp_type[at],
            source: self.source[at],
            role: self.role[at],
            xlat: self
                .xlats
                .binary_search_by_key(&(at as u32), |(row, _)| *row)
                .ok()
                .map(|i| self.xlats[i].1),
        }
    }

    /// All records as rows. For tests and cold paths.
    pub fn rows(&self) -> impl Iterator<Item = FlowRow> + '_ {
        (0..self.len()).map(|at| self.row(at))
    }
}

impl FromIterator<FlowRow> for FlowColumns {
    fn from_iter<I: IntoIterator<Item = FlowRow>>(rows: I) -> Self {
        let mut columns = Self::default();
        for row in rows {
            columns.push(&row);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in() {
        let plain = FlowRow { src: Ip::v4(1), dst: Ip::v4(2), bytes: 3, ..FlowRow::default() };
        let nat = FlowRow { xlat: Some(Xlat { dst: Ip::v4(9), ..Xlat::default() }), ..plain };
        let mut columns: FlowColumns = [plain, nat, plain].into_iter().collect();
        assert_eq!(columns.rows().collect::<Vec<_>>(), [plain, nat, plain]);
        columns.truncate(1);
        assert_eq!(columns.rows().collect::<Vec<_>>(), [plain]);
        assert!(columns.xlats.is_empty());
    }
}
