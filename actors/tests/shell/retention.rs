//! Offsets that the broker no longer has are lost, loudly, and exactly.

use portolan_storage::ReadCheckpoint as _;

use crate::support::{FLOWS, NEVER, World, counted, eventually, flow, partition};

/// More than the embedded broker keeps of a partition (5 MiB).
fn overrun(world: &World, first: u64, messages: u64) {
    for number in first..first + messages {
        let padded = format!("{}{}", flow(number), " ".repeat(100_000));
        world.publisher.send(FLOWS, Some(0), None, padded.as_bytes()).unwrap();
    }
    world.publisher.flush(NEVER).unwrap();
}

#[test]
fn what_retention_ate_while_the_line_was_down_is_counted_with_its_range() {
    let world = World::new(1);
    let ran = world.start();
    world.publish(0..10, 1);
    ran.until_counted(10);
    ran.stop();
    overrun(&world, 10, 100);
    let ran = world.start();
    let end = 110;
    ran.until(|store| store.checkpoint().unwrap().positions.iter().any(|p| p.next == end));
    ran.stop();
    let checkpoint = world.store.checkpoint().unwrap();
    let [loss] = &checkpoint.losses[..] else { panic!("{:?}", checkpoint.losses) };
    assert_eq!((&loss.partition, loss.from), (&partition(FLOWS, 0), 10));
    assert!(loss.to > 10 && loss.to < end, "{loss:?}");
    assert_eq!(world.tally("lost"), loss.to - loss.from);
    assert_eq!(counted(&world.store), end - (loss.to - loss.from), "all else is counted");
}

#[test]
fn what_retention_eats_under_a_stalled_line_is_counted_too() {
    let mut world = World::new(1);
    // A fetch holds little, so that most is still at the broker when it overflows.
    let properties = &mut world.config.clusters[0].properties;
    properties.insert("queued.max.messages.kbytes".into(), "64".into());
    properties.insert("fetch.message.max.bytes".into(), "20000".into());
    world.config.batch_rows = 1;
    world.config.max_epoch_records = 10;
    // The store does not answer while the broker overflows.
    world.gate.close();
    let ran = world.start();
    // What was gone before the line first looked would be no loss of its own.
    world.publish(0..1, 1);
    let status = ran.running.status();
    eventually("it reads", || status.partition(&partition(FLOWS, 0)).is_some_and(|p| p.next == 1));
    overrun(&world, 1, 199);
    world.gate.open();
    let end = 200;
    ran.until(|store| store.checkpoint().unwrap().positions.iter().any(|p| p.next == end));
    ran.stop();
    let lost = world.tally("lost");
    assert!(lost > 0, "the broker kept all: nothing was tested");
    assert_eq!(counted(&world.store) + lost, end);
    let losses = world.store.checkpoint().unwrap().losses;
    assert_eq!(losses.iter().map(|l| l.to - l.from).sum::<i64>(), lost);
}
