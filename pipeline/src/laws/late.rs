//! Claims that come when the window they explain is forgotten.

use expect_test::expect;
use proptest::prelude::*;

use super::{Graph, OWNERS, Step, arb_flow};
use crate::LineConfig;
use crate::check::{Lab, flow, own};

/// Owners that may be told late: those who stand for themselves. (Of a balancer told late the connections behind it
/// are no longer known, and it stays on the map as it is.) All owners of an address are late, or none: who is surely
/// its owner by what was told is not in doubt.
const LATE: [&[usize]; 5] = [&[0], &[1], &[2, 3], &[4], &[7]];

/// A time that is far beyond the horizon, and short of the late horizon.
const AFTER: u32 = 200;

/// What the flows come to, if these owners are told after their windows are forgotten.
fn run(flows: &[portolan_model::FlowRow], late: &[usize]) -> (String, Graph) {
    let mut lab = Lab::new(&LineConfig::default());
    let is_late = |which: &usize| late.contains(which);
    let tell = |lab: &mut Lab, which: usize| lab.line.owners(vec![own(OWNERS[which])]);
    (0..OWNERS.len()).filter(|which| !is_late(which)).for_each(|which| tell(&mut lab, which));
    for row in flows {
        lab.flow(*row);
    }
    lab.barrier();
    lab.flow(flow(&format!("{AFTER}..{} 8.8.8.8:1>8.8.4.4:443 1B S @10.9.0.7", AFTER + 1)));
    lab.barrier();
    (0..OWNERS.len()).filter(is_late).for_each(|which| tell(&mut lab, which));
    lab.barrier();
    lab.edges.retain(|_, c| !c.is_zero());
    lab.paths.retain(|_, c| !c.is_zero());
    let text = lab.render();
    (text, (lab.edges, lab.paths))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn claim_within_the_late_horizon_is_a_claim_in_time(
        flows in proptest::collection::vec(arb_flow(), 1..30),
        late in proptest::sample::subsequence(LATE.to_vec(), 0..=LATE.len()),
    ) {
        let late = late.concat();
        let mut seen = std::collections::BTreeMap::new();
        for f in flows {
            let key = (f.src, f.src_port, f.dst, f.dst_port, f.agent, f.start, f.end);
            seen.entry(key).or_insert(f);
        }
        let flows: Vec<_> = seen.into_values().collect();
        let (text, graph) = run(&flows, &late);
        let (in_time, expected) = run(&flows, &[]);
        let steps: Vec<Step> = flows.iter().copied().map(Step::Flow).collect();
        prop_assert!(graph == expected, "{steps:#?} {late:?}\n{text}\nin time\n{in_time}");
    }
}

/// `api` is told when its window is long forgotten: `at` is when something else is seen last before.
fn told_after(at: u32) -> Lab {
    let mut lab = Lab::new(&LineConfig::default());
    lab.run(&format!(
        "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
         own service api ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080
         flow 3..4 10.0.0.1:40000>172.30.0.7:80 120B S @10.9.0.1
         flow 3..4 10.0.0.1:40000>10.0.1.1:8080 120B S @10.9.0.1
         flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.1
         barrier
         flow {at}..{at}.5 10.0.0.1:50000>10.0.0.1:81 1B S @10.9.0.1
         barrier
         own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2"
    ));
    lab
}

