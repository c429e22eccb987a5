//! Records that are no flows, among those that are.

use std::collections::BTreeMap;

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;
use portolan_proto::pbflow;
use prost::Message as _;

use super::crowd::{Crowd, PATIENCE, now, wait_until_committed};
use super::maps::assert_true;

const SECOND: u64 = 1_000_000_000;

/// Larger than any message of the fleet, smaller than what a broker takes by default.
const TOO_LARGE: usize = 100_000;

fn flow(at: u64, addresses: bool) -> Vec<u8> {
    let time =
        Some(prost_types::Timestamp { seconds: (at / SECOND) as i64, nanos: (at % SECOND) as i32 });
    let ip = |address| pbflow::Ip { ip_family: Some(pbflow::ip::IpFamily::Ipv4(address)) };
    let record = pbflow::Record {
        eth_protocol: 0x0800,
        time_flow_start: time,
        time_flow_end: time,
        network: addresses.then(|| pbflow::Network {
            src_addr: Some(ip(0x0A00_0001)),
            dst_addr: Some(ip(0x0A00_0002)),
            dscp: 0,
        }),
        transport: Some(pbflow::Transport { src_port: 40_000, dst_port: 80, protocol: 6 }),
        bytes: 66,
        packets: 1,
        ..pbflow::Record::default()
    };
    record.encode_to_vec()
}

/// Each kind of poison with the reason that it is to be refused for.
fn poisons() -> Vec<(&'static str, Vec<u8>)> {
    let backwards = {
        let mut record = pbflow::Record::decode(&*flow(now(), true)).unwrap();
        record.time_flow_end.as_mut().unwrap().seconds -= 60;
        record.encode_to_vec()
    };
    vec![
        ("undecodable", b"\xff\xff\xff not a record".to_vec()),
        ("undecodable", flow(now(), true)[..20].to_vec()),
        // A message without a value, as a tombstone is.
        ("undecodable", Vec::new()),
        ("no_address", flow(now(), false)),
        ("future", flow(now() + 7_200 * SECOND, true)),
        ("ends_before_start", backwards),
        ("too_large", vec![0x0A; TOO_LARGE + 1]),
    ]
}

#[test]
fn poison_is_counted_by_reason_and_shown_and_stops_nothing() {
    let broker = Broker::shared();
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(61) };
    let crowd = Crowd::gather(broker, "poison", 2, spec, 20);
    let setup = crowd.setup(broker).set("limits.max_message_bytes", &TOO_LARGE.to_string());
    let mut portolan = Portolan::start(&setup).unwrap();
    let poisons = poisons();
    let mut wanted = BTreeMap::new();
    let mut buried = Vec::new();
    for (part, (reason, poison)) in crowd.parts(poisons.len()).zip(&poisons) {
        crowd.publish(2, part);
        let at = broker.topics().produce(&crowd.flows, [(1, &b""[..], poison.as_slice())]).unwrap();
        *wanted.entry(format!("rejected/{reason}")).or_insert(0) += 1;
        buried.push((*reason, at[0].offset));
    }
    // Ownership that is none must not stop the owners behind it either.
    let owner = broker.topics().produce(&crowd.owners, [(0, &b"x"[..], &b"\xff{"[..])]).unwrap();
    *wanted.entry("rejected/undecodable".to_owned()).or_insert(0) += 1;
    let status = wait_until_committed(&mut portolan, &crowd.ends(broker, 2));

    let rejected: BTreeMap<_, _> =
        status.tallies.iter().filter(|(name, _)| name.starts_with("rejected/")).collect();
    assert_eq!(rejected, wanted.iter().collect());
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages));
    assert_true(&portolan, &crowd.truth);
    assert_eq!((status.state.as_str(), status.restarts), ("running", 0));

    let letters = status.dead_letters.iter().filter(|letter| letter.topic == crowd.flows);
    let letters: Vec<_> = letters.map(|l| (l.reason.as_str(), l.offset)).collect();
    assert_eq!(letters, buried, "in the order in which they came");
    let mut letters = status.dead_letters.iter();
    let of_owner = letters.find(|letter| letter.topic == crowd.owners).unwrap();
    assert_eq!((of_owner.offset, of_owner.head.as_str()), (owner[0].offset, "/3s="));

    // What was refused is not counted again by a process that goes on from the store.
    portolan.kill9().unwrap();
    portolan.restart().unwrap();
    let running = |s: &portolan_proto::v1::GetStatusResponse| s.state == "running";
    let again = portolan.wait_for_status("running", PATIENCE, running).unwrap();
    assert_eq!(again.tallies, status.tallies);
}
