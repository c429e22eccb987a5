use std::fmt::Write as _;

use portolan_model::{
    CallDelta, CallKey, CallMeasure, CallProtocol, CallSource, Collapse, Counters, Direction,
    EdgeDelta, EdgeKey, Entity, EntityId, EntityKind, Evidence, HopClass, Layer, Measure,
    PathDelta, PathKey, PathKind, Proto, Window,
};

use super::*;
use crate::{CallsBuilder, Meeting, ViewBuilder};

const STEPS: u64 = 12;

fn entity(name: &str) -> Entity {
    let kind = if name.starts_with("lb") {
        EntityKind::Hop(HopClass::ClusterIp)
    } else {
        EntityKind::Workload
    };
    Entity::new(kind, "shop", name)
}

fn id(name: &str) -> EntityId {
    entity(name).id()
}

fn hop_class(of: EntityId) -> Option<HopClass> {
    ["lb", "lb2"].iter().any(|name| id(name) == of).then_some(HopClass::ClusterIp)
}

/// A step in the making.
#[derive(Default)]
struct Rows {
    view: Option<ViewBuilder>,
    calls: CallsBuilder,
}

impl Rows {
    fn edge(&mut self, client: &str, server: &str, port: u16, flows: i64) {
        let mut counters = Counters::ZERO;
        counters[Measure::Flows] = flows;
        counters[Measure::Connections] = flows;
        counters[Measure::BytesSent] = 1_000 * flows;
        let key = EdgeKey {
            window: Window(0),
            layer: Layer::Network,
            client: id(client),
            server: id(server),
            proto: Proto::TCP,
            port,
            direction: Direction::Known,
        };
        self.view().edge(&EdgeDelta { key, counters, first_ns: 1, last_ns: 2 });
    }

    /// Flows through a hop, seen on both sides of it.
    fn path(&mut self, client: &str, hop: &str, server: &str, flows: i64) {
        self.edge(client, hop, 80, flows);
        self.edge(client, server, 8080, flows);
        let mut counters = Counters::ZERO;
        counters[Measure::Flows] = flows;
        counters[Measure::Connections] = flows;
        counters[Measure::BytesSent] = 1_000 * flows;
        let key = PathKey {
            window: Window(0),
            layer: Layer::Network,
            client: id(client),
            server: id(server),
            proto: Proto::TCP,
            front_port: 80,
            port: 8080,
            via: [id(hop)].into_iter().collect(),
            kind: PathKind::Explained,
            evidence: Evidence::Rewrite,
        };
        self.view().path(&PathDelta { key, counters, first_ns: 1, last_ns: 2 });
    }

    fn calls(&mut self, source: CallSource, (calls, errors): (i64, i64), micros: u64) {
        let mut row = CallDelta::new(CallKey {
            window: Window(0),
            client: id("web"),
            server: id("cart"),
            source,
            protocol: CallProtocol::Http,
            operation: EntityId::NONE,
        });
        row.counters[CallMeasure::Raw] = calls;
        row.counters[CallMeasure::CallsMilli] = 1_000 * calls;
        row.counters[CallMeasure::ErrorsMilli] = 1_000 * errors;
        row.server.record(micros * 1_000, calls);
        self.calls.add(&row);
    }

    fn view(&mut self) -> &mut ViewBuilder {
        self.view.get_or_insert_with(|| ViewBuilder::new(Collapse::default()))
    }
}

fn side(fill: impl Fn(u64, &mut Rows)) -> Side {
    let mut side = Side::new(Collapse::default());
    let meeting = Meeting::default();
    for step in 0..STEPS {
        let mut rows = Rows::default();
        rows.view();
        fill(step, &mut rows);
        let mut view = rows.view.take().expect("it was just made");
        side.step(60_000_000_000, &mut view, rows.calls, &meeting, &hop_class);
    }
    side
}

fn compare(before: Side, after: Side, older: bool) -> Diff {
    let mut known = |ends: &[Ends]| vec![older; ends.len()];
    let (meeting, thresholds) = (Meeting::default(), Thresholds::default());
    let [before, after] = [before, after].map(|side| side.ready(&meeting, &hop_class));
    diff(before, after, &thresholds, &mut known)
}

/// The difference as `web>cart changed connections 1.00→2.00, …`.
fn show(diff: &Diff) -> Vec<String> {
    let name = |of: EntityId| {
        let all = ["web", "cart", "pay", "lb", "lb2"];
        all.into_iter().find(|name| id(name) == of).unwrap_or("?")
    };
    let one = |edge: &DiffEdge| {
        let mut text = format!("{}>{} ", name(edge.ends.0), name(edge.ends.1));
        text += match edge.which {
            Which::Added { new: true } => "new",
            Which::Added { new: false } => "added",
            Which::Removed => "removed",
            Which::Changed => "changed",
        };
        for change in &edge.changes {
            let hops: Vec<_> = change.hops.iter().map(|hop| name(*hop)).collect();
            let what = match change.what {
                What::Path => format!("path {}", hops.join("+")),
                what => format!("{what:?}"),
            };
            let _ = write!(text, ", {what} {:.2}→{:.2}", change.before, change.after);
        }
        text
    };
    diff.edges.iter().map(one).collect()
}

#[test]
fn equal_ranges_have_no_difference() {
    let fill = |step: u64, rows: &mut Rows| {
        rows.edge("web", "cart", 80, 50 + step as i64 % 3);
        rows.calls(CallSource::RpcServer, (40, 1), 2_000 + step);
    };
    let found = compare(side(fill), side(fill), true);
    assert_eq!(show(&found), Vec::<String>::new());
    assert_eq!((found.compared, found.by_chance), (1, 0));
    assert!(found.tests >= 4);
}