#[test]
fn claim_told_minutes_late_moves_history_in_one_epoch() {
    let lab = told_after(300);
    expect![[r#"
        t=0 web -> api tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
        t=0 web -> api tcp/8080: flows=2 conns=1 active=1 sent=120 received=900
        t=300 web -> web tcp/81: flows=1 conns=1 failed=1 active=1 sent=1
        t=0 explained alias web => api via api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
    "#]]
    .assert_eq(&lab.render());
    expect![[r#"
        t=0 web api: exact=120/1 handshake=1 least=250 mean=250
        t=0 web api: exact=1020/1 handshake=1 least=250 mean=250
        t=300 web web: exact=1/1 handshake=1 least=250 mean=250
    "#]]
    .assert_eq(&lab.certainty());
    let last = lab.commits.last().expect("the run ended an epoch");
    let moved: Vec<i64> =
        last.edges.iter().map(|row| row.counters[portolan_model::Measure::BytesReceived]).collect();
    assert_eq!(moved.iter().sum::<i64>(), 0, "taken back and added in one commit: {moved:?}");
    assert_eq!(moved.len(), 2);
    assert_eq!(
        lab.line.front.flows.doubtful(),
        2,
        "one towards the pod, one towards the service before it"
    );
}

#[test]
fn claim_told_after_the_late_horizon_is_counted_and_changes_nothing() {
    let lab = told_after(700);
    expect![[r#"
        t=0 web -> api tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
        t=0 web -> 10.0.1.1 tcp/8080: flows=2 conns=1 active=1 sent=120 received=900
        t=700 web -> web tcp/81: flows=1 conns=1 failed=1 active=1 sent=1
        t=0 explained alias web => 10.0.1.1 via api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        late_resolution_dropped_bytes=1020
        late_resolution_dropped_connections=1
    "#]].assert_eq(&lab.render());
    // And once only.
    let again = lab.commits.iter().flat_map(|commit| &commit.tallies);
    let bytes = again.filter(|(name, _)| &**name == "late_resolution_dropped_bytes");
    assert_eq!(bytes.map(|(_, by)| *by).collect::<Vec<_>>(), [1_020]);
}

#[test]
fn record_that_comes_late_joins_what_is_in_doubt() {
    let mut lab = told_after(300);
    // The same once more, and one that is new.
    lab.run(
        "flow 3..4 10.0.1.1:8080>10.0.0.1:40000 900B SA @10.9.0.1
         flow 5..6 10.0.1.1:8080>10.0.0.1:40000 50B @10.9.0.1",
    );
    expect![[r#"
        t=0 web -> api tcp/80: flows=1 conns=1 failed=1 active=1 sent=120
        t=0 web -> api tcp/8080: flows=3 conns=1 active=1 sent=120 received=950
        t=300 web -> web tcp/81: flows=1 conns=1 failed=1 active=1 sent=1
        t=0 explained alias web => api via api tcp/8080: flows=1 conns=1 failed=1 active=1 sent=120
        duplicates=1
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn doubt_over_its_bound_is_given_up_by_whole_windows_the_oldest_first_and_counted() {
    // One in eight of the connections that may be remembered may be late and in doubt: two.
    let mut lab = Lab::new(&LineConfig { max_connections: 16, ..LineConfig::default() });
    lab.run("own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1");
    for (at, last) in [(3, 1), (3, 2), (3, 3), (13, 4)] {
        let row = format!("{at}..{at}.5 10.0.0.1:4000{last}>10.77.0.{last}:80 9B S @10.9.0.1");
        lab.flow(flow(&row));
    }
    lab.barrier();
    assert_eq!(
        (lab.line.front.flows.doubtful(), lab.tally("late_resolution_folded_early")),
        (0, 0)
    );
    lab.flow(flow("300..301 8.8.8.8:1>8.8.4.4:443 1B S @10.9.0.7"));
    lab.barrier();
    assert_eq!(
        (lab.line.front.flows.doubtful(), lab.tally("late_resolution_folded_early")),
        (1, 3)
    );
    // Who is told now is believed where it is kept; elsewhere what it would have moved is counted.
    lab.run(
        "own pod a-1 owner=a ip=10.77.0.1 node=10.9.0.2
         own pod d-1 owner=d ip=10.77.0.4 node=10.9.0.2",
    );
    assert_eq!(lab.tally("late_resolution_dropped_connections"), 1);
    let map = lab.render();
    assert!(map.contains("web -> d tcp/80") && map.contains("web -> 10.77.0.1 tcp/80"), "{map}");
}

#[test]
fn windows_wait_for_a_scope_whose_owners_are_told_late() {
    let heartbeat = |lab: &mut Lab, secs: u64| {
        let (scope, watermark) =
            (std::sync::Arc::from("lab"), (crate::check::T0 + secs) * 1_000_000_000);
        lab.line.owners(vec![portolan_model::OwnerEvent::Heartbeat { scope, watermark }]);
    };
    let seen_until = |lab: &mut Lab, secs: u32| {
        lab.flow(flow(&format!("{secs}..{secs}.5 10.0.0.1:1>10.0.0.2:81 1B S @10.9.0.1")));
        lab.barrier();
        lab.commits.last().expect("an epoch").folded.0 - crate::check::T0 as u32
    };
    let mut lab = Lab::new(&LineConfig::default());
    heartbeat(&mut lab, 25);
    assert_eq!(seen_until(&mut lab, 60), 0);
    assert_eq!(seen_until(&mut lab, 300), 20, "what was not told of is whole");
    heartbeat(&mut lab, 290);
    assert_eq!(seen_until(&mut lab, 301), 240, "it was told of: the horizon holds again");
    assert_eq!(seen_until(&mut lab, 800), 290, "so long it is waited for");
    assert_eq!(seen_until(&mut lab, 900), 840, "and no longer than the late horizon");
}
