//! What a correct reader of the fleet's messages must find.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_model::{Entity, EntityKind, HopClass, Nanos, Proto};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Index of a row of the [`Ledger`].
pub(crate) type RowIx = u32;

/// The true map of what was exported so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// The map with service addresses and load balancers folded away: the real client and the real
    /// server, at the server's own port. Sorted.
    pub collapsed: Vec<TruthEdge>,
    /// The raw hops: towards service addresses, towards and from load balancers, and the direct
    /// traffic behind them. Sorted.
    pub raw: Vec<TruthEdge>,
}

/// One edge and what it counts.
///
/// `connections` grows when the slice that holds the opening packet (TCP: the first SYN; UDP: the
/// first datagram) leaves the fleet, on the designated agent: the one on the client's node, else
/// the one on the server's. Bytes are of the same agent, as `skb` lengths, both directions. What
/// that agent loses or does not sample is counted all the same, and the edge says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthEdge {
    /// Who calls.
    pub client: Entity,
    /// Who is called.
    pub server: Entity,
    /// Protocol.
    pub proto: Proto,
    /// The server's port.
    pub port: u16,
    /// Connections opened.
    pub connections: u64,
    /// Bytes from client to server.
    pub bytes_sent: u64,
    /// Bytes from server to client.
    pub bytes_received: u64,
    /// Earliest packet, on the agent's clock.
    pub first: Nanos,
    /// Latest packet.
    pub last: Nanos,
    /// Hops that were folded into the edge, sorted.
    pub via: Vec<Entity>,
    /// Records that the designated agents lost: what they told is counted here, and nowhere else.
    pub lost: u64,
    /// One in how many packets the designated agents looked at, at most: beyond 1, what they told is
    /// an estimate of what is counted here.
    pub sampling: u32,
    /// No agent told anything of the edge: no reader can know it.
    pub unseen: bool,
    /// Both ends use one port without a handshake: nothing tells who began. The ends stand in the
    /// order of who did.
    pub undirected: bool,
    /// It is what a node made of connections of others, and some of it is told by no record that says so: a reader can
    /// but show it.
    pub unnamed: bool,
}

/// An entity in JSON, with the names of `portolan.v1.Entity`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntityName {
    /// Environment; may be empty.
    #[serde(default)]
    pub environment: String,
    /// Namespace; may be empty.
    #[serde(default)]
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind, in the word of the contract.
    pub kind: String,
    /// The source's own word.
    #[serde(default)]
    pub detail: String,
    /// Class of a hop; empty elsewhere.
    #[serde(default)]
    pub hop_class: String,
}

/// An edge in JSON, with the names of `portolan.v1.Edge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeName {
    /// Who calls.
    pub client: EntityName,
    /// Who is called.
    pub server: EntityName,
    /// Protocol.
    pub protocol: String,
    /// The server's port.
    pub port: u16,
    /// Connections opened.
    pub connections: u64,
    /// Bytes from client to server.
    pub bytes_sent: u64,
    /// Bytes from server to client.
    pub bytes_received: u64,
    /// Microseconds since the Unix epoch.
    pub first_seen_unix_us: u64,
    /// Microseconds since the Unix epoch.
    pub last_seen_unix_us: u64,
    /// Hops folded away.
    pub via: Vec<EntityName>,
}

/// Truth while it grows: rows by index, so that a packet on its way carries four bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entities: Vec<Entity>,
    rows: Vec<Row>,
    index: FxHashMap<RowKey, RowIx>,
}

/// Index of an entity of the ledger.
pub(crate) type EntityIx = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct RowKey {
    folded: bool,
    client: EntityIx,
    server: EntityIx,
    proto: Proto,
    port: u16,
}

#[derive(Clone, Debug)]
struct Row {
    key: RowKey,
    connections: u64,
    bytes: [u64; 2],
    first: Nanos,
    last: Nanos,
    via: BTreeSet<EntityIx>,
    lost: u64,
    sampling: u32,
    seen: bool,
    undirected: bool,
    unnamed: bool,
    /// It leads from this balancer to its target.
    leg: Option<EntityIx>,
}

