//! A record that cannot be read is counted, kept as a sample, and passed by.

use portolan_model::Reject;

use crate::support::{FLOWS, NEVER, World, partition};

#[test]
fn a_poison_record_is_counted_and_the_line_goes_on() {
    let world = World::new(1);
    let ran = world.start();
    world.publish(0..5, 1);
    let poison = [b'{'; 1_000];
    world.publisher.send(FLOWS, Some(0), None, &poison).unwrap();
    world.publisher.send(FLOWS, Some(0), None, b"{}").unwrap();
    world.publisher.flush(NEVER).unwrap();
    world.publish(5..10, 1);
    ran.until_counted(10);
    let letters = ran.running.status().dead_letters();
    ran.stop();
    assert_eq!(world.tally("accepted"), 10);
    let rejected: i64 =
        Reject::ALL.iter().map(|r| world.tally(&format!("rejected/{}", r.as_str()))).sum();
    assert_eq!(rejected, 2);
    assert_eq!(letters.len(), 2);
    assert_eq!((letters[0].offset, &letters[0].partition), (5, &partition(FLOWS, 0)));
    assert_eq!(letters[0].reason, Reject::Undecodable);
    assert_eq!(letters[0].head, poison[..256]);
    assert_eq!(letters[1].offset, 6);
}

#[test]
fn a_message_over_the_limit_is_refused_as_such() {
    let mut world = World::new(1);
    world.config.max_message_bytes = 10_000;
    let ran = world.start();
    world.publisher.send(FLOWS, Some(0), None, &vec![b' '; 20_000]).unwrap();
    world.publisher.flush(NEVER).unwrap();
    world.publish(0..3, 1);
    ran.until_counted(3);
    ran.stop();
    assert_eq!(world.tally("rejected/too_large"), 1);
}

#[test]
fn the_ring_of_dead_letters_is_bounded() {
    let mut world = World::new(1);
    world.config.dead_letters = 3;
    let ran = world.start();
    for _ in 0..10 {
        world.publisher.send(FLOWS, Some(0), None, b"?").unwrap();
    }
    world.publisher.flush(NEVER).unwrap();
    world.publish(0..1, 1);
    ran.until_counted(1);
    let letters = ran.running.status().dead_letters();
    ran.stop();
    assert_eq!(letters.iter().map(|l| l.offset).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!(world.tally("rejected/undecodable"), 10);
}
