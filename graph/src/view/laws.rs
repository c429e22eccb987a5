//! The laws of the view, against a naive reading connection by connection.

use std::collections::{BTreeMap, BTreeSet};

use portolan_model::{
    Collapse, Counters, Direction, EdgeDelta, EdgeKey, EntityId, Evidence, HopClass, Layer,
    Measure, PathDelta, PathKey, PathKind, Proto, Window,
};
use proptest::prelude::*;

use super::{Doubts, Link, View, rules::applies};

const MODES: [Collapse; 5] =
    [Collapse::None, Collapse::L4, Collapse::Mesh, Collapse::Proven, Collapse::ProvenAndDeclared];

/// Hops are 100 and more, by class.
fn class(id: EntityId) -> Option<HopClass> {
    match id.0 {
        100 | 101 => Some(HopClass::ClusterIp),
        102 => Some(HopClass::LoadBalancer),
        103 => Some(HopClass::Mesh),
        _ => None,
    }
}

/// One connection on its way through hops.
#[derive(Clone, Debug)]
struct Connection {
    window: Window,
    client: EntityId,
    steps: Vec<Step>,
    /// Where it ends: a server, or a hop that nothing is proven of.
    end: EntityId,
    /// What the raw edge towards the first hop (or the end) counts.
    first: Counters,
}

/// A hop, and what is known of how the connection went on.
#[derive(Clone, Debug)]
struct Step {
    hop: EntityId,
    evidence: Evidence,
    /// What the raw edge from the client to the next stop counts, if it was seen.
    seen: Option<Counters>,
    /// What the hop's own leg to the next stop counts, if it was seen.
    own: Option<Counters>,
}

fn counters() -> impl Strategy<Value = Counters> {
    (1..5_i64, 0..1000_i64, 0..3_i64).prop_map(|(flows, bytes, opened)| {
        let mut sums = Counters::ZERO;
        sums[Measure::Flows] = flows;
        sums[Measure::ConnectionsActive] = 1;
        sums[Measure::Connections] = opened;
        sums[Measure::BytesSent] = bytes;
        sums
    })
}

fn connection() -> impl Strategy<Value = Connection> {
    let step = (
        prop::sample::select(Evidence::ALL),
        prop::option::of(counters()),
        prop::option::of(counters()),
    );
    let hops = Just((100..104_u64).collect::<Vec<_>>()).prop_shuffle();
    let steps = prop::collection::vec(step, 0..4);
    (0..3_u32, 1..4_u64, hops, steps, 10..13_u64, any::<bool>(), counters()).prop_map(
        |(window, client, hops, steps, server, lost, first)| {
            let last = EntityId(hops[steps.len()]);
            let steps = steps
                .into_iter()
                .zip(hops)
                .map(|((evidence, seen, own), hop)| Step {
                    hop: EntityId(hop),
                    evidence,
                    seen,
                    own,
                })
                .collect();
            Connection {
                window: Window(10 * window),
                client: EntityId(client),
                steps,
                end: if lost { last } else { EntityId(server) },
                first,
            }
        },
    )
}

fn link(client: EntityId, server: EntityId) -> Link {
    let (layer, proto, direction) = (Layer::Network, Proto::TCP, Direction::Known);
    Link { layer, client, server, proto, port: server.0 as u16, direction }
}

fn edge(window: Window, link: Link, counters: &Counters) -> EdgeDelta {
    let Link { layer, client, server, proto, port, direction } = link;
    let key = EdgeKey { window, layer, client, server, proto, port, direction };
    EdgeDelta { key, counters: *counters, first_ns: window.start(), last_ns: window.start() + 1 }
}

// === impl Connection ===

impl Connection {
    /// The first mode in which a step is folded.
    fn mode(step: &Step, next: EntityId) -> Collapse {
        let key = Self::key(Window(0), EntityId(1), step, next, PathKind::Moved);
        *MODES.iter().find(|mode| applies(&key, **mode, &class)).expect("some mode folds it")
    }

    fn key(
        window: Window,
        client: EntityId,
        step: &Step,
        server: EntityId,
        kind: PathKind,
    ) -> PathKey {
        let via = if kind == PathKind::Leg { vec![] } else { vec![step.hop] };
        PathKey {
            window,
            layer: Layer::Network,
            client,
            server,
            proto: Proto::TCP,
            front_port: if kind == PathKind::Leg { server } else { step.hop }.0 as u16,
            port: server.0 as u16,
            via: via.into(),
            kind,
            evidence: step.evidence,
        }
    }