/// What a record adds to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addition {
    /// 0 from client to server, 1 back.
    pub(crate) direction: usize,
    pub(crate) bytes: u64,
    pub(crate) opens: bool,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
}

// === impl Ledger ===

impl Ledger {
    /// Names an entity.
    pub(crate) fn entity(&mut self, entity: Entity) -> EntityIx {
        self.entities.push(entity);
        self.entities.len() as EntityIx - 1
    }

    /// The entity of a number.
    pub(crate) fn named(&self, at: EntityIx) -> Entity {
        self.entities[at as usize].clone()
    }

    /// The row of an edge, made if need be. A `via` is a hop folded into it.
    pub(crate) fn row(
        &mut self,
        folded: bool,
        ends: [EntityIx; 2],
        proto: Proto,
        port: u16,
        via: impl IntoIterator<Item = EntityIx>,
    ) -> RowIx {
        let key = RowKey { folded, client: ends[0], server: ends[1], proto, port };
        let rows = &mut self.rows;
        let at = *self.index.entry(key).or_insert_with(|| {
            let first = Nanos::MAX;
            rows.push(Row {
                key,
                connections: 0,
                bytes: [0; 2],
                first,
                last: 0,
                via: BTreeSet::new(),
                lost: 0,
                sampling: 1,
                seen: false,
                undirected: false,
                unnamed: false,
                leg: None,
            });
            rows.len() as RowIx - 1
        });
        self.rows[at as usize].via.extend(via);
        at
    }

    /// Counts a record.
    pub(crate) fn add(&mut self, row: RowIx, add: &Addition) {
        let row = &mut self.rows[row as usize];
        row.connections += u64::from(add.opens);
        row.bytes[add.direction] += add.bytes;
        row.first = row.first.min(add.start);
        row.last = row.last.max(add.end);
    }

    /// Some agent told of the edge.
    pub(crate) fn seen(&mut self, row: RowIx) {
        self.rows[row as usize].seen = true;
    }

    /// The designated agent lost a record of it.
    pub(crate) fn lost(&mut self, row: RowIx) {
        self.rows[row as usize].lost += 1;
    }

    /// The designated agent samples.
    pub(crate) fn sampled(&mut self, row: RowIx, sampling: u32) {
        let row = &mut self.rows[row as usize];
        row.sampling = row.sampling.max(sampling);
    }

    /// Nothing tells who began.
    pub(crate) fn undirected(&mut self, row: RowIx) {
        self.rows[row as usize].undirected = true;
    }

    /// A connection behind its node's address was told of, but not that it is one.
    pub(crate) fn unnamed(&mut self, row: RowIx) {
        self.rows[row as usize].unnamed = true;
    }

    /// The row is the leg behind a balancer that is folded away where somebody saw a caller.
    pub(crate) fn leg(&mut self, row: RowIx, balancer: EntityIx) {
        self.rows[row as usize].leg = Some(balancer);
    }

    /// Whether an edge of the collapsed map stands for what a balancer sends to a target. Where
    /// nobody saw a caller, the leg itself is all there is to show.
    fn is_called(&self, balancer: EntityIx, target: EntityIx) -> bool {
        self.rows.iter().any(|row| {
            let key = row.key;
            key.folded && row.seen && key.server == target && row.via.contains(&balancer)
        })
    }

