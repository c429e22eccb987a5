//! A broker that dies in the middle of the stream, and comes back.

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;
use portolan_proto::v1;

use super::crowd::{Crowd, PATIENCE, wait_until_committed};
use super::maps::assert_true;

#[test]
fn broker_that_is_killed_and_comes_back_costs_no_record() {
    let mut broker = Broker::start();
    let spec = FleetSpec { flows_per_sec: 400, ..FleetSpec::hard(31) };
    let crowd = Crowd::gather(&broker, "outage", 4, spec, 40);
    let mut portolan = Portolan::start(&crowd.setup(&broker)).unwrap();
    let mut parts = crowd.parts(3);
    crowd.publish(4, parts.next().unwrap());
    let ends = crowd.ends(&broker, 4);
    // Killed with this part read but perhaps not committed, and the next not yet published.
    let some = |status: &v1::GetStatusResponse| status.partitions.iter().any(|p| p.next > 0);
    portolan.wait_for_status("something read", PATIENCE, some).unwrap();
    broker.take_down().unwrap();
    let degraded = |status: &v1::GetStatusResponse| status.state == "degraded";
    let status = portolan.wait_for_status("degraded", PATIENCE, degraded).unwrap();
    assert!(status.reason.contains("e2e"), "the cluster is named: {}", status.reason);
    assert!(portolan.whole_graph().is_ok(), "the map is still there to be asked");

    broker.bring_back().unwrap();
    let running = |status: &v1::GetStatusResponse| status.state == "running";
    portolan.wait_for_status("running again", PATIENCE, running).unwrap();
    for part in parts {
        crowd.publish(4, part);
    }
    let last = crowd.ends(&broker, 4);
    assert!(ends.iter().zip(&last).all(|(then, now)| then.2 <= now.2), "the broker lost nothing");
    let status = wait_until_committed(&mut portolan, &last);
    assert_true(&portolan, &crowd.truth);
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages));
    assert!(status.losses.is_empty(), "{:?}", status.losses);
    assert_eq!(status.restarts, 0, "a broker that is away is no failure of the line");
}
