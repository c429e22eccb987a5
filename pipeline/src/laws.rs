//! Laws of the line, by property: what holds for every set of records.

use std::collections::BTreeMap;
use std::fmt;

use expect_test::expect;
use portolan_model::{
    Counters, EdgeKey, EntityId, FlowBatch, FlowRow, Measure, Nanos, OwnerEvent, PartitionId,
    PathKey,
};
use proptest::prelude::*;

use crate::check::{Lab, T0, at, barrier, flow, own};
use crate::{Line, LineConfig, Restored};

mod late;
mod sources;

/// What one run comes to.
type Graph = (BTreeMap<EdgeKey, Counters>, BTreeMap<PathKey, Counters>);

const OWNERS: [&str; 8] = [
    "pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1",
    "pod web-2 owner=web ip=10.0.0.2 node=10.9.0.2",
    "pod api-1 owner=api ip=10.0.1.1 node=10.9.0.1 t=0..12",
    "pod job-1 owner=job ip=10.0.1.1 node=10.9.0.1 t=14..40",
    "pod api-2 owner=api ip=10.0.1.2 node=10.9.0.2",
    "service api ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080,10.0.1.2:8080",
    "lb edge ip=10.0.0.9 ports=tcp/80 to=10.0.1.2:8080 node=10.9.0.1",
    "node n1 ip=10.9.0.1",
];

/// One thing that happens to the line.
#[derive(Clone)]
enum Step {
    Flow(FlowRow),
    Own(usize),
    Barrier,
}

/// A line each, near to what [`Lab::run`] reads: what a law breaks on is long.
impl fmt::Debug for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(f) => {
                let secs = |at: Nanos| at / 1_000_000_000 - T0;
                write!(out, "flow {}..{} {}:{}>", secs(f.start), secs(f.end), f.src, f.src_port)?;
                write!(out, "{}:{} {}B {} {:#x}", f.dst, f.dst_port, f.bytes, f.proto, f.flags.0)?;
                write!(out, " {:?} {:?} @{} sample={}", f.source, f.role, f.agent, f.sampling)?;
                match f.xlat {
                    Some(to) => {
                        write!(out, " xlat={}:{}>{}:{}", to.src, to.src_port, to.dst, to.dst_port)
                    }
                    None => Ok(()),
                }
            }
            Self::Own(which) => write!(out, "own {}", OWNERS[*which]),
            Self::Barrier => write!(out, "barrier"),
        }
    }
}

fn arb_flow() -> impl Strategy<Value = FlowRow> {
    let client = prop_oneof![Just("10.0.0.1"), Just("10.0.0.2"), Just("10.0.0.9")];
    let server = prop_oneof![
        Just("10.0.1.1:8080"),
        Just("10.0.1.2:8080"),
        Just("172.30.0.7:80"),
        Just("10.0.0.9:80"),
    ];
    let agent = prop_oneof![Just("10.9.0.1"), Just("10.9.0.2")];
    let flags = prop_oneof![Just("S"), Just("SA"), Just("F"), Just("")];
    (client, server, agent, flags, 0..4u16, 0..25u32, 0..8u32, 0..500u32, any::<bool>()).prop_map(
        |(client, server, agent, flags, port, start, len, bytes, back)| {
            let client = format!("{client}:{}", 40_000 + port);
            let (src, dst) =
                if back { (server.into(), client) } else { (client, server.to_owned()) };
            let end = start + len;
            flow(&format!("{start}..{end} {src}>{dst} {bytes}B {flags} @{agent}"))
        },
    )
}

fn run(steps: &[Step]) -> Graph {
    let mut lab = Lab::new(&LineConfig::default());
    for step in steps {
        match step {
            Step::Flow(row) => lab.flow(*row),
            Step::Own(which) => lab.line.owners(vec![own(OWNERS[*which])]),
            Step::Barrier => lab.barrier(),
        }
    }
    lab.barrier();
    lab.edges.retain(|_, c| !c.is_zero());
    lab.paths.retain(|_, c| !c.is_zero());
    (lab.edges, lab.paths)
}

/// The same records and owners in another order, with barriers anywhere and some things twice.
fn arb_runs() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    let flows = proptest::collection::vec(arb_flow(), 1..40);
    flows.prop_flat_map(|flows| {
        // Equal slices are one slice; slices of one id and other contents do not exist.
        let mut seen = BTreeMap::new();
        for f in flows {
            let key = (f.src, f.src_port, f.dst, f.dst_port, f.agent, f.start, f.end);
            seen.entry(key).or_insert(f);
        }
        mixed(seen.into_values())
    })
}