#[test]
fn edge_that_came_and_edge_that_went_are_told_and_a_single_burst_is_not() {
    let before = side(|step, rows| {
        rows.edge("web", "cart", 80, 10);
        if step == 3 {
            rows.edge("cart", "pay", 80, 40);
        }
    });
    let after = || {
        side(|_, rows| {
            rows.edge("web", "pay", 80, 10);
        })
    };
    let again = side(|step, rows| {
        rows.edge("web", "cart", 80, 10);
        if step == 3 {
            rows.edge("cart", "pay", 80, 40);
        }
    });
    let found = compare(before, after(), true);
    assert_eq!(show(&found), ["web>pay added", "web>cart removed"]);
    assert_eq!(found.by_chance, 1, "the burst is counted");
    let found = compare(again, after(), false);
    assert_eq!(show(&found), ["web>pay new", "web>cart removed"]);
}

#[test]
fn edge_never_seen_before_is_told_however_rare() {
    let before = side(|_, rows| rows.edge("web", "cart", 80, 10));
    let after = side(|step, rows| {
        rows.edge("web", "cart", 80, 10);
        if step == 7 {
            rows.edge("web", "pay", 80, 1);
        }
    });
    assert_eq!(show(&compare(before, after, false)), ["web>pay new"]);
}

#[test]
fn rate_errors_and_latency_are_each_compared_within_their_source() {
    let before = side(|_, rows| {
        rows.calls(CallSource::RpcServer, (100, 1), 2_000);
        rows.calls(CallSource::TracePair, (10, 0), 2_100);
    });
    let after = side(|_, rows| {
        rows.calls(CallSource::RpcServer, (300, 60), 4_000);
        // Another source with other figures is no change of the first.
        rows.calls(CallSource::MeshClient, (900, 0), 90_000);
    });
    let found = compare(before, after, true);
    let [edge] = found.edges.as_slice() else { panic!("{:?}", show(&found)) };
    let mut what: Vec<What> = edge.changes.iter().map(|change| change.what).collect();
    what.sort();
    let source = CallSource::RpcServer;
    let all = [What::Calls(source), What::Errors(source), What::P50(source), What::P99(source)];
    assert_eq!(what, all);
    let errors = edge.changes.iter().find(|c| c.what == What::Errors(source)).expect("it is there");
    assert!((errors.before - 0.01).abs() < 1e-9 && (errors.after - 0.2).abs() < 1e-9);
    let p50 = edge.changes.iter().find(|c| c.what == What::P50(source)).expect("it is there");
    assert!((p50.before - 2_000.0).abs() < 40.0 && (p50.after - 4_000.0).abs() < 80.0);
}

#[test]
fn significant_but_small_is_no_change() {
    let before = side(|_, rows| rows.edge("web", "cart", 80, 10_000));
    let after = side(|_, rows| rows.edge("web", "cart", 80, 11_000));
    let found = compare(before, after, true);
    assert_eq!((show(&found).len(), found.by_chance), (0, 0));
}

#[test]
fn way_through_another_hop_is_a_change_of_path() {
    let before = side(|_, rows| rows.path("web", "lb", "cart", 50));
    let after = side(|_, rows| rows.path("web", "lb2", "cart", 50));
    let found = compare(before, after, true);
    let [text] = show(&found).try_into().expect("one edge changed");
    let text: String = text;
    assert!(text.contains("path lb 1.00→0.00") && text.contains("path lb2 0.00→1.00"), "{text}");
    assert!(!text.contains("Connections"), "{text}");
}

#[test]
fn ranges_of_unlike_length_are_compared_by_rate() {
    let before = side(|_, rows| rows.edge("web", "cart", 80, 60));
    let mut after = Side::new(Collapse::default());
    for _ in 0..STEPS {
        let mut rows = Rows::default();
        rows.edge("web", "cart", 80, 6);
        let mut view = rows.view.take().expect("it was just filled");
        after.step(6_000_000_000, &mut view, rows.calls, &Meeting::default(), &hop_class);
    }
    assert_eq!(show(&compare(before, after, true)), Vec::<String>::new());
}

#[test]
fn direction_that_only_one_range_knows_makes_no_edge_come_or_go() {
    let turn = |direction| {
        let mut side = Side::new(Collapse::default());
        for _ in 0..STEPS {
            let mut rows = Rows::default();
            let mut counters = Counters::ZERO;
            counters[Measure::Flows] = 20;
            let key = EdgeKey {
                window: Window(0),
                layer: Layer::Network,
                client: id("web"),
                server: id("cart"),
                proto: Proto::TCP,
                port: 80,
                direction,
            };
            rows.view().edge(&EdgeDelta { key, counters, first_ns: 1, last_ns: 2 });
            let mut view = rows.view.take().expect("it was just made");
            side.step(60_000_000_000, &mut view, rows.calls, &Meeting::default(), &hop_class);
        }
        side
    };
    let found = compare(turn(Direction::Unknown), turn(Direction::Known), true);
    assert_eq!((show(&found).len(), found.compared), (0, 1));
}

#[test]
fn ranges_of_one_step_are_not_judged_and_that_is_counted() {
    let one = |flows| {
        let mut side = Side::new(Collapse::default());
        let mut rows = Rows::default();
        rows.edge("web", "cart", 80, flows);
        let mut view = rows.view.take().expect("it was just filled");
        side.step(10_000_000_000, &mut view, rows.calls, &Meeting::default(), &hop_class);
        side
    };
    let found = compare(one(10), one(1_000), true);
    assert_eq!((show(&found).len(), found.tests), (0, 0));
    assert!(found.unjudged > 0);
}
