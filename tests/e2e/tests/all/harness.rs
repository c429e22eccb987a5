//! The harness itself: what the other tests stand on.

use std::path::PathBuf;

use portolan_e2e::{Broker, Produced};

fn messages(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| i.to_string().into_bytes()).collect()
}

#[test]
fn what_is_produced_can_be_read_back_in_order() {
    let topics = Broker::shared().topics();
    topics.create("harness-order", 2, &[]).unwrap();
    let values = messages(1_000);
    let sent = values.iter().enumerate().map(|(i, v)| ((i % 2) as i32, &b"key"[..], v.as_slice()));
    let produced = topics.produce("harness-order", sent).unwrap();
    assert_eq!(produced[0], Produced { partition: 0, offset: 0 });
    assert_eq!(produced[999], Produced { partition: 1, offset: 499 });
    assert_eq!(topics.watermarks("harness-order", 1).unwrap(), (0, 500));
    let read = topics.read("harness-order", 1).unwrap();
    assert_eq!(read, values.iter().skip(1).step_by(2).cloned().collect::<Vec<_>>());
}

#[test]
fn retention_eats_from_the_front() {
    let broker = Broker::shared();
    let topics = broker.topics();
    topics.create("harness-retention", 1, &[]).unwrap();
    let values = messages(10);
    topics
        .produce("harness-retention", values.iter().map(|v| (0, &b""[..], v.as_slice())))
        .unwrap();
    if broker.real().is_none() {
        let refused = topics.delete_records_before("harness-retention", 0, 4).unwrap_err();
        assert_eq!(refused.to_string(), "the embedded broker cannot delete records");
        return;
    }
    topics.delete_records_before("harness-retention", 0, 4).unwrap();
    assert_eq!(topics.watermarks("harness-retention", 0).unwrap(), (4, 10));
    assert_eq!(topics.read("harness-retention", 0).unwrap(), values[4..]);
}

#[test]
fn partitions_can_be_added_and_topics_made_anew() {
    let broker = Broker::shared();
    let topics = broker.topics();
    topics.create("harness-grow", 1, &[]).unwrap();
    if broker.real().is_none() {
        return;
    }
    topics.grow("harness-grow", 3).unwrap();
    topics.produce("harness-grow", [(2, &b""[..], &b"x"[..])]).unwrap();
    assert_eq!(topics.read("harness-grow", 2).unwrap(), [b"x"]);
    topics.delete("harness-grow").unwrap();
}

/// One test, because a broker of its own costs 350 MB and some seconds.
#[test]
fn killed_broker_comes_back_with_its_data_and_dropped_leaves_nothing() {
    let mut broker = Broker::start();
    broker.topics().create("harness-kill", 1, &[]).unwrap();
    let values = messages(100);
    let sent = values.iter().map(|v| (0, &b""[..], v.as_slice()));
    broker.topics().produce("harness-kill", sent).unwrap();
    let before = broker.bootstrap();
    broker.take_down().unwrap();
    broker.bring_back().unwrap();
    assert_eq!(broker.bootstrap(), before, "clients find it where it was");
    assert_eq!(broker.topics().read("harness-kill", 0).unwrap(), values);

    let Some(kafka) = broker.real() else { return };
    let process = PathBuf::from(format!("/proc/{}", kafka.pid().unwrap()));
    let directory = kafka.directory().to_owned();
    assert!(process.exists() && directory.exists());
    drop(broker);
    assert!(!process.exists() && !directory.exists());
}
