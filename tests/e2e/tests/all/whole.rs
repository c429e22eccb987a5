//! From records on Kafka to the map at the API.

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;

use super::crowd::{Crowd, wait_until_committed};
use super::maps::{assert_same, assert_true, drawn};

#[test]
fn what_a_fleet_publishes_is_drawn_count_by_count() {
    let broker = Broker::shared();
    let spec = FleetSpec { flows_per_sec: 500, ..FleetSpec::hard(11) };
    let crowd = Crowd::gather(broker, "whole", 4, spec, 45);
    crowd.publish(4, &crowd.messages);
    let mut portolan = Portolan::start(&crowd.setup(broker)).unwrap();
    let status = wait_until_committed(&mut portolan, &crowd.ends(broker, 4));
    assert_true(&portolan, &crowd.truth);
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages));
    assert_eq!((status.state.as_str(), status.restarts), ("running", 0));
    assert!(status.dead_letters.is_empty() && status.losses.is_empty());
}

#[test]
fn two_processes_on_the_same_topics_are_equal_replicas() {
    let broker = Broker::shared();
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(12) };
    let crowd = Crowd::gather(broker, "replicas", 3, spec, 30);
    // One sees the records come, the other finds them all there.
    let mut early = Portolan::start(&crowd.setup(broker)).unwrap();
    for part in crowd.parts(5) {
        crowd.publish(3, part);
    }
    let ends = crowd.ends(broker, 3);
    let mut late = Portolan::start(&crowd.setup(broker)).unwrap();
    wait_until_committed(&mut early, &ends);
    wait_until_committed(&mut late, &ends);
    assert_same(&drawn(&early), &drawn(&late));
    assert_true(&early, &crowd.truth);
}