    /// The steps that are told. A leg that nobody saw is only there once the step before is folded:
    /// no mode may fold what comes after it first.
    fn told(&self) -> Vec<(&Step, EntityId)> {
        let mut told: Vec<(&Step, EntityId)> = Vec::new();
        let mut least = Collapse::None;
        for (at, step) in self.steps.iter().enumerate() {
            let next = self.steps.get(at + 1).map_or(self.end, |next| next.hop);
            let mode = Self::mode(step, next);
            if mode < least {
                break;
            }
            told.push((step, next));
            least = if step.seen.is_some() { Collapse::None } else { mode };
        }
        told
    }

    /// The rows that the line makes of it.
    fn rows(&self) -> (Vec<EdgeDelta>, Vec<PathDelta>) {
        let first = self.steps.first().map_or(self.end, |step| step.hop);
        let mut edges = vec![edge(self.window, link(self.client, first), &self.first)];
        let mut paths = vec![];
        let mut here = self.first;
        let (first_ns, last_ns) = (self.window.start(), self.window.start() + 1);
        for (step, next) in self.told() {
            let kind = if step.seen.is_some() { PathKind::Explained } else { PathKind::Moved };
            let key = Self::key(self.window, self.client, step, next, kind);
            paths.push(PathDelta { key, counters: here, first_ns, last_ns });
            if let Some(seen) = step.seen {
                edges.push(edge(self.window, link(self.client, next), &seen));
                here = seen;
            }
            if let Some(own) = step.own {
                edges.push(edge(self.window, link(step.hop, next), &own));
                let key = Self::key(self.window, step.hop, step, next, PathKind::Leg);
                paths.push(PathDelta { key, counters: own, first_ns, last_ns });
            }
        }
        (edges, paths)
    }

    /// What a mode shows of it, and which hops it went through.
    fn shown(&self, mode: Collapse, edges: &mut Shown, reached: &mut Shown) {
        let mut at = self.steps.first().map_or(self.end, |step| step.hop);
        let mut here = Some(self.first);
        add(reached, link(self.client, at), &self.first);
        for (step, next) in self.told() {
            let folds = Self::mode(step, next) <= mode;
            if let (false, Some(stays)) = (folds, here) {
                add(edges, link(self.client, at), &stays);
            }
            here = step.seen.or(if folds { here } else { None });
            if let Some(here) = &here {
                add(reached, link(self.client, next), here);
            }
            if let (false, Some(own)) = (folds, &step.own) {
                add(edges, link(step.hop, next), own);
            }
            at = next;
        }
        if let Some(here) = here {
            add(edges, link(self.client, at), &here);
        }
    }
}

type Shown = BTreeMap<Link, Counters>;

fn add(shown: &mut Shown, link: Link, counters: &Counters) {
    shown.entry(link).or_insert(Counters::ZERO).add(counters);
}

fn rows(connections: &[Connection]) -> (Vec<EdgeDelta>, Vec<PathDelta>) {
    let (edges, paths): (Vec<_>, Vec<_>) = connections.iter().map(Connection::rows).unzip();
    (edges.concat(), paths.concat())
}

fn build(rows: &(Vec<EdgeDelta>, Vec<PathDelta>), mode: Collapse) -> View {
    let mut view = View::build(rows.0.iter().copied(), rows.1.iter().cloned(), mode, &class);
    view.edges.sort_by_key(|edge| edge.link);
    view
}

