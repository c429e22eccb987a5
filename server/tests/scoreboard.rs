//! The scoreboard on small fleets: what `portolan load score` prints, class by class.

use std::time::Duration;

use portolan_server::cli::ScoreArgs;
use portolan_server::scoring::judge;

fn is_right(faults: &str, lag: Duration) {
    let args = ScoreArgs {
        services: 20,
        seeds: 1,
        faults: faults.to_owned(),
        seconds: 30,
        rate: Some(300),
        lag,
        json: false,
    };
    let board = judge(&args, &|_, _| {}).expect("fleets that can be simulated");
    for class in &board.classes {
        let (edges, bytes) = (&class.edges, &class.bytes);
        assert!(edges.real > 20, "{}: the fleet does something", class.faults);
        assert_eq!((edges.invented, bytes.misattributed), (0, 0), "{class:#?}");
        assert_eq!((edges.missing, edges.miscounted, edges.beyond_error), (0, 0, 0), "{class:#?}");
        // At one deploy a second among twenty services, and clocks two seconds off, a watch that is broken
        // two seconds of five leaves more than one byte in a hundred without a name.
        let broken = faults.contains("relist") && ["relist", "all"].contains(&&*class.faults);
        assert!(class.ok || broken, "{class:#?}");
    }
}

#[test]
fn nothing_is_invented_or_misattributed_under_faults_of_transport_and_ownership() {
    is_right("no-xlat,churn,failures,disorder,ownership-lag,skew,half-agents", Duration::ZERO);
}

#[test]
fn nor_where_the_watch_breaks_and_every_clock_is_off() {
    is_right(
        "relist,skew,disorder,ownership-lag,churn,failures,no-xlat,half-agents",
        Duration::ZERO,
    );
}

#[test]
fn nor_where_flows_come_five_minutes_later_than_ownership() {
    is_right("churn,relist", Duration::from_secs(300));
}

/// What no record proves stays visible, and is told apart; what one proves is folded.
#[test]
fn connections_behind_their_nodes_address_are_folded_wherever_a_record_says_so() {
    let args = ScoreArgs {
        services: 20,
        seeds: 1,
        faults: "hairpin,nat".to_owned(),
        seconds: 30,
        rate: Some(300),
        lag: Duration::ZERO,
        json: false,
    };
    let board = judge(&args, &|_, _| {}).expect("fleets that can be simulated");
    for class in &board.classes {
        let (edges, bytes) = (&class.edges, &class.bytes);
        assert_eq!((edges.unfolded, bytes.unfolded, edges.missing), (0, 0, 0), "{class:#?}");
        assert_eq!((edges.invented, edges.miscounted), (0, 0), "{class:#?}");
    }
    let all = board.classes.last().expect("every asked class at once");
    assert!(all.edges.masked > 0, "agents without connection tracking prove nothing: {all:#?}");
}

/// What is sampled is estimated, each packet looked at standing for 50: over many fleets the
/// estimates are off neither way, however many agents and names of a connection take part.
#[test]
fn sampled_connections_come_to_the_true_ones_over_many_fleets() {
    let args = ScoreArgs {
        services: 20,
        seeds: 10,
        faults: "sampling".to_owned(),
        seconds: 30,
        rate: Some(1_000),
        lag: Duration::ZERO,
        json: false,
    };
    let board = judge(&args, &|_, _| {}).expect("fleets that can be simulated");
    let class = board.classes.last().expect("the one that samples");
    let edges = &class.edges;
    assert_eq!((edges.invented, edges.miscounted, edges.beyond_error), (0, 0, 0), "{class:#?}");
    assert!(edges.estimated > 400, "{class:#?}");
    // Five standard deviations of 50 draws with one in 50, were all of them sampled.
    let error = 5.0 * (class.connections_true as f64 * 49.0).sqrt();
    let off = class.connections_found.abs_diff(class.connections_true);
    assert!((off as f64) < error, "{off} off, {error} allowed: {class:#?}");
}
