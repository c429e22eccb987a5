//! Golden case 24 (flow semantics, section 5): every kind of source at once, and still the graph is a
//! function of the set of what was told.

use std::collections::BTreeMap;

use portolan_model::FlowRow;
use proptest::prelude::*;

use super::{Step, mixed, run};
use crate::LineConfig;
use crate::check::{Lab, flow};

/// Who tells of a flow: where it stands, what it knows of it, and in which slices it cuts time.
#[derive(Clone, Copy, Debug)]
struct Teller {
    words: &'static str,
    agent: &'static str,
    sampling: u32,
    counts: bool,
}

/// Agents on both nodes, two of them sampling, a proxy, a cloud's log, two routers, a datapath's events.
const TELLERS: [Teller; 10] = [
    Teller { words: "", agent: "10.9.0.1", sampling: 0, counts: true },
    Teller { words: "", agent: "10.9.0.2", sampling: 0, counts: true },
    Teller { words: "", agent: "10.9.0.1", sampling: 50, counts: true },
    Teller { words: "", agent: "10.9.0.2", sampling: 50, counts: true },
    Teller { words: "", agent: "10.9.0.3", sampling: 0, counts: true },
    Teller { words: "proxy", agent: "10.9.0.1", sampling: 0, counts: true },
    Teller { words: "cloud", agent: "10.9.0.2", sampling: 0, counts: true },
    Teller { words: "router", agent: "10.8.0.1", sampling: 1_000, counts: true },
    Teller { words: "router", agent: "10.8.0.2", sampling: 0, counts: true },
    Teller { words: "events", agent: "10.9.0.1", sampling: 0, counts: false },
];

fn arb_ends() -> impl Strategy<Value = (String, &'static str, &'static str)> {
    let client = prop_oneof![Just("10.0.0.1"), Just("10.0.0.2"), Just("10.0.0.9")];
    let server = prop_oneof![
        Just(("10.0.1.1:8080", "")),
        Just(("10.0.1.2:8080", "")),
        Just(("172.30.0.7:80", "")),
        Just(("172.30.0.7:80", "10.0.1.1:8080")),
        Just(("172.30.0.7:80", "10.0.1.2:8080")),
        Just(("10.0.0.9:80", "")),
    ];
    (client, 0..3u16, server).prop_map(|(client, port, (server, behind))| {
        (format!("{client}:{}", 40_000 + port), server, behind)
    })
}

fn arb_flow() -> impl Strategy<Value = FlowRow> {
    let flags = prop_oneof![Just("S"), Just("SA"), Just("F"), Just("R"), Just("")];
    let role =
        prop_oneof![Just(""), Just("dialled"), Just("accepted"), Just("original"), Just("reply")];
    let times = (0..25u32, 0..8u32, 0..500u32);
    let said = (flags, role, any::<bool>(), any::<bool>());
    (arb_ends(), 0..TELLERS.len(), times, said).prop_map(
        |((client, server, behind), teller, (start, len, bytes), (flags, role, back, is_udp))| {
            let Teller { words, agent, sampling, counts } = TELLERS[teller];
            let (src, dst) =
                if back { (server, client.as_str()) } else { (client.as_str(), server) };
            // Only the original direction is told with its translation.
            let xlat = match behind {
                "" => String::new(),
                _ if back => String::new(),
                behind => format!("xlat={client}>{behind}"),
            };
            // Events and logs say who dialled, agents at interfaces do not.
            let role = if words.is_empty() { "" } else { role };
            let proto = if is_udp { "udp" } else { flags };
            let bytes = if counts { bytes } else { 0 };
            let end = start + len;
            flow(&format!(
                "{start}..{end} {src}>{dst} {bytes}B {proto} {words} {role} @{agent} \
                 sample={sampling} {xlat}"
            ))
        },
    )
}

fn arb_runs() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    let flows = proptest::collection::vec(arb_flow(), 1..40);
    flows.prop_flat_map(|flows| {
        // Equal slices are one slice; slices of one id and other contents do not exist. An agent
        // samples at one rate.
        let mut seen = BTreeMap::new();
        let mut rates = BTreeMap::new();
        for f in flows {
            let rate = *rates.entry((f.agent, f.source)).or_insert(f.sampling);
            let tuple = (f.proto, f.src, f.src_port, f.dst, f.dst_port);
            let key = (tuple, f.agent, f.source, f.start, f.end);
            seen.entry(key).or_insert(FlowRow { sampling: rate, ..f });
        }
        mixed(seen.into_values())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Order, grouping into epochs and redelivery do not matter, whoever tells.
    #[test]
    fn case_24_graph_is_a_function_of_the_set_whatever_the_sources((plain, mixed) in arb_runs()) {
        prop_assert_eq!(run(&plain), run(&mixed));
    }
}

/// What the lines come to, in this order and in the other.
fn both_ways(owners: &str, lines: [&str; 2]) -> [String; 2] {
    [lines, [lines[1], lines[0]]].map(|[first, second]| {
        let mut lab = Lab::new(&LineConfig::default());
        lab.run(&format!("{owners}\n{first}\nbarrier\n{second}"));
        lab.render()
    })
}

#[test]
fn better_source_is_found_in_the_window_that_a_late_slice_begins_in() {
    let owners = "own pod web-1 owner=web ip=10.0.0.1
                  own service api ip=172.30.0.7 ports=udp/80";
    let router = "flow 20..23 172.30.0.7:80>10.0.0.1:40001 297B udp router @10.8.0.1";
    let agent = "flow 13..18 10.0.0.1:40001>172.30.0.7:80 200B udp @10.9.0.2
                 flow 15..22 10.0.0.1:40001>172.30.0.7:80 70B udp @10.9.0.2";
    let [one, other] = both_ways(owners, [router, agent]);
    assert_eq!(one, other);
    assert!(!one.contains("received"), "the router's word is not taken: {one}");
}

#[test]
fn agent_that_turns_out_not_to_show_both_halves_is_not_taken_for_one_that_does() {
    let owners = "own pod web-1 owner=web ip=10.0.0.1 node=10.9.0.1
                  own pod api-1 owner=api ip=10.0.1.1 node=10.9.0.2
                  own service api ip=172.30.0.7 ports=tcp/80 to=10.0.1.1:8080";
    let samples = "flow 3..4 10.0.0.1:40000>172.30.0.7:80 100B @10.9.0.1 sample=50
                   flow 3..4 10.0.0.1:40001>172.30.0.7:80 100B @10.9.0.1 sample=50
                   flow 3..4 10.0.0.1:40001>10.0.1.1:8080 100B @10.9.0.1 sample=50";
    let all = "flow 3..4 10.0.0.1:40001>10.0.1.1:8080 5000B @10.9.0.2";
    let [one, other] = both_ways(owners, [samples, all]);
    assert_eq!(one, other);
    assert!(one.contains("moved declared"), "who is seen whole was not sampled: {one}");
}
