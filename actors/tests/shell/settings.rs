//! What cannot be meant is refused at the start, and no secret is ever repeated.

use portolan_actors::{Error, start_with};

use crate::support::{TestStages, World};

fn refused(world: &World) -> Error {
    let started = start_with(
        world.config.clone(),
        Box::new(world.store.clone()),
        std::sync::Arc::new(world.store.clone()),
        Box::new(|_| {}),
        TestStages(std::sync::Arc::clone(&world.script)),
    );
    started.unwrap_err()
}

#[test]
fn a_property_that_librdkafka_does_not_take_is_named_without_its_value() {
    let mut world = World::new(1);
    let properties = &mut world.config.clusters[0].properties;
    properties.insert("socket.timeout.ms".into(), "hunter2".into());
    let error = refused(&world);
    assert!(matches!(&error, Error::Property { property, .. } if property == "socket.timeout.ms"));
    let text = format!("{error} {error:?} {:?}", world.config);
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_property_that_reading_once_rests_on_cannot_be_set() {
    let mut world = World::new(1);
    let properties = &mut world.config.clusters[0].properties;
    properties.insert("auto.offset.reset".into(), "latest".into());
    let text = refused(&world).to_string();
    assert_eq!(
        text,
        "kafka.test.properties must not set auto.offset.reset: portolan sets it itself"
    );
}

#[test]
fn an_impossible_number_is_refused_by_its_key() {
    let mut world = World::new(1);
    world.config.mailbox_capacity = 0;
    assert_eq!(refused(&world).to_string(), "mailbox_capacity must be more than 0");
}

#[test]
fn columns_of_a_flow_log_that_are_none_are_refused_by_their_topic() {
    let mut world = World::new(1);
    world.config.clusters[0].topics[0].fields = Some("version octets".into());
    let text = refused(&world).to_string();
    assert!(text.contains(".fields is not usable: unknown field \"octets\""), "{text}");
}
