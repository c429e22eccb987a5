//! Ownership that was there at the start is known before the first flow.

use crate::support::World;

#[test]
fn ownership_is_read_to_where_it_stood_before_any_flow() {
    let mut world = World::new(2);
    world.config.batch_rows = 8;
    world.publish(0..100, 2);
    for number in 0..100 {
        let owner = format!(
            r#"{{"scope":"test","uid":"{number}","kind":"pod","name":"a","ips":["10.0.0.{number}"]}}"#
        );
        world.publisher.send("owners", Some(0), None, owner.as_bytes()).unwrap();
    }
    world.publisher.flush(crate::support::NEVER).unwrap();
    let ran = world.start();
    ran.until_counted(100);
    ran.stop();
    let order = world.script.order.lock().unwrap().clone();
    assert!(order.starts_with('o') && order.contains('f'), "{order}");
    assert!(!order.contains("fo"), "{order}");
}
