//! Edges and paths: the additive rows that the line produces and the store keeps.

use smallvec::SmallVec;

use crate::{Counters, EntityId, Nanos, Proto, Window};

/// The kind of evidence that an edge comes from. Layers are stored apart and never added together.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Layer {
    /// Flow records.
    Network = 0,
    /// RPC and HTTP metrics.
    Ipc = 1,
    /// Spans.
    Trace = 2,
}

/// What an edge is, within one window. The order of the fields is the order of rows on disk.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey {
    /// Base window.
    pub window: Window,
    /// Layer.
    pub layer: Layer,
    /// The side that calls.
    pub client: EntityId,
    /// The side that is called.
    pub server: EntityId,
    /// Transport protocol.
    pub proto: Proto,
    /// The server's port; 0 where the protocol has none.
    pub port: u16,
    /// Whether the direction is known.
    pub direction: Direction,
}

/// Whether an edge has a direction.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Direction {
    /// Client and server are known, by evidence (flow semantics, section 2).
    #[default]
    Known = 0,
    /// No evidence: the ends stand in canonical order.
    Unknown = 1,
}

/// A change of one edge row. Additive: any order, any grouping gives the same sum.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct EdgeDelta {
    /// Which row.
    pub key: EdgeKey,
    /// What to add.
    pub counters: Counters,
    /// Earliest event (merged by minimum); [`Nanos::MAX`] in a pure retraction.
    pub first_ns: Nanos,
    /// Latest event (merged by maximum); 0 in a pure retraction.
    pub last_ns: Nanos,
}

/// The hops between client and server, nearest the client first.
pub type Via = SmallVec<[EntityId; 2]>;

/// What a proven path is, within one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathKey {
    /// Base window.
    pub window: Window,
    /// Layer.
    pub layer: Layer,
    /// The real client.
    pub client: EntityId,
    /// The real server.
    pub server: EntityId,
    /// Protocol of the leg `client -> via[0]`.
    pub proto: Proto,
    /// Port of the leg `client -> via[0]` (for [`PathKind::Leg`]: of the leg itself).
    pub front_port: u16,
    /// The server's own port.
    pub port: u16,
    /// The hops; for [`PathKind::Leg`], empty.
    pub via: Via,
    /// What the row says.
    pub kind: PathKind,
    /// How it is proven.
    pub evidence: Evidence,
}

/// What a path row says about raw edges. Raw edges are never rewritten: the view subtracts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PathKind {
    /// The leg `client -> via[0]` is the same traffic as a raw edge `client -> server` that was
    /// seen as well: take it off the leg, name the hop on the edge, add nothing.
    Explained = 0,
    /// The leg `client -> via[0]` is traffic of `client -> server` that nobody saw directly: take
    /// it off the leg, add it to the edge.
    Moved = 1,
    /// The raw edge `client -> server` is a hop's own leg towards its target, whose callers are
    /// known by other rows: take it off, add nothing.
    Leg = 2,
}

/// How a hop is proven (flow semantics, section 4.3). The order is that of strength.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Evidence {
    /// L1: both tuples of one connection in one record (conntrack rewrite).
    Rewrite = 0,
    /// L1-equivalent: the same client socket seen towards the service address and towards one of
    /// its backends.
    Alias = 1,
    /// L2: the same instance, or an address that the hop itself named.
    Identity = 2,
    /// L3: joined logs of the hop.
    Logs = 3,
    /// L3': declared to forward to one target service only.
    Declared = 4,
    /// L4: one trace across the hop.
    Trace = 5,
}

/// A change of one path row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathDelta {
    /// Which row.
    pub key: PathKey,
    /// What to add.
    pub counters: Counters,
    /// Earliest event (minimum).
    pub first_ns: Nanos,
    /// Latest event (maximum).
    pub last_ns: Nanos,
}

/// How far a query folds hops away.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Collapse {
    /// Raw hops, as observed.
    None,
    /// Address rewrites only (service addresses, NAT).
    L4,
    /// These and the proxies of a mesh.
    Mesh,
    /// All that is proven per connection, log or trace.
    Proven,
    /// And what is declared to have one target.
    #[default]
    ProvenAndDeclared,
    /// The same, and beside it the edges that may be: where what is left of a hop may have gone. These are
    /// inferred, and flagged.
    Possible,
}

/// How sure the owner of an address is (flow semantics, section 1.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Resolution {
    /// One claim covers the instant.
    Exact = 0,
    /// One claim covers it within the tolerance of the clocks.
    Tolerant = 1,
    /// The sender spoke before its claim began.
    Early = 2,
    /// The dialled address was released a moment before.
    Lingering = 3,
    /// Several owners.
    Ambiguous = 4,
    /// None.
    #[default]
    Unresolved = 5,
    /// None, and the address is a public one: the outside, as far as anybody told.
    Outside = 6,
}

// === impl Resolution ===

impl Resolution {
    /// Whether a claim that is yet to come may well change the answer. Of the outside it is taken for final:
    /// whoever owns public addresses tells of them before he uses them, and strangers never do.
    pub const fn is_provisional(self) -> bool {
        !matches!(self, Self::Exact | Self::Outside)
    }

    /// The less sure of two. The outside is known to be just that: only an exact owner is surer.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        const fn doubt(it: Resolution) -> u8 {
            match it {
                Resolution::Exact => 0,
                Resolution::Outside => 1,
                _ => 1 + it as u8,
            }
        }
        if doubt(other) > doubt(self) { other } else { self }
    }
}

// === impl EdgeDelta ===

impl EdgeDelta {
    /// Adds a change of the same row.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.key, other.key, "merging two rows");
        self.counters.add(&other.counters);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

// === impl PathDelta ===

impl PathDelta {
    /// Adds a change of the same row.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.key, other.key, "merging two rows");
        self.counters.add(&other.counters);
        self.first_ns = self.first_ns.min(other.first_ns);
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

// === codes ===

macro_rules! codes {
    ($name:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            /// Every value, in the order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The value of a code, if there is one.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.get(usize::from(code)).copied()
            }

            /// The word that people and JSON see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

codes!(Layer: Network = "network", Ipc = "ipc", Trace = "trace");
codes!(Direction: Known = "known", Unknown = "unknown");
codes!(PathKind: Explained = "explained", Moved = "moved", Leg = "leg");
codes!(Evidence: Rewrite = "rewrite", Alias = "alias", Identity = "identity", Logs = "logs",
    Declared = "declared", Trace = "trace");
codes!(Resolution: Exact = "exact", Tolerant = "tolerant", Early = "early",
    Lingering = "lingering", Ambiguous = "ambiguous", Unresolved = "unresolved", Outside = "outside");
