//! The arrows of the line: what one stage hands to the next.

use std::sync::Arc;

use portolan_model::{
    CallDelta, Certainty, Counters, EdgeDelta, Entity, EntityId, FlowBatch, HealthKey, HealthRow,
    HopClass, Ip, LearnedPort, MetricBatch, Nanos, Note, Notes, OwnerEvent, OwnerKey, OwnerRecord,
    PathDelta, Plain, Proto, Socket, SpanBatch, TraceRow, Via, Window,
};
use portolan_model::{Evidence, ScopeId};

/// What the sources hand to the resolver.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one message holds thousands of records")]
pub enum Intake {
    /// Flow records of one partition.
    Flows(FlowBatch),
    /// Ownership events.
    Owners(Vec<OwnerEvent>),
    /// Spans of one partition.
    Spans(SpanBatch),
    /// Points of metrics of one partition.
    Metrics(MetricBatch),
    /// What people and tools say of entities.
    Notes(Vec<Note>),
}

/// What an epoch changes in the graph. All rows are additive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deltas {
    /// Edge rows.
    pub edges: Vec<EdgeDelta>,
    /// Path rows.
    pub paths: Vec<PathDelta>,
    /// Rows of calls.
    pub calls: Vec<CallDelta>,
    /// Entities named for the first time.
    pub entities: Vec<(EntityId, Entity)>,
    /// Versions of owners that changed.
    pub owners: Vec<OwnerRecord>,
    /// Versions that nothing kept asks for any more.
    pub owners_gone: Vec<OwnerKey>,
    /// What changes in the notes.
    pub notes: Notes,
    /// Traces that are kept as exemplars, and those that are no more.
    pub traces: Vec<TraceRow>,
    /// See `traces`.
    pub traces_gone: Vec<u128>,
    /// What was judged of edges and services (the aggregator's word).
    pub health: Vec<HealthRow>,
    /// Of whom nothing is known any more.
    pub health_gone: Vec<HealthKey>,
    /// All agents that count as alive, if any changed: see [`EpochCommit::agents`](portolan_model::EpochCommit).
    pub agents: Option<Arc<[(Ip, Nanos)]>>,
    /// All learned ports, if any changed: see [`EpochCommit::learned`](portolan_model::EpochCommit).
    pub learned: Option<Arc<[LearnedPort]>>,
}

/// What the resolver hands to the collapser: raw edges, and the connections that touch a hop.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    /// Raw edges and the rest that only passes through.
    pub deltas: Deltas,
    /// Connections towards a hop that changed.
    pub hops: Vec<HopChange>,
    /// Connections towards an address that some hop forwards to.
    pub landings: Vec<LandingChange>,
}

/// The agent whose sample something was counted from, as a hash of its address; 0 where nothing was
/// left out.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sampler(pub u32);

/// A connection towards a hop in one window: its new state, replacing any earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopChange {
    /// Scope of the client's socket.
    pub scope: ScopeId,
    /// Protocol.
    pub proto: Proto,
    /// The client's socket.
    pub client: Socket,
    /// The hop's socket.
    pub hop: Socket,
    /// Window.
    pub window: Window,
    /// The connection as it is now; absent if it is no longer one towards a hop.
    pub state: Option<Arc<HopConnection>>,
}

/// What is known of a connection towards a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopConnection {
    /// Who dials.
    pub client: EntityId,
    /// The hop.
    pub hop: EntityId,
    /// Its class.
    pub class: HopClass,
    /// Where the hop may forward this connection to.
    pub targets: Arc<[HopTarget]>,
    /// Where the client forwards to itself, if it is a balancer and the hop stands on its only way.
    pub beyond: Option<EntityId>,
    /// The target that the record itself names, with its evidence (conntrack rewrite).
    pub rewrite: Option<(HopTarget, Evidence)>,
    /// Whose sample the counters are.
    pub sampler: Sampler,
    /// What the raw edge `client -> hop` counts for it.
    pub counters: Plain,
    /// How sure its ends and direction are.
    pub certainty: Certainty,
    /// A claim that is yet to come may well change who is there: it is remembered for longer.
    pub provisional: bool,
    /// Earliest event.
    pub first_ns: Nanos,
    /// Latest event.
    pub last_ns: Nanos,
}

/// One place that a hop forwards to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HopTarget {
    /// Its socket.
    pub socket: Socket,
    /// Who owns the socket at the time. Where that is a hop which forwards to one place only, who is
    /// there, and so on: the end of the chain.
    pub entity: EntityId,
    /// The hops between the socket and that end, nearest the socket first.
    pub via: Via,
    /// The port at the end.
    pub port: u16,
}

/// A connection whose server socket is one that some hop forwards to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandingChange {
    /// Scope of the client's socket.
    pub scope: ScopeId,
    /// Protocol.
    pub proto: Proto,
    /// The client's socket.
    pub client: Socket,
    /// The server's socket.
    pub server: Socket,
    /// Window.
    pub window: Window,
    /// Who the server is; absent if the connection is no longer one towards it.
    pub entity: Option<EntityId>,
    /// Whose sample it was seen in.
    pub sampler: Sampler,
    /// See [`HopConnection::provisional`].
    pub provisional: bool,
}

// === impl HopConnection ===

impl HopConnection {
    /// What it adds to a row.
    pub(crate) fn sums(&self) -> Counters {
        self.counters.with(self.certainty)
    }
}

// === impl Sampler ===

impl Sampler {
    /// Nobody: all packets were looked at.
    pub const NONE: Self = Self(0);

    /// The agent at an address.
    pub fn at(agent: Ip) -> Self {
        let mixed = ((agent.0 >> 64) as u64 ^ agent.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self((mixed >> 32) as u32 | 1)
    }
}
