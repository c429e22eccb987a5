//! A topic that gets partitions while it is read.

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;

use super::crowd::{Crowd, wait_until_committed};
use super::maps::assert_true;

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let broker = Broker::shared();
    if broker.real().is_none() {
        eprintln!("skipped: the embedded broker cannot add partitions");
        return;
    }
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(41) };
    let crowd = Crowd::gather(broker, "growth", 2, spec, 30);
    let mut portolan = Portolan::start(&crowd.setup(broker)).unwrap();
    let mut parts = crowd.parts(2);
    crowd.publish(2, parts.next().unwrap());
    wait_until_committed(&mut portolan, &crowd.ends(broker, 2));
    broker.topics().grow(&crowd.flows, 5).unwrap();
    crowd.publish(5, parts.next().unwrap());
    let ends = crowd.ends(broker, 5);
    assert!(ends[2..5].iter().all(|(_, _, end)| *end > 0), "the new ones are used: {ends:?}");
    let status = wait_until_committed(&mut portolan, &ends);
    assert_true(&portolan, &crowd.truth);
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages));
    assert!(status.losses.is_empty());
}
