//! Records that the broker throws away before they were read.

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;

use super::crowd::{Crowd, end, wait_until_committed};
use super::maps::graded;

#[test]
fn what_retention_ate_is_counted_with_its_range_and_never_silently_skipped() {
    let broker = Broker::shared();
    if broker.real().is_none() {
        eprintln!("skipped: the embedded broker cannot delete records on demand");
        return;
    }
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(51) };
    let crowd = Crowd::gather(broker, "eaten", 2, spec, 30);
    let mut portolan = Portolan::start(&crowd.setup(broker)).unwrap();
    let mut parts = crowd.parts(2);
    crowd.publish(2, parts.next().unwrap());
    wait_until_committed(&mut portolan, &crowd.ends(broker, 2));
    assert!(portolan.stop().unwrap().success());

    let (_, _, read) = end(broker, &crowd.flows, 1);
    crowd.publish(2, parts.next().unwrap());
    broker.topics().delete_records_before(&crowd.flows, 1, read + 100).unwrap();
    portolan.restart().unwrap();
    let ends = crowd.ends(broker, 2);
    let status = wait_until_committed(&mut portolan, &ends);
    let [loss] = &status.losses[..] else { panic!("one loss: {:?}", status.losses) };
    assert_eq!((loss.cluster.as_str(), loss.topic.as_str()), ("e2e", crowd.flows.as_str()));
    assert_eq!((loss.partition, loss.from, loss.to), (1, read, read + 100));
    assert!(loss.noticed_unix_us >= status.started_unix_us);
    assert_eq!(status.tallies["lost"], 100);
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages) - 100);
    let graph = portolan.whole_graph().unwrap();
    assert_eq!(graph.coverage.as_ref().unwrap().records_lost, 100, "every answer says so");
    let score = graded(&graph, &crowd.truth);
    assert_eq!(score.edges_invented, 0, "what is not known is not made up: {score:#?}");

    // It stays known, and is not counted anew.
    assert!(portolan.stop().unwrap().success());
    portolan.restart().unwrap();
    let again = wait_until_committed(&mut portolan, &ends);
    assert_eq!((again.losses, again.tallies), (status.losses, status.tallies));
}
