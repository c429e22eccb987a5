//! Calls: what spans and metrics say of an edge. Additive rows beside those of flows.
//!
//! Each source of evidence has rows of its own: counters of different sources are never added
//! (trace semantics, section C.11). A query takes, for each measure, the best source that has it.

use std::ops::{Index, IndexMut};

use crate::{EntityId, Latency, Layer, Nanos, Window};

/// How many call measures there are.
pub const CALL_MEASURES: usize = 16;

/// Where a row of calls comes from. The order is that of precedence for counts and latency, best
/// first (trace semantics, section C.11). The numeric value is the disk format: append, never reorder.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CallSource {
    /// Mesh metrics, as the destination's proxy reports them.
    MeshServer = 0,
    /// Mesh metrics, as the source's proxy reports them.
    MeshClient = 1,
    /// RPC, HTTP, database and messaging metrics of the called side.
    RpcServer = 2,
    /// The same of the calling side.
    RpcClient = 3,
    /// Metrics that another system derived from spans or packets (service graphs, span metrics).
    Derived = 4,
    /// Both halves of a call, by span and parent.
    TracePair = 5,
    /// A parent in another service, without a caller's span.
    TraceParent = 6,
    /// A caller's span alone; the other end is what it names.
    TracePeer = 7,
    /// A span link (messaging).
    TraceLink = 8,
    /// A span alone whose other end is an address with a known owner.
    TraceAddress = 9,
}

/// What kind of call it is. The numeric value is the disk format.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum CallProtocol {
    /// Not said.
    #[default]
    Unknown = 0,
    /// HTTP.
    Http = 1,
    /// gRPC.
    Grpc = 2,
    /// Another RPC system.
    Rpc = 3,
    /// A database or cache.
    Database = 4,
    /// To or from a topic or queue.
    Messaging = 5,
    /// From producer to consumer, past the topic: asynchronous.
    Async = 6,
    /// A bare connection of a mesh.
    Tcp = 7,
}

/// One sum that a row of calls keeps. The numeric value is the disk format: append, never reorder.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CallMeasure {
    /// Calls, scaled up by the sampling weight, in thousandths.
    CallsMilli = 0,
    /// Spans or samples behind them, unscaled: the row is there while this is not zero.
    Raw = 1,
    /// Calls that failed, by either side's word, in thousandths.
    ErrorsMilli = 2,
    /// Calls that failed as the client saw it, in thousandths.
    ClientErrorsMilli = 3,
    /// Calls that failed as the server saw it, in thousandths.
    ServerErrorsMilli = 4,
    /// Answers of class 4xx, in thousandths.
    Status4xxMilli = 5,
    /// Answers of class 5xx, or a server error of an RPC system, in thousandths.
    Status5xxMilli = 6,
    /// Attempts beyond the first of a call, in thousandths.
    RetriesMilli = 7,
    /// Sum of `w × (w − 1)` over the weights, in thousandths: the variance of the scaled count.
    VarianceMilli = 8,
    /// Bytes from client to server.
    BytesSent = 9,
    /// Bytes from server to client.
    BytesReceived = 10,
    /// Calls whose caller's half alone was seen.
    UnpairedClient = 11,
    /// Calls whose server's half alone was seen.
    UnpairedServer = 12,
    /// Calls whose clocks disagree: a gap below zero was taken for zero.
    ClockSkew = 13,
    /// Calls that came after their window was settled.
    Late = 14,
    /// Calls of synthetic origin (tests, bots).
    Synthetic = 15,
}

/// The sums of a row of calls.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct CallCounters([i64; CALL_MEASURES]);

/// What a row of calls is, within one window. The order of the fields is the order of rows on disk.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    /// Base window.
    pub window: Window,
    /// The side that calls.
    pub client: EntityId,
    /// The side that is called.
    pub server: EntityId,
    /// Where the row comes from; the layer follows from it.
    pub source: CallSource,
    /// Kind of call.
    pub protocol: CallProtocol,
    /// The operation, an entity of kind [`crate::EntityKind::Operation`]; [`EntityId::NONE`] where none is
    /// known, or where the edge has more than are kept apart.
    pub operation: EntityId,
}

/// A change of one row of calls. Additive: any order, any grouping gives the same sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallDelta {
    /// Which row.
    pub key: CallKey,
    /// What to add.
    pub counters: CallCounters,
    /// Latency as the client saw it.
    pub client: Latency,
    /// Latency as the server saw it.
    pub server: Latency,
    /// Client's less server's, of calls seen from both sides: network and queues.
    pub gap: Latency,
    /// Earliest event (merged by minimum); [`Nanos::MAX`] in a pure retraction.
    pub first_ns: Nanos,
    /// Latest event (merged by maximum); 0 in a pure retraction.
    pub last_ns: Nanos,
}

// === impl CallSource ===