    /// What was counted so far.
    pub(crate) fn truth(&self) -> Truth {
        let mut truth = Truth::default();
        for row in self.rows.iter().filter(|row| row.last > 0) {
            let name = |at: EntityIx| self.entities[at as usize].clone();
            let mut via: Vec<Entity> = row.via.iter().map(|at| name(*at)).collect();
            via.sort();
            let edge = TruthEdge {
                client: name(row.key.client),
                server: name(row.key.server),
                proto: row.key.proto,
                port: row.key.port,
                connections: row.connections,
                bytes_sent: row.bytes[0],
                bytes_received: row.bytes[1],
                first: row.first,
                last: row.last,
                via,
                lost: row.lost,
                sampling: row.sampling,
                unseen: !row.seen,
                undirected: row.undirected,
                unnamed: row.unnamed,
            };
            if row.leg.is_some_and(|balancer| !self.is_called(balancer, row.key.server)) {
                truth.collapsed.push(edge.clone());
            }
            if row.key.folded { &mut truth.collapsed } else { &mut truth.raw }.push(edge);
        }
        for edges in [&mut truth.collapsed, &mut truth.raw] {
            edges.sort_by(|a, b| a.order().cmp(&b.order()));
        }
        truth
    }
}

// === impl Truth ===

impl Truth {
    /// The maps of clusters that have nothing in common.
    pub(crate) fn of_all(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.collapsed.extend(part.collapsed);
            all.raw.extend(part.raw);
        }
        for edges in [&mut all.collapsed, &mut all.raw] {
            edges.sort_by(|a, b| a.order().cmp(&b.order()));
        }
        all
    }

    /// Both maps as JSON, `{"edges": [...], "raw_edges": [...]}` with the names of the contract.
    pub fn json(&self) -> serde_json::Value {
        let names = |edges: &[TruthEdge]| edges.iter().map(EdgeName::from).collect::<Vec<_>>();
        serde_json::json!({ "edges": names(&self.collapsed), "raw_edges": names(&self.raw) })
    }
}

// === impl TruthEdge ===

impl TruthEdge {
    fn order(&self) -> (&Entity, &Entity, Proto, u16) {
        (&self.client, &self.server, self.proto, self.port)
    }
}

// === impl EntityName ===

impl From<&Entity> for EntityName {
    fn from(entity: &Entity) -> Self {
        let class = match entity.kind {
            EntityKind::Hop(class) => class.as_str(),
            _ => "",
        };
        Self {
            environment: entity.environment.to_string(),
            namespace: entity.namespace.to_string(),
            name: entity.name.to_string(),
            kind: entity.kind.as_str().to_owned(),
            detail: entity.detail.to_string(),
            hop_class: class.to_owned(),
        }
    }
}

impl EntityName {
    /// The entity of a name, if its kind is one of the contract's.
    pub fn entity(&self) -> Option<Entity> {
        let kinds = EntityKind::ALL.into_iter();
        let kind = kinds.filter(|kind| kind.as_str() == self.kind).find(|kind| match kind {
            EntityKind::Hop(class) => class.as_str() == self.hop_class,
            _ => true,
        })?;
        Some(Entity {
            environment: Arc::from(&*self.environment),
            namespace: Arc::from(&*self.namespace),
            name: Arc::from(&*self.name),
            kind,
            detail: Arc::from(&*self.detail),
        })
    }
}

// === impl EdgeName ===

impl From<&TruthEdge> for EdgeName {
    fn from(edge: &TruthEdge) -> Self {
        Self {
            client: (&edge.client).into(),
            server: (&edge.server).into(),
            protocol: edge.proto.to_string(),
            port: edge.port,
            connections: edge.connections,
            bytes_sent: edge.bytes_sent,
            bytes_received: edge.bytes_received,
            first_seen_unix_us: edge.first / 1_000,
            last_seen_unix_us: edge.last / 1_000,
            via: edge.via.iter().map(EntityName::from).collect(),
        }
    }
}

/// The entity of a hop, as the line names it.
pub(crate) fn hop(environment: &str, namespace: &str, name: &str, class: HopClass) -> Entity {
    let detail = match class {
        HopClass::LoadBalancer => "LoadBalancer",
        _ => "Service",
    };
    Entity {
        environment: environment.into(),
        namespace: namespace.into(),
        name: name.into(),
        kind: EntityKind::Hop(class),
        detail: detail.into(),
    }
}
