//! Laws of the mapper, by property.

use std::collections::BTreeMap;

use portolan_model::{CallDelta, CallKey, CallMeasure};
use proptest::prelude::*;

use super::feed;
use crate::LineConfig;
use crate::linker::tests::Lab;

type Graph = BTreeMap<CallKey, CallDelta>;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Point(String),
    Own,
    Barrier,
}

/// Points of a few series at few times, so that all that can meet does. The value at a time is a
/// function of series and time: it grows, and begins anew at second 40.
fn arb_point() -> impl Strategy<Value = String> {
    let ends = prop_oneof![
        Just("web>api"),
        Just("web>@10.0.1.1:80"),
        Just("web>topic:orders"),
        Just("->api"),
    ];
    let form = 0..5u8;
    let rest = prop_oneof![
        Just(""),
        Just("op=a"),
        Just("op=b"),
        Just("by=p group=1 rank=0 times=-"),
        Just("by=p group=1 rank=1 times=0"),
        Just("src=mesh_server fail"),
        Just("what=presence"),
    ];
    (ends, form, 0..9u64, rest).prop_map(|(ends, form, t, rest)| {
        let time = t * 7;
        let n = if time < 40 { time } else { time - 40 };
        let value = match form {
            0 => format!("n={n}"),
            1 => format!("n={n} sum={n} b=1:{n},5:{},inf:{n}", n / 2),
            2 if time < 40 => format!("n={n} since=0"),
            2 => format!("n={n} since=40"),
            3 => format!("delta n={n} sum={n} since={} b=1:{n},inf:0", time.saturating_sub(7)),
            _ => [format!("u=1:{}", n / 2), format!("u=inf:{n}"), format!("sum={n}")]
                [(t % 3) as usize]
                .clone(),
        };
        format!("{time} {ends} {value} {rest} id={form}")
    })
}

fn run_steps(lab: &mut Lab, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Point(point) => feed(lab, &[point]),
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

fn run(steps: &[Step]) -> Graph {
    let mut lab = Lab::new(&config());
    run_steps(&mut lab, steps);
    graph(&mut lab)
}

fn config() -> LineConfig {
    let mut config = LineConfig::default();
    config.traces.max_operations = 1;
    config
}

/// The same points in another order, with barriers anywhere and some points twice.
fn arb_runs() -> impl Strategy<Value = (Vec<Step>, Vec<Step>)> {
    proptest::collection::vec((arb_point(), any::<bool>()), 1..24).prop_flat_map(|points| {
        let mut plain: Vec<Step> = points.iter().map(|(p, _)| Step::Point(p.clone())).collect();
        plain.push(Step::Own);
        let mut mixed = plain.clone();
        mixed.extend(points.into_iter().filter(|(_, t)| *t).map(|(p, _)| Step::Point(p)));
        mixed.extend([Step::Barrier, Step::Barrier, Step::Barrier]);
        (Just(plain), Just(mixed).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Order, grouping into epochs and redelivery do not matter.
    #[test]
    fn graph_is_a_function_of_the_set_of_points((plain, mixed) in arb_runs()) {
        prop_assert_eq!(run(&plain), run(&mixed));
    }

    /// Points that come in one message are the same as points that come one by one.
    #[test]
    fn split_over_messages_does_not_matter((plain, _) in arb_runs()) {
        let points: Vec<&str> = plain
            .iter()
            .filter_map(|step| match step {
                Step::Point(point) => Some(point.as_str()),
                _ => None,
            })
            .collect();
        let mut lab = Lab::new(&config());
        feed(&mut lab, &points);
        lab.feed("own pod api-1 owner=api ip=10.0.1.1");
        prop_assert_eq!(run(&plain), graph(&mut lab));
    }

    /// A restart counts nothing twice and loses nothing, wherever it comes and however far the
    /// watermark is by then.
    #[test]
    fn restart_equals_an_undisturbed_run(
        (steps, _) in arb_runs(),
        cut in 0..24usize,
        watermark in 0..150u32,
    ) {
        let mut whole = Lab::new(&config());
        let mut cutting = Lab::new(&config());
        let cut = cut.min(steps.len());
        for (lab, restarts) in [(&mut whole, false), (&mut cutting, true)] {
            run_steps(lab, &steps[..cut]);
            lab.feed(&format!("barrier {watermark}"));
            if restarts {
                lab.feed("restart");
            }
            run_steps(lab, &steps[cut..]);
        }
        graph(&mut whole);
        graph(&mut cutting);
        prop_assert_eq!(whole.rows_text(), cutting.rows_text());
    }

    /// No sum is negative, whatever was taken back, and who is named is known.
    #[test]
    fn no_row_is_less_than_nothing((steps, _) in arb_runs()) {
        let mut lab = Lab::new(&config());
        run_steps(&mut lab, &steps);
        graph(&mut lab);
        for row in lab.rows() {
            prop_assert!(row.counters.as_array().iter().all(|sum| *sum >= 0), "{:?}", row);
            prop_assert!(row.counters[CallMeasure::CallsMilli] % 1_000 == 0, "{:?}", row);
            let buckets = [&row.client, &row.server].map(|l| l.buckets().to_vec()).concat();
            prop_assert!(buckets.iter().all(|(_, n)| *n > 0), "{:?}", row);
            let names = [lab.name(row.key.client), lab.name(row.key.server)];
            prop_assert!(names.iter().all(|name| name != "?"), "{:?}", names);
        }
    }
}
