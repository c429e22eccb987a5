//! Bounds, and what is counted of what goes over them.

use expect_test::expect;

use super::{check, feed};
use crate::LineConfig;
use crate::linker::tests::Lab;

fn lab(max_points: usize) -> Lab {
    let mut config = LineConfig::default();
    config.metrics.max_points = max_points;
    Lab::new(&config)
}

#[test]
fn late_points_are_counted_and_what_counts_since_a_start_loses_nothing() {
    check(
        "m 10 web>api n=100
         m 95 web>api n=110
         barrier 100
         m 5 web>api n=99
         m 5 web>new n=7 since=0
         m 5 web>old delta n=3
         barrier 100
         m 100 web>api n=111
         m 100 web>new n=9 since=0",
        &expect![[r#"
            t=0 web -> old rpc_client http: calls=3 raw=1
            t=10 web -> api rpc_client http: calls=1
            t=20 web -> api rpc_client http: calls=1
            t=30 web -> api rpc_client http: calls=1
            t=40 web -> api rpc_client http: calls=1
            t=50 web -> api rpc_client http: calls=1
            t=50 web -> new rpc_client http: calls=1
            t=60 web -> api rpc_client http: calls=2 raw=1
            t=70 web -> api rpc_client http: calls=1
            t=80 web -> api rpc_client http: calls=1
            t=90 web -> api rpc_client http: calls=2
            t=90 web -> new rpc_client http: calls=1
            health_late=2
            metric_points_late=3
        "#]],
    );
}

#[test]
fn oldest_windows_are_folded_early_and_then_series_are_left_out() {
    let mut lab = lab(3);
    for t in 1..5 {
        feed(&mut lab, &[&format!("{t}0 web>api n={t}")]);
    }
    lab.feed("barrier 40");
    assert_eq!((lab.line.front.metrics.series(), lab.line.front.metrics.points()), (1, 3));
    for id in 0..5 {
        feed(&mut lab, &[&format!("40 web>api n=1 id={id}")]);
    }
    lab.feed("barrier 40");
    assert_eq!(lab.line.front.metrics.points(), 3);
    expect![[r#"
        t=10 web -> api rpc_client http: calls=1
        t=20 web -> api rpc_client http: calls=1
        t=30 web -> api rpc_client http: calls=1
        metric_points_folded_early=2
        metric_series_left_out=3
    "#]]
    .assert_eq(&lab.render());
}

#[test]
fn series_that_has_ended_is_forgotten() {
    let mut lab = lab(100);
    feed(&mut lab, &["10 web>api n=1", "10 web>db delta n=1"]);
    lab.feed("barrier 10\nbarrier 90");
    assert_eq!(lab.line.front.metrics.series(), 1, "a delta has nothing to be compared to");
    lab.feed("barrier 380");
    assert_eq!(lab.line.front.metrics.series(), 0);
}

#[test]
fn partition_is_read_again_from_the_last_point_of_a_live_series() {
    let mut lab = lab(100);
    feed(&mut lab, &["10 web>api n=1"]);
    feed(&mut lab, &["20 web>api n=2"]);
    let reread = |lab: &Lab| lab.commits.last().unwrap().positions[0].reread;
    lab.feed("barrier 20");
    assert_eq!(reread(&lab), 0);
    lab.feed("barrier 100");
    assert_eq!(reread(&lab), 1);
    feed(&mut lab, &["110 web>db delta n=1"]);
    lab.feed("barrier 110");
    assert_eq!(reread(&lab), 1);
    lab.feed("barrier 500");
    assert_eq!(reread(&lab), 3, "nothing is remembered");
}