impl CallSource {
    /// Every source, in the order of its code.
    pub const ALL: [Self; 10] = [
        Self::MeshServer,
        Self::MeshClient,
        Self::RpcServer,
        Self::RpcClient,
        Self::Derived,
        Self::TracePair,
        Self::TraceParent,
        Self::TracePeer,
        Self::TraceLink,
        Self::TraceAddress,
    ];

    /// The source of a code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The layer that it belongs to.
    pub const fn layer(self) -> Layer {
        match self {
            Self::MeshServer
            | Self::MeshClient
            | Self::RpcServer
            | Self::RpcClient
            | Self::Derived => Layer::Ipc,
            Self::TracePair
            | Self::TraceParent
            | Self::TracePeer
            | Self::TraceLink
            | Self::TraceAddress => Layer::Trace,
        }
    }

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MeshServer => "mesh_server",
            Self::MeshClient => "mesh_client",
            Self::RpcServer => "rpc_server",
            Self::RpcClient => "rpc_client",
            Self::Derived => "derived",
            Self::TracePair => "trace_pair",
            Self::TraceParent => "trace_parent",
            Self::TracePeer => "trace_peer",
            Self::TraceLink => "trace_link",
            Self::TraceAddress => "trace_address",
        }
    }
}

// === impl CallProtocol ===

impl CallProtocol {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Http,
        Self::Grpc,
        Self::Rpc,
        Self::Database,
        Self::Messaging,
        Self::Async,
        Self::Tcp,
    ];

    /// The kind of a code, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The word that people and JSON see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Rpc => "rpc",
            Self::Database => "database",
            Self::Messaging => "messaging",
            Self::Async => "async",
            Self::Tcp => "tcp",
        }
    }
}

// === impl CallMeasure ===

impl CallMeasure {
    /// All of them, in the order of the disk format.
    pub const ALL: [Self; CALL_MEASURES] = [
        Self::CallsMilli,
        Self::Raw,
        Self::ErrorsMilli,
        Self::ClientErrorsMilli,
        Self::ServerErrorsMilli,
        Self::Status4xxMilli,
        Self::Status5xxMilli,
        Self::RetriesMilli,
        Self::VarianceMilli,
        Self::BytesSent,
        Self::BytesReceived,
        Self::UnpairedClient,
        Self::UnpairedServer,
        Self::ClockSkew,
        Self::Late,
        Self::Synthetic,
    ];
}

// === impl CallCounters ===

impl CallCounters {
    /// All zero.
    pub const ZERO: Self = Self([0; CALL_MEASURES]);

    /// From the raw sums, in the order of [`CallMeasure::ALL`].
    pub const fn from_array(sums: [i64; CALL_MEASURES]) -> Self {
        Self(sums)
    }

    /// The raw sums, in the order of [`CallMeasure::ALL`].
    pub const fn as_array(&self) -> &[i64; CALL_MEASURES] {
        &self.0
    }

    /// Whether nothing is left.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|sum| *sum == 0)
    }

    /// Adds the other's sums.
    pub fn add(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a = a.saturating_add(*b);
        }
    }

    /// Takes the other's sums away.
    pub fn subtract(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a = a.saturating_sub(*b);
        }
    }
}

impl Index<CallMeasure> for CallCounters {
    type Output = i64;
    fn index(&self, measure: CallMeasure) -> &i64 {
        &self.0[measure as usize]
    }
}

impl IndexMut<CallMeasure> for CallCounters {
    fn index_mut(&mut self, measure: CallMeasure) -> &mut i64 {
        &mut self.0[measure as usize]
    }
}

// === impl CallDelta ===

impl CallDelta {
    /// A change that adds nothing yet.
    pub fn new(key: CallKey) -> Self {
        Self {
            key,
            counters: CallCounters::ZERO,
            client: Latency::default(),
            server: Latency::default(),
            gap: Latency::default(),
            first_ns: Nanos::MAX,
            last_ns: 0,
        }
    }

    /// Whether it changes nothing.
    pub fn is_zero(&self) -> bool {
        self.counters.is_zero()
            && [&self.client, &self.server, &self.gap].iter().all(|l| l.is_zero())
    }

    /// Adds a change of the same row.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.key, other.key, "merging two rows");
        self.counters.add(&other.counters);
        self.client.add(&other.client);
        self.server.add(&other.server);
        self.gap.add(&other.gap);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_the_lists_is_the_disk_format() {
        for (place, measure) in CallMeasure::ALL.iter().enumerate() {
            assert_eq!(*measure as usize, place);
        }
        for (place, source) in CallSource::ALL.iter().enumerate() {
            assert_eq!(*source as usize, place);
        }
        for (place, protocol) in CallProtocol::ALL.iter().enumerate() {
            assert_eq!(*protocol as usize, place);
        }
    }
}