/// Rows that need not agree with each other about anything.
fn any_rows() -> impl Strategy<Value = (Vec<EdgeDelta>, Vec<PathDelta>)> {
    let id = || prop::sample::select(vec![1_u64, 2, 10, 11, 100, 101, 102, 103]).prop_map(EntityId);
    let sums = || {
        (-2..9_i64, -9..99_i64).prop_map(|(flows, bytes)| {
            let mut sums = Counters::ZERO;
            sums[Measure::Flows] = flows;
            sums[Measure::BytesSent] = bytes;
            sums
        })
    };
    let edge = (0..2_u32, id(), id(), sums()).prop_map(|(window, client, server, sums)| {
        edge(Window(window), link(client, server), &sums)
    });
    let kind = prop::sample::select(PathKind::ALL);
    let evidence = prop::sample::select(Evidence::ALL);
    let path = (id(), prop::collection::vec(id(), 0..4), id(), kind, evidence, sums()).prop_map(
        |(client, via, server, kind, evidence, counters)| {
            let front = via.first().map_or(server, |hop| *hop).0 as u16;
            let key = PathKey {
                window: Window(0),
                layer: Layer::Network,
                client,
                server,
                proto: Proto::TCP,
                front_port: front,
                port: server.0 as u16,
                via: via.into(),
                kind,
                evidence,
            };
            PathDelta { key, counters, first_ns: 0, last_ns: 1 }
        },
    );
    (prop::collection::vec(edge, 0..30), prop::collection::vec(path, 0..30))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn view_is_what_the_connections_add_up_to(
        connections in prop::collection::vec(connection(), 0..25),
    ) {
        let rows = rows(&connections);
        for mode in MODES {
            let view = build(&rows, mode);
            let (mut edges, mut reached) = (Shown::new(), Shown::new());
            for connection in &connections {
                connection.shown(mode, &mut edges, &mut reached);
            }
            let found: Shown = view.edges.iter().map(|e| (e.link, e.counters)).collect();
            prop_assert_eq!(&found, &edges, "{:?}", mode);
            prop_assert_eq!(view.doubts.inconsistent(), 0);
            if view.doubts.unplaced == 0 {
                every_hop_conserves(&view, &reached)?;
            }
        }
    }

    #[test]
    fn edges_that_may_be_stand_beside_the_known_ones_and_touch_none(
        connections in prop::collection::vec(connection(), 0..25),
    ) {
        let rows = rows(&connections);
        let known = build(&rows, Collapse::ProvenAndDeclared);
        let (may_be, mut same): (Vec<_>, Vec<_>) = build(&rows, Collapse::Possible)
            .edges
            .into_iter()
            .partition(|edge| !edge.possible.is_empty());
        let mut were = known.edges;
        were.sort_by_key(|edge| edge.link);
        same.sort_by_key(|edge| edge.link);
        prop_assert_eq!(&were, &same);
        let links: BTreeSet<Link> = were.iter().map(|edge| edge.link).collect();
        for edge in may_be {
            prop_assert!(edge.counters.is_zero() && edge.paths.is_empty());
            prop_assert!(!links.contains(&edge.link));
            let left = |hop: &EntityId| {
                were.iter().any(|e| e.link.client == edge.link.client && e.link.server == *hop)
            };
            prop_assert!(edge.possible.iter().all(left), "{:?}", edge);
        }
        for mode in MODES {
            prop_assert!(build(&rows, mode).edges.iter().all(|edge| edge.possible.is_empty()));
        }
    }

    #[test]
    fn order_of_rows_does_not_matter(
        (rows, edges, paths) in any_rows().prop_flat_map(|rows| {
            (Just(rows.clone()), Just(rows.0).prop_shuffle(), Just(rows.1).prop_shuffle())
        }),
    ) {
        for mode in MODES {
            let shuffled = (edges.clone(), paths.clone());
            let (a, b) = (build(&rows, mode), build(&shuffled, mode));
            prop_assert_eq!((a.edges, a.doubts), (b.edges, b.doubts));
        }
    }

    #[test]
    fn rows_that_contradict_each_other_invent_nothing(rows in any_rows()) {
        let total = |sums: &mut dyn Iterator<Item = Counters>, m| sums.map(|c| c[m]).sum::<i64>();
        let raw = build(&rows, Collapse::None);
        let targets: BTreeSet<Link> = rows.1.iter()
            .filter(|row| row.key.kind != PathKind::Leg)
            .map(|row| link(row.key.client, row.key.server)).collect();
        for mode in MODES {
            let view = build(&rows, mode);
            for edge in &view.edges {
                prop_assert!(edge.counters.as_array().iter().all(|sum| *sum >= 0));
                prop_assert!(targets.contains(&edge.link)
                    || raw.edges.iter().any(|raw| raw.link == edge.link));
            }
            for measure in [Measure::Flows, Measure::BytesSent] {
                let shown = total(&mut view.edges.iter().map(|e| e.counters), measure);
                let most: i64 = sums(&rows.0, measure);
                prop_assert!(shown <= most, "{:?}: {} of {}", mode, shown, most);
            }
        }
    }
}

/// The raw total of a measure, edge by edge, where a negative sum is nothing.
fn sums(rows: &[EdgeDelta], measure: Measure) -> i64 {
    let mut sums: BTreeMap<Link, i64> = BTreeMap::new();
    for row in rows {
        *sums.entry(Link::from(row)).or_default() += row.counters[measure];
    }
    sums.values().map(|sum| (*sum).max(0)).sum()
}

/// For every client and hop: what is folded through the hop, plus what remains on it, is all that
/// reached it.
fn every_hop_conserves(view: &View, reached: &Shown) -> Result<(), TestCaseError> {
    for (leg, all) in reached.iter().filter(|(leg, _)| class(leg.server).is_some()) {
        let mut sum = Counters::ZERO;
        for edge in view.edges.iter().filter(|edge| edge.link.client == leg.client) {
            if edge.link == *leg {
                sum.add(&edge.counters);
            }
            for hop in edge.hops().iter().filter(|hop| hop.hop == leg.server) {
                sum.add(&hop.counters);
            }
        }
        let counts = |c: &Counters| c[Measure::ConnectionsActive];
        prop_assert_eq!(counts(&sum), counts(all), "{:?}", leg);
    }
    Ok(())
}

#[test]
fn doubts_of_agreeing_rows_are_none() {
    assert_eq!(Doubts::default().inconsistent(), 0);
}
