//! A process that is killed, or stopped, in the middle of the stream, and goes on.

use std::thread;
use std::time::Duration;

use portolan_e2e::{Broker, Portolan};
use portolan_fleet::FleetSpec;
use portolan_proto::v1;

use super::crowd::{Crowd, PATIENCE, wait_until_committed};
use super::maps::{assert_same, assert_true, drawn};

/// Next offset to read and next offset of the last commit, over all partitions.
fn progress(status: &v1::GetStatusResponse) -> (i64, i64) {
    let sum = |of: fn(&v1::PartitionStatus) -> i64| status.partitions.iter().map(of).sum();
    (sum(|p| p.next), sum(|p| p.committed))
}

#[test]
fn kill_in_mid_stream_changes_no_count() {
    let broker = Broker::shared();
    let spec = FleetSpec { flows_per_sec: 400, ..FleetSpec::hard(21) };
    let crowd = Crowd::gather(broker, "kill", 4, spec, 40);
    let mut portolan = Portolan::start(&crowd.setup(broker)).unwrap();
    let mut parts = crowd.parts(2);
    crowd.publish(4, parts.next().unwrap());
    let half = crowd.ends(broker, 4).iter().map(|(_, _, end)| end).sum();
    let some = |status: &v1::GetStatusResponse| progress(status).1 > 0;
    portolan.wait_for_status("something committed", PATIENCE, some).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| crowd.publish(4, parts.next().unwrap()));
        let more = |status: &v1::GetStatusResponse| progress(status).0 > half;
        portolan.wait_for_status("reading on", PATIENCE, more).unwrap();
        portolan.kill9().unwrap();
    });
    portolan.restart().unwrap();
    let status = wait_until_committed(&mut portolan, &crowd.ends(broker, 4));
    assert_true(&portolan, &crowd.truth);
    assert_eq!(status.tallies["accepted"], Crowd::records(&crowd.messages));
}

/// A random number, the same for the same seed (Steele, Lea and Flood: `SplitMix64`).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Kills, at least, that the issue asks for.
const KILLS: usize = 20;

#[test]
fn twenty_kills_change_no_count() {
    let broker = Broker::shared();
    // 100 s of events: longer than the line remembers (60 s), so that windows are settled and
    // forgotten under way.
    let spec = FleetSpec { flows_per_sec: 300, ..FleetSpec::hard(22) };
    let crowd = Crowd::gather(broker, "kills", 4, spec, 100);
    let mut portolan = Portolan::start(&crowd.setup(broker)).unwrap();
    let mut seed = 20;
    let mut epochs = vec![0];
    let mut parts = crowd.parts(KILLS + 1);
    for part in parts.by_ref().take(KILLS) {
        thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                for slice in part.chunks(part.len().div_ceil(4)) {
                    crowd.publish(4, slice);
                }
            });
            // Every third time it is killed at its start, before anybody can ask it anything.
            if !random(&mut seed).is_multiple_of(3) {
                portolan.wait_for_status("up", PATIENCE, |s| s.state == "running").unwrap();
            }
            // The instant of the kill is what is random here; nothing waits for this sleep.
            thread::sleep(Duration::from_millis(random(&mut seed) % 700));
            epochs.extend(portolan.status().map(|status| status.epoch));
            portolan.kill9().unwrap();
            publishing.join().unwrap();
        });
        portolan.launch().unwrap();
    }
    for part in parts {
        crowd.publish(4, part);
    }
    let ends = crowd.ends(broker, 4);
    wait_until_committed(&mut portolan, &ends);
    assert!(epochs.is_sorted(), "what is committed stays: {epochs:?}");
    epochs.dedup();
    assert!(epochs.len() > KILLS / 3, "it was killed while it went on: {epochs:?}");

    let mut undisturbed = Portolan::start(&crowd.setup(broker)).unwrap();
    wait_until_committed(&mut undisturbed, &ends);
    assert_same(&drawn(&portolan), &drawn(&undisturbed));
    assert_true(&undisturbed, &crowd.truth);
}

#[test]
fn stop_commits_what_was_read_and_the_next_start_goes_on_there() {
    let broker = Broker::shared();
    let spec = FleetSpec { flows_per_sec: 400, ..FleetSpec::hard(23) };
    let crowd = Crowd::gather(broker, "stop", 4, spec, 40);
    // An epoch so long that the stop has to end it early.
    let setup = crowd.setup(broker).set("line.commit_interval", "\"60s\"");
    let mut portolan = Portolan::start(&setup).unwrap();
    let mut parts = crowd.parts(2);
    crowd.publish(4, parts.next().unwrap());
    let half = |status: &v1::GetStatusResponse| progress(status).0 > 2_000;
    let before = portolan.wait_for_status("something read", PATIENCE, half).unwrap();
    let (read, committed) = progress(&before);
    assert!(committed < read, "not yet committed: {committed} of {read}");
    let ended = portolan.stop().unwrap();
    assert!(ended.success(), "{ended}: {}", portolan.log_tail());

    portolan.configure(&crowd.setup(broker)).unwrap();
    portolan.restart().unwrap();
    let after = portolan.status().unwrap();
    for read in &before.partitions {
        let mut stored = after.partitions.iter();
        let stored = stored.find(|p| (&p.topic, p.partition) == (&read.topic, read.partition));
        let stored = stored.map_or(0, |p| p.committed);
        assert!(stored >= read.next, "{}/{}: {stored}", read.topic, read.partition);
    }
    crowd.publish(4, parts.next().unwrap());
    wait_until_committed(&mut portolan, &crowd.ends(broker, 4));
    assert_true(&portolan, &crowd.truth);
}
