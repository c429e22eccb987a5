//! Which traces are kept as exemplars.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::Lab;
use crate::LineConfig;

/// The traces that are kept, each with its calls.
fn kept(lab: &Lab) -> String {
    let mut text = String::new();
    for row in lab.traces().values() {
        let calls = row.calls.iter().map(|call| {
            let error = if call.client_error || call.server_error { " err" } else { "" };
            let (client, server) = (lab.name(call.client), lab.name(call.server));
            format!("{client}>{server} {}ms{error}", call.took() / 1_000_000)
        });
        let _ = writeln!(text, "{}", calls.collect::<Vec<_>>().join(", "));
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

const SLOW: &str = "span A a client web 0..5\nspan A b<a server api 1..4";
const QUICK: &str = "span B a client web 1..2\nspan B b<a server api 1..2";
const FAILED: &str = "span C a client web 2..3\nspan C b<a server api 2..3 err";
const ELSEWHERE: &str = "span D a client web 3..4\nspan D b<a server cart 3..4";
/// Moves time on until all of them are forgotten.
const LATER: &str = "span Z a inner clock 150..151\nbarrier 160\nbarrier 230";

fn check(script: &str, expected: &Expect) {
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed(script);
    expected.assert_eq(&kept(&lab));
}

#[test]
fn slowest_and_latest_that_failed_of_every_edge_stay() {
    let all = [SLOW, QUICK, FAILED, ELSEWHERE, LATER].join("\n");
    check(
        &all,
        &expect![[r#"
        web>api 1000ms err
        web>api 5000ms
        web>cart 1000ms"#]],
    );
    check(&[SLOW, QUICK, FAILED].join("\n"), &expect![[r#""#]]);
}

#[test]
fn which_stay_does_not_depend_on_order_epochs_or_redelivery() {
    let traces = [SLOW, QUICK, FAILED, ELSEWHERE];
    let run = |order: [usize; 4], between: &str, twice: bool| {
        let mut script = String::new();
        for at in order {
            let _ = write!(script, "{}\n{between}\n", traces[at]);
            if twice {
                let _ = writeln!(script, "{}", traces[at]);
            }
        }
        let mut lab = Lab::new(&LineConfig::default());
        lab.feed(&script);
        lab.feed(LATER);
        (kept(&lab), lab.traces())
    };
    let first = run([0, 1, 2, 3], "", false);
    for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        assert_eq!(run(order, "", true), first);
        assert_eq!(run(order, "barrier 5", false), first);
    }
}

#[test]
fn restart_keeps_what_was_kept_and_goes_on_from_it() {
    for cut in 0..4 {
        let mut lab = Lab::new(&LineConfig::default());
        for (at, part) in [SLOW, QUICK, FAILED, LATER].into_iter().enumerate() {
            lab.feed(part);
            lab.feed(if at == 3 { "barrier 230" } else { "barrier 5" });
            if at == cut {
                lab.restart();
            }
        }
        lab.feed(
            "span E a client web 200..209\nspan E b<a server api 201..208\n\
             span Y a inner clock 350..351\nbarrier 420\nbarrier 430",
        );
        let text = kept(&lab);
        assert!(text.contains("web>api 9000ms"), "slower than all before: {text}");
        assert!(text.contains("err") && !text.contains("5000ms"), "after {cut}: {text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}

#[test]
fn over_the_bound_the_oldest_go_and_are_counted() {
    let mut config = LineConfig::default();
    config.traces.max_exemplars = 1;
    let mut lab = Lab::new(&config);
    lab.feed(&[SLOW, ELSEWHERE, LATER].join("\n"));
    assert_eq!(lab.traces().len(), 1);
    assert_eq!(kept(&lab), "web>cart 1000ms");
    let dropped = lab.commits.iter().flat_map(|c| &c.tallies);
    assert!(dropped.clone().any(|(name, _)| &**name == "exemplars_dropped"));
}

/// Found by the simulation: a trace that went for the bound left its edges without a slowest one, but for a line that
/// was started again.
#[test]
fn where_the_slowest_went_for_the_bound_the_next_that_is_kept_comes_after_it() {
    for restarts in [false, true] {
        let mut config = LineConfig::default();
        config.traces.max_exemplars = 1;
        let mut lab = Lab::new(&config);
        let both = "span E a client web 10..20\nspan E b<a server cart 10..19\n\
                    span E c client web 10..12\nspan E d<c server api 10..11";
        lab.feed(&[SLOW, both, LATER].join("\n"));
        let stays = "web>api 2000ms, web>cart 10000ms";
        assert_eq!(kept(&lab), stays);
        if restarts {
            lab.restart();
        }
        lab.feed(
            "span F a client web 230..231\nspan F b<a server api 230..231\n\
             span Y a inner clock 400..401\nbarrier 420\nbarrier 490",
        );
        assert_eq!(kept(&lab), stays, "started again: {restarts}");
        let counts = lab.commits.iter().flat_map(|c| &c.tallies);
        let dropped = counts.filter(|(name, _)| &**name == "exemplars_dropped");
        assert_eq!(dropped.map(|(_, count)| count).sum::<i64>(), 1, "started again: {restarts}");
    }
}

#[test]
fn trace_that_comes_and_goes_within_an_epoch_is_not_told() {
    // The slower one is looked at later.
    let slow = SLOW.replace("span A", "span Y");
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed(&[QUICK, &slow, LATER].join("\n"));
    let told: Vec<usize> = lab.commits.iter().map(|c| c.traces.len()).collect();
    assert_eq!(told.iter().sum::<usize>(), 1, "{told:?}");
    assert!(lab.commits.iter().all(|c| c.traces_gone.is_empty()));
}

#[test]
fn part_of_a_trace_that_is_forgotten_before_the_rest_is_offered_by_itself() {
    let mut lab = Lab::new(&LineConfig::default());
    lab.feed(SLOW);
    lab.feed("span A y server api 100..101\nbarrier 105");
    expect![[r#"web>api 5000ms"#]].assert_eq(&kept(&lab));
    lab.feed("restart\nbarrier 106\nbarrier 230");
    expect!["web>api 5000ms, user:user>api 1000ms"].assert_eq(&kept(&lab));
}
