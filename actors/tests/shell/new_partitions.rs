//! What appears while the line runs is read from its beginning.

use crate::support::{NEVER, World, flow, topic};

#[test]
fn a_topic_made_while_running_is_read_from_its_beginning() {
    let mut world = World::new(1);
    world.config.clusters[0].topics.push(topic("later", "netobserv-json"));
    let ran = world.start();
    world.publish(0..10, 1);
    ran.until_counted(10);
    world.broker.create_topic("later", 3).unwrap();
    for number in 10..40 {
        let partition = (number % 3) as i32;
        world.publisher.send("later", Some(partition), None, flow(number).as_bytes()).unwrap();
    }
    world.publisher.flush(NEVER).unwrap();
    ran.until_counted(40);
    ran.stop();
    assert_eq!(world.tally("accepted"), 40);
}
