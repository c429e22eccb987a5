//! Laws of the linker, by property.

use std::collections::BTreeMap;

use portolan_model::{CallDelta, CallKey};
use proptest::prelude::*;

use super::Lab;
use crate::LineConfig;

type Graph = BTreeMap<CallKey, CallDelta>;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Span(String),
    Own,
    Barrier,
}

/// Spans of a few traces with few ids, so that all that can meet does.
fn arb_span() -> impl Strategy<Value = String> {
    let kind = prop_oneof!["client", "server", "client", "server", "inner", "producer", "consumer"];
    let service = prop_oneof!["web", "api", "shop/api", "-"];
    let word = prop_oneof![
        Just(String::new()),
        Just("err".into()),
        Just("shared".into()),
        Just("peer=api".into()),
        Just("addr=10.0.1.1".into()),
        Just("topic=orders bus=kafka".into()),
        Just("create topic=orders bus=kafka".into()),
        (0..3u8, 0..5u8, "(receive|process|send|create)", any::<bool>()).prop_map(
            |(t, s, what, topic)| {
                let topic = if topic { " bus=kafka topic=orders" } else { "" };
                format!("{what} link=T{t}:s{s}{topic}")
            }
        ),
        (0..2u8).prop_map(|op| format!("op=op{op}")),
    ];
    let ids = (0..3u8, 0..5u8, 0..6u8);
    (ids, kind, service, 0..400u32, 0..60u32, word).prop_map(
        |((trace, id, parent), kind, service, start, took, word)| {
            let parent = if parent == 5 { String::new() } else { format!("<s{parent}") };
            let (from, to) = (f64::from(start) / 10.0, f64::from(start + took) / 10.0);
            format!("T{trace} s{id}{parent} {kind} {service} {from}..{to} {word}")
        },
    )
}

fn feed(lab: &mut Lab, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Span(span) => lab.span(span),
            Step::Own => lab.feed("own pod api-1 owner=api ip=10.0.1.1"),
            // The watermark stays behind: nothing is late.
            Step::Barrier => lab.feed("barrier 10"),
        }
    }
}

fn graph(lab: &mut Lab) -> Graph {
    lab.feed("barrier 60\nbarrier 95");
    let rows = lab.rows().map(|row| {
        // Earliest and latest are kept of what was taken back, too.
        (row.key, CallDelta { first_ns: 0, last_ns: 0, ..row.clone() })
    });
    rows.collect()
}

fn run(config: &LineConfig, steps: &[Step]) -> Graph {
    let mut lab = Lab::new(config);
    feed(&mut lab, steps);
    graph(&mut lab)
}

fn arb_config() -> impl Strategy<Value = LineConfig> {
    any::<(bool, bool)>().prop_map(|(strict, all_links)| {
        let mut config = LineConfig::default();
        config.traces.max_operations = 1;
        (config.traces.strict, config.traces.all_links) = (strict, all_links);
        config
    })
}

/// The same spans in another order, with barriers anywhere and some spans twice.
fn arb_runs() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    proptest::collection::vec((arb_span(), any::<bool>()), 1..24).prop_flat_map(|spans| {
        let mut plain: Vec<Step> = spans.iter().map(|(s, _)| Step::Span(s.clone())).collect();
        plain.push(Step::Own);
        let mut mixed = plain.clone();
        mixed.extend(spans.into_iter().filter(|(_, t)| *t).map(|(s, _)| Step::Span(s)));
        mixed.extend([Step::Barrier, Step::Barrier, Step::Barrier]);
        (Just(plain), Just(mixed).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Order, grouping into epochs and redelivery do not matter.
    #[test]
    fn graph_is_a_function_of_the_set_of_spans(
        (plain, mixed) in arb_runs(),
        config in arb_config(),
    ) {
        prop_assert_eq!(run(&config, &plain), run(&config, &mixed));
    }

    /// A restart counts nothing twice and loses nothing, wherever it comes and however far the
    /// watermark is by then.
    #[test]
    fn restart_equals_an_undisturbed_run(
        (steps, _) in arb_runs(),
        cut in 0..24usize,
        watermark in 0..150u32,
        config in arb_config(),
    ) {
        let mut whole = Lab::new(&config);
        let mut cutting = Lab::new(&config);
        let cut = cut.min(steps.len());
        for (lab, restarts) in [(&mut whole, false), (&mut cutting, true)] {
            feed(lab, &steps[..cut]);
            lab.feed(&format!("barrier {watermark}"));
            if restarts {
                lab.feed("restart");
            }
            feed(lab, &steps[cut..]);
        }
        graph(&mut whole);
        graph(&mut cutting);
        prop_assert_eq!(whole.rows_text(), cutting.rows_text());
    }

    /// No edge without a span of both ends, or one that names the other.
    #[test]
    fn every_call_has_a_span_behind_it((steps, _) in arb_runs(), config in arb_config()) {
        let mut lab = Lab::new(&config);
        feed(&mut lab, &steps);
        graph(&mut lab);
        for row in lab.rows() {
            prop_assert!(row.counters.as_array().iter().all(|sum| *sum >= 0), "{:?}", row);
            let names = [lab.name(row.key.client), lab.name(row.key.server)];
            prop_assert!(names.iter().all(|name| name != "?"), "{:?}", names);
        }
    }
}