/// All owners and these flows in order, and once more with some twice, barriers between, and shuffled.
fn mixed(flows: impl Iterator<Item = FlowRow>) -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    let plain: Vec<Step> = (0..OWNERS.len()).map(Step::Own).chain(flows.map(Step::Flow)).collect();
    let doubled = (Just(plain.clone()), proptest::collection::vec(any::<bool>(), plain.len()));
    let mixed = doubled.prop_map(|(steps, twice)| {
        let again = steps.iter().zip(twice).filter(|(_, t)| *t).map(|(s, _)| s.clone());
        let mut all = steps.clone();
        all.extend(again.collect::<Vec<_>>());
        all.extend([Step::Barrier, Step::Barrier, Step::Barrier]);
        all
    });
    (Just(plain), mixed.prop_shuffle())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Order, grouping into epochs and redelivery do not matter.
    #[test]
    fn graph_is_a_function_of_the_set_of_inputs((plain, mixed) in arb_runs()) {
        prop_assert_eq!(run(&plain), run(&mixed));
    }

    /// A restart that reads again from where the store says counts nothing twice and loses nothing.
    #[test]
    fn restart_with_rebuilt_memory_equals_an_undisturbed_run((steps, _) in arb_runs(), cut in 0..48usize) {
        let cut = cut.min(steps.len());
        let whole = run(&steps);
        let mut lab = Lab::new(&LineConfig::default());
        feed(&mut lab, &steps[..cut]);
        lab.barrier();
        let owners: Vec<_> = lab.commits.iter().flat_map(|c| c.owners.clone()).collect();
        let folded = lab.commits.last().expect("one commit").folded;
        lab.line = Line::new(&LineConfig::default(), &Restored { owners, folded, ..Restored::default() });
        for step in &steps[..cut] {
            if let Step::Flow(row) = step {
                let flows = [*row].into_iter().collect();
                lab.line.flows(FlowBatch { partition: PartitionId(0), first_offset: 0, flows });
            }
        }
        let mut again = barrier(lab.epoch, 0);
        again.rebuild = true;
        prop_assert!(lab.line.barrier(again).is_none());
        feed(&mut lab, &steps[cut..]);
        lab.barrier();
        lab.edges.retain(|_, c| !c.is_zero());
        lab.paths.retain(|_, c| !c.is_zero());
        prop_assert_eq!((lab.edges, lab.paths), whole);
    }

    /// No hop passes more on than it was sent: what paths take off a leg, the leg has.
    #[test]
    fn paths_take_no_more_than_the_raw_edge_has((steps, _) in arb_runs()) {
        let (edges, paths) = run(&steps);
        let mut taken: BTreeMap<(u32, EntityId, EntityId, u16), Counters> = BTreeMap::new();
        for (key, counters) in &paths {
            let to = key.via.first().copied().unwrap_or(key.server);
            taken.entry((key.window.0, key.client, to, key.front_port)).or_default().add(counters);
        }
        for ((window, client, to, port), taken) in taken {
            let mut raw = Counters::ZERO;
            for (key, counters) in &edges {
                if (key.window.0, key.client, key.server, key.port) == (window, client, to, port) {
                    raw.add(counters);
                }
            }
            for measure in Measure::ALL {
                prop_assert!(taken[measure] <= raw[measure], "{:?}", measure);
            }
        }
    }
}

fn feed(lab: &mut Lab, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Flow(row) => lab.flow(*row),
            Step::Own(which) => lab.line.owners(vec![own(OWNERS[*which])]),
            Step::Barrier => lab.barrier(),
        }
    }
}

#[test]
fn epoch_done_again_gives_the_same_commit() {
    let run = || {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(
            "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
             own service api ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080
             flow 3..14 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
             flow 3..14 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
             barrier
             own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2",
        );
        lab.commits
    };
    assert_eq!(run(), run());
}

#[test]
fn window_behind_the_horizon_is_forgotten_and_its_latecomers_still_count() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         flow 200..201 10.0.0.1:40001>10.0.1.1:8080 120B S @10.9.0.1
         barrier",
    );
    assert_eq!(lab.line.front.flows.connections(), 1, "only the new window is remembered");
    lab.run(
        "flow 5..6 10.0.0.1:40002>10.0.1.1:8080 70B S @10.9.0.1
         flow 5..6 10.0.0.1:40002>10.0.1.1:8080 70B S @10.9.0.2
         flow 5..6 10.0.0.1:40003>10.0.1.1:8080 70B S @10.9.0.2",
    );
    expect![[r#"
        t=0 web -> api tcp/8080: flows=2 conns=2 failed=2 active=2 sent=190 twice=1
        t=200 web -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        late=2
        late_second_hand=1
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn delete_before_its_upsert_ends_the_claim_all_the_same() {
    let render = |first: &str, second: &str| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!(
            "{first}\n{second}
             flow 30..31 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
             flow 160..161 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1"
        ));
        lab.render()
    };
    let own = "own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2 t=1..";
    let gone = "gone api-1 35";
    assert_eq!(render(own, gone), render(gone, own));
    expect![[r#"
        t=30 10.0.0.1 -> api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        t=160 10.0.0.1 -> 10.0.1.1 tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
    "#]]
    .assert_eq(&render(own, gone));
}

#[test]
fn event_owners_are_the_texts_in_this_file() {
    assert!(matches!(own(OWNERS[0]), OwnerEvent::Upsert(_)));
    assert_eq!(at("1"), (T0 + 1) * 1_000_000_000);
}
